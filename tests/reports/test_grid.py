"""Inputs by methods as one picture: what it shows, and that nothing of it can break out."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import vl_convert
from PIL import Image

from bench import cli
from bench.analysis.plots import plot
from bench.api import RunView
from bench.data.images import read_image
from bench_html import grid
from bench_html.config import GridConfig
from tests.factories import HOSTILE, make_run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    methods = ("munit", "cyclegan", "identity")
    return make_run(
        tmp_path_factory.mktemp("grid") / "run",
        methods=methods,
        inputs=5,
        samples=3,
        truths=2,
        seeds=(1, 0),
        failures=False,
    )


def drawn(run: RunView, monkeypatch: pytest.MonkeyPatch, out: Path, **config: object) -> list[str]:
    """The drawings that are turned into files."""
    seen: list[str] = []
    real = vl_convert.svg_to_pdf
    monkeypatch.setattr(plot.vl_convert, "svg_to_pdf", lambda svg: seen.append(svg) or real(svg))
    grid.render_grid(run, out, GridConfig(**config))  # type: ignore[arg-type]
    return seen


def words(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_inputs_by_methods(run: RunView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    svgs = drawn(run, monkeypatch, tmp_path, inputs=2, samples=2)
    assert words(svgs[0]) == ["input", "true", "munit", "", "cyclegan", ""]
    names = [f"grid-yosemite-{direction}" for direction in ("summer2winter", "winter2summer")]
    files = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert files == sorted(f"{name}.{end}" for name in names for end in ("pdf", "png"))
    assert (tmp_path / "figures" / f"{names[0]}.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "figures" / f"{names[0]}.png") as image:
        wide = (672 - 3 * 5) / 6
        assert image.size == pytest.approx((672 * 3, (16 + 2 * wide + 3) * 3), abs=2)
        shown = np.asarray(image.convert("RGB"), float)
    # The second row is the third of five inputs; the third column its first output of seed 0.
    samples = run.samples.query(
        "label == 'munit' and direction == 'summer2winter' and seed == 0 and sample == 0"
    )
    third = sorted(samples["input_id"].unique())[2]
    path = samples[samples["input_id"] == third]["path"].iloc[0]
    left, top = round(3 * 2 * (wide + 3)), round(3 * (16 + wide + 3))
    cell = shown[top : top + round(3 * wide), left : left + round(3 * wide)]
    small = Image.fromarray(cell.astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    assert np.abs(np.asarray(small, float) - read_image(run.path / path)).mean() < 12


def test_anchors_are_shown_when_asked_for(
    run: RunView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    svgs = drawn(run, monkeypatch, tmp_path, anchors=True, inputs=24)
    assert words(svgs[1]) == ["input", "true", "munit", "cyclegan", "identity"]
    assert len(list(ElementTree.fromstring(svgs[1]).iter(f"{SVG}image"))) == 5 * 5


def test_names_stay_text_and_missing_pictures_are_grey(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", methods=("munit",), inputs=2, samples=1, hostile=True)
    run = replace(run, samples=run.samples.assign(path="../../secret.png"))
    svgs = drawn(run, monkeypatch, tmp_path / "out")
    tree = ElementTree.fromstring(svgs[0])  # well-formed, whatever a method is called
    assert any(any(bad in word for bad in HOSTILE) for word in words(svgs[0]))
    assert {e.tag for e in tree.iter()} == {f"{SVG}{t}" for t in ("svg", "rect", "text", "image")}
    assert len(list(tree.iter(f"{SVG}rect"))) == 1 + 2 and len(list(tree.iter(f"{SVG}image"))) == 2


def test_the_verb(
    run: RunView, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "report", str(run.path), "--figure", "--set", "grid.inputs=1"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().out
    assert printed.split()[-1] == str(run.path / "report" / "figures")
    png = (run.path / "report" / "figures" / "grid-yosemite-summer2winter.png").read_bytes()
    with Image.open(io.BytesIO(png)) as image:
        assert image.size[1] < image.size[0] / 2
    monkeypatch.setattr("sys.argv", [*words[:-1], "grid.rows=1"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "rows" in capsys.readouterr().err
