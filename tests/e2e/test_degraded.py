"""A method whose pictures have gone soft is found out, by test and by exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from bench.analysis.compare import compare
from bench.storage.tables import read_run
from tests import toys

ARGS = ("--dataset", "seasons", "--set", "dataset.train=24", "--set", "dataset.test=24")
QUIET = ("--size", "64", "--samples", "2", "--metrics", "kid,lpips_input", "--reports", "tables")


def blurred(images: Path, out: Path) -> Path:
    """The same pictures through a Gaussian of two pixels."""
    for file in images.rglob("*.png"):
        target = out / file.relative_to(images)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.filter(ImageFilter.GaussianBlur(2)).save(target)
    return out


@pytest.mark.slow
def test_blurred_outputs_fail_the_comparison(tmp_path: Path) -> None:
    def run(method: str, out: str) -> Path:
        command = ("run", "-m", f"{method},identity", *ARGS, *QUIET, "--out", out)
        done = toys.bench(*command, cwd=tmp_path, cache=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        return tmp_path / out

    before = run("color_transfer", "before")
    trials = read_run(before).trials.set_index("label")["trial"]
    images = before / "trials" / trials["color_transfer"] / "images"
    soft = blurred(images, tmp_path / "soft")
    after = run(f"outputs:color_transfer={soft}", "after")

    rows = compare(before, after).differences.set_index(["label", "metric"])
    worse = rows.loc[[("color_transfer", "kid")]]
    assert list(worse["verdict"]) == ["worse", "worse"] and (worse["p"] < 0.01).all()
    assert set(rows.loc[[("identity", "kid")]]["verdict"]) == {"same"}

    def code(*command: str) -> int:
        return toys.bench("compare", *command, cwd=tmp_path, cache=tmp_path / "cache").returncode

    assert code("before", "after", "--fail-if", "kid worse") == 1
    assert code("before", "after", "--fail-if", "kid worse for identity") == 0
    assert code("before", "before", "--fail-if", "any changed") == 0
    assert compare(before, before).same
