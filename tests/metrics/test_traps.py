"""What other libraries get wrong without a word, and what happens here instead.

The traps whose tests belong to a larger subject stand with it; ``docs/metrics.md`` lists all.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity.metric_kid import kid_features_to_metric

from bench.api import BenchError, Config
from bench.data.images import read_image, to_uint8, write_png
from bench.metrics.extractors.inception import Inception
from bench.metrics.fid import fid, grams
from bench.metrics.frame import pictures
from bench.metrics.kid import kernel, kid
from bench.metrics.networks import squared_distances
from tests import networks

CPU = torch.device("cpu")


class _Creates:
    """Unpickled without restraint, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_inception_weights_run_no_code_on_their_way_to_torch_fidelity(tmp_path):
    # Which reads them with weights_only=False.
    file, created = tmp_path / "inception.pth", tmp_path / "created"
    torch.save({"weight": _Creates(created)}, file)
    with pytest.raises(BenchError, match=r"inception\.pth cannot be read as weights"):
        Inception(Config(), [file], CPU)
    file.write_bytes(pickle.dumps(_Creates(created)))
    with pytest.raises(BenchError, match=r"inception\.pth cannot be read as weights"):
        Inception(Config(), [file], CPU)
    assert not created.exists()


def test_kid_needs_no_subset_of_a_thousand(clouds):
    x, y = clouds(30, 30)
    with pytest.raises(ValueError, match="subset"):
        kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), verbose=False)
    g = grams(x, y)
    assert np.isfinite(kid(*(kernel(p, g.dimension) for p in (g.xx, g.yy, g.xy))))


def test_features_far_from_zero_keep_their_digits(clouds):
    # In float32, where torch-fidelity silently ends up, such products lose the difference.
    x, y = clouds(40, 30)
    far = fid(grams(x.astype(np.float64) + 1e4, y.astype(np.float64) + 1e4))
    assert far == pytest.approx(fid(grams(x, y)), rel=1e-4)
    assert grams(x, y).xx.dtype == np.float64


@pytest.mark.parametrize("level", [0, 255])
def test_flat_pictures_have_a_distance(level):
    # Without a colour there is a feature of zeros to normalise: NaN in half precision.
    network = networks.build("st-lpips-alex")
    flat = torch.full((2, 3, 32, 32), level, dtype=torch.uint8)
    flat[1, 0, 5, 5] ^= 0xFF
    found = squared_distances(network.embed(flat))
    assert np.isfinite(found).all() and found[0, 1] > 0 == found[0, 0]


def test_values_are_rounded_never_cut_off():
    levels = torch.arange(256.0)
    for slightly in (-0.4, 0.0, 0.4):
        assert torch.equal(to_uint8(((levels + slightly) / 255).clamp(0, 1)), levels.byte())


def test_a_pale_picture_stays_pale(tmp_path):
    # Stretched to the full range on its way to disk, every picture would be as colourful.
    pale = np.random.default_rng(0).integers(100, 110, (16, 16, 3), dtype=np.uint8)
    write_png(tmp_path / "pale.png", pale)
    assert np.array_equal(read_image(tmp_path / "pale.png"), pale)


def test_scored_pictures_are_upright(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (found,) = pictures(tmp_path, "outputs")
    assert found.load().shape == (16, 8, 3)
    assert found.load()[:8].mean() == 200
