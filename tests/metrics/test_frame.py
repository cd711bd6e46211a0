"""``bench.score``: folders, files and arrays."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import bench
from bench.api import BenchError
from bench.data.images import write_png

score = partial(bench.score, offline=True, device="cpu")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8) for _ in range(3)]


def value(frame, metric):
    (row,) = frame[frame["metric"] == metric]["value"]
    return row


def test_folders_files_and_arrays_give_the_same(arrays, tmp_path):
    outputs, reference, inputs = arrays
    for name, images in (("out", outputs), ("ref", reference), ("in", inputs)):
        for index, image in enumerate(images):
            write_png(tmp_path / name / f"{index}.png", image)
    names = ["kid", "lpips_input"]
    from_folders = score(tmp_path / "out", tmp_path / "ref", inputs=tmp_path / "in", metrics=names)
    from_files = score(
        sorted((tmp_path / "out").iterdir()), reference, inputs=inputs, metrics=names
    )
    floats = torch.from_numpy(outputs).permute(0, 3, 1, 2).float() / 255
    from_floats = score(floats, reference, inputs=inputs, metrics=names)
    for name in names:
        expected = value(from_folders, name)
        assert value(from_files, name) == pytest.approx(expected, rel=1e-6)
        assert value(from_floats, name) == pytest.approx(expected, rel=1e-6)
    assert set(from_folders["extractor"]) == {"efficientnet-lite0", "st-lpips-alex"}


def test_several_samples_give_diversity_and_no_inputs_no_content(arrays):
    a, reference, b = arrays
    frame = score([a, b], reference, metrics=["lpips_diversity"])
    assert value(frame, "lpips_diversity") > 0
    frame = score([a, a], reference, metrics=["lpips_diversity"])
    assert value(frame, "lpips_diversity") == 0.0
    everything = score(a, reference)
    assert "kid" in set(everything["metric"])
    assert "content" not in set(everything["kind"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32)), "four dimensions"),
        (np.zeros((2, 1, 32, 32)), "three channels"),
        (np.zeros((2, 32, 32, 3), np.int64), "uint8 in .0, 255. or floats"),
        (np.full((2, 3, 32, 32), np.nan), "not finite"),
        (np.full((2, 3, 32, 32), 255.0), "must lie in .0, 1., got 255 to 255"),
        (np.full((2, 3, 32, 32), -1.0), "must lie in"),
        (np.zeros((0, 32, 32, 3), np.uint8), "no images"),
        ("/no/such/folder", "is not a folder"),
    ],
)
def test_what_libraries_take_without_a_word_is_refused(arrays, images, message):
    with pytest.raises(BenchError, match=message):
        score(images, arrays[1], metrics=["kid"])


def test_counts_and_names_must_fit(arrays):
    a, reference, _ = arrays
    with pytest.raises(BenchError, match="3 inputs and 5 outputs"):
        score(a, reference, inputs=a[:3], metrics=["kid"])
    with pytest.raises(BenchError, match="same number"):
        score([a, a[:2]], reference, metrics=["kid"])
    with pytest.raises(BenchError, match="'kit' is unknown"):
        score(a, reference, metrics=["kit"])


def test_what_could_not_be_measured_is_said(arrays):
    frame = score(arrays[0][:1], arrays[1], metrics=["kid"])
    assert frame.empty
    assert "at least 2 pictures" in frame.attrs["warnings"][0]


def test_files_are_paired_by_name(arrays, tmp_path):
    outputs, reference, _ = arrays
    names = ["b", "a", "c", "e", "d"]
    for image, name in zip(outputs, names, strict=True):
        write_png(tmp_path / "in" / f"{name}.png", image)
        # The same pictures; by position each would belong to another.
        write_png(tmp_path / "out" / f"{name}_fake_B.png", image)
        write_png(tmp_path / "out" / f"{name}_real_A.png", 255 - image)
        write_png(tmp_path / "other" / f"{name}_1.png", image)
    lpips = {"metrics": ["lpips_input"]}

    def distance(made, inputs):
        return value(score(made, reference, inputs=inputs, **lpips), "lpips_input")

    assert distance(tmp_path / "out", tmp_path / "in") == 0.0
    shuffled = [tmp_path / "out" / f"{name}_fake_B.png" for name in sorted(names, reverse=True)]
    assert distance(shuffled, tmp_path / "in") == 0.0
    # Samples are paired with each other, too.
    both = score([tmp_path / "in", tmp_path / "other"], reference, metrics=["lpips_diversity"])
    assert value(both, "lpips_diversity") == 0.0
    with pytest.raises(BenchError, match=r"no picture for e of the inputs"):
        distance([file for file in shuffled if file.name[0] != "e"], tmp_path / "in")
    write_png(tmp_path / "out" / "f.png", outputs[0])
    with pytest.raises(BenchError, match=r"f\.png belongs to none of the inputs"):
        distance(tmp_path / "out", tmp_path / "in")
