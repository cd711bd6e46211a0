"""How pictures made elsewhere were encoded: told from files, and done again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.analysis.validity import open_run
from bench.data.encoding import Encoding, encode_again, encoding_of, usual_encoding
from bench.data.images import read_image
from tests import toys


def photograph(side: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return np.array(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 92, 100])
def test_a_jpeg_tells_its_quality(tmp_path: Path, quality: int) -> None:
    Image.fromarray(photograph()).save(tmp_path / "x.jpg", quality=quality)
    assert encoding_of(tmp_path / "x.jpg") == Encoding("JPEG", quality, 64)


def test_what_is_told_is_done_again(tmp_path: Path) -> None:
    Image.fromarray(photograph()).save(tmp_path / "x.jpg", quality=60)
    Image.fromarray(photograph()).save(tmp_path / "x.png")
    coded = encode_again(photograph(), encoding_of(tmp_path / "x.jpg"))
    assert np.array_equal(coded, read_image(tmp_path / "x.jpg"))
    small = encode_again(photograph(), Encoding("JPEG", 95, 16))
    assert small.shape == (64, 64, 3) and np.abs(small.astype(int) - photograph()).mean() > 2
    # Three of one kind are the usual one, whatever a fourth is.
    files = [tmp_path / name for name in ("x.jpg", "x.png", "x.jpg")]
    assert usual_encoding([*files, None]) == Encoding("JPEG", 60, 64)
    assert usual_encoding([None]) is None


def test_what_differs() -> None:
    png, jpeg = Encoding("PNG", 0, 64), Encoding("JPEG", 75, 64)
    assert not png.differs(jpeg) and not png.differs(None)
    assert jpeg.differs(png) and jpeg.differs(None) and jpeg.differs(Encoding("JPEG", 95, 64))
    assert not jpeg.differs(Encoding("JPEG", 76, 256))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_anchors_of_a_jpeg_folder_are_encoded_as_it_is(tmp_path: Path, suffix: str) -> None:
    toys.make_folder(tmp_path / "data")
    (tmp_path / "theirs").mkdir()
    for file in (tmp_path / "data" / "testA").iterdir():
        with Image.open(file) as image:
            image.save(tmp_path / "theirs" / f"{file.stem}.{suffix}", quality=40)
    done = toys.bench(
        *("run", "-m", "outputs:theirs,identity", "--data-root", "data", "--size", "32"),
        *("--dataset", "image_folder", "--directions", "a2b", "--metrics", "brightness"),
        *("--plugin", toys.write_toy(tmp_path), "--reports", "tables", "--out", "run"),
        cwd=tmp_path,
        cache=tmp_path / "cache",
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    view = open_run(tmp_path / "run")
    trials = view.trials.set_index("label")
    if suffix == "png":
        assert set(trials.index) == {"theirs", "identity"}
        return
    assert set(trials.index) == {
        "theirs",
        "identity",
        "identity as JPEG q40",
        "real_target as JPEG q40",
    }
    assert trials.loc["theirs", "reason"] == "JPEG q40, unlike real pictures"
    assert "theirs: JPEG q40, unlike real pictures" in done.stdout
    check = view.checks.set_index("name").loc["Outputs are encoded as real pictures are"]
    assert check["verdict"] == "remarks" and "identity as JPEG q40" in check["detail"]
    trial = tmp_path / "run" / "trials" / trials.loc["identity as JPEG q40", "trial"]
    for file in (tmp_path / "theirs").iterdir():
        again = read_image(trial / "images" / "a2b" / file.stem / "0.png")
        assert np.array_equal(again, read_image(file))
