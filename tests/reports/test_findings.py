"""What the pictures of a run give away, by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.api import RunView
from bench_html import findings, gallery
from bench_html.alike import distinct, groups
from tests.factories import make_run


def found(run: RunView, tmp_path: Path) -> list[findings.Finding]:
    anchors = {"identity": True}
    return findings.find(run, gallery.build(run, tmp_path / "out", anchors))


@pytest.fixture
def run(tmp_path: Path) -> RunView:
    return make_run(tmp_path / "run", inputs=3, samples=2, size=16, failures=False)


def outputs(run: RunView, method: str, direction: str = "summer2winter") -> Path:
    return run.path / "trials" / f"{method}-yosemite-s0" / "images" / direction


def test_same_content_is_found_whatever_its_name(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "two"), ("c", "one"), ("d", "longer"), ("e", "one")):
        (tmp_path / name).write_text(text, "utf-8")
    files = [tmp_path / name for name in "abcde"]
    assert groups(files) == [0, 1, 0, 3, 0]
    assert distinct(files) == 3 and distinct([]) == 0
    # A file that changes is read again.
    (tmp_path / "c").write_text("two", "utf-8")
    assert groups(files)[2] in (0, 1) and distinct(files[1:3]) == 1


def test_a_clean_run_has_expected_findings_only(run: RunView, tmp_path: Path) -> None:
    listed = found(run, tmp_path)
    assert listed and all(f.expected and f.title.startswith("identity") for f in listed)


def test_shared_outputs_and_copies_are_named(run: RunView, tmp_path: Path) -> None:
    munit = outputs(run, "munit")
    shutil.copyfile(munit / "view-000" / "0.png", munit / "view-002" / "0.png")
    source = run.path / "inputs" / "yosemite" / "winter2summer" / "view-001.png"
    shutil.copyfile(source, outputs(run, "munit", "winter2summer") / "view-001" / "0.png")
    shared, copied = (f for f in found(run, tmp_path) if not f.expected)
    assert shared.title == "munit gives 2 of 3 inputs an output that another input has, too"
    assert shared.shots == ((0, 0, 0), (0, 0, 2))
    assert copied.title == "munit leaves 1 of 3 inputs unchanged"
    assert copied.shots == ((1, 0, 1),)


def test_inputs_that_are_alike_may_share_their_output(run: RunView, tmp_path: Path) -> None:
    inputs = run.path / "inputs" / "yosemite" / "summer2winter"
    shutil.copyfile(inputs / "view-000.png", inputs / "view-002.png")
    munit = outputs(run, "munit")
    shutil.copyfile(munit / "view-000" / "0.png", munit / "view-002" / "0.png")
    assert all(f.expected for f in found(run, tmp_path))


@pytest.mark.parametrize(
    ("metric", "value", "low", "words"),
    [
        ("memorised", 0.6, 0.4, "munit comes close to training images"),
        ("memorised", 0.1, 0.02, ""),
        ("spread", 0.1, None, "munit hardly varies from input to input"),
        ("spread", 0.9, None, ""),
    ],
)
def test_measured_findings(
    run: RunView, tmp_path: Path, metric: str, value: float, low: float | None, words: str
) -> None:
    # The first row twice; the second time it says something else.
    rows = run.measurements.iloc[[*range(len(run.measurements)), 0]].reset_index(drop=True)
    assert rows["label"].iloc[-1] == "munit"
    said = {"metric": metric, "value": value, "low": low, "high": 0.95}
    for name, what in said.items():
        rows.loc[len(rows) - 1, name] = what
    wider = replace(run, measurements=rows)
    titles = [f.title for f in found(wider, tmp_path) if not f.expected]
    assert titles == ([words] if words else [])


@pytest.mark.parametrize("version", [1, 2])
def test_training_twins_are_read_from_the_run_only(tmp_path: Path, version: int) -> None:
    run = make_run(
        tmp_path / "run", inputs=3, size=16, twins=("view-002",), failures=False, version=version
    )
    first = found(run, tmp_path)[0]
    assert first.title == "1 of 3 test inputs of summer2winter are training images"
    assert first.shots == ((0, -1, 2),)
    audit = run.path / "audit" / ("yosemite" if version > 1 else "")
    (audit / "summer2winter.json").write_text("not JSON", "utf-8")
    (audit / "winter2summer.json").unlink()
    (tmp_path / "x.json").write_text(json.dumps({"view-000": [["a", "b"]]}), "utf-8")
    elsewhere = replace(run, samples=run.samples.assign(direction="../../x"))
    outside = replace(run, samples=run.samples.assign(dataset="../..", direction="x"))
    for view in (run, elsewhere, outside):
        assert not any("training images" in f.title for f in found(view, tmp_path))


def test_the_nearest_true_look_is_chosen_for_each_sample(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", inputs=1, samples=2, size=16, truths=3, failures=False)
    munit = outputs(run, "munit") / "view-000"
    for sample, truth in ((0, 2), (1, 1)):
        looks = run.path / "truths" / "yosemite" / "summer2winter" / "view-000"
        shutil.copyfile(looks / f"{truth}.png", munit / f"{sample}.png")
    built = gallery.build(run, tmp_path / "out", {}).description
    direction = built["directions"][0]
    assert direction["inputs"][0]["truth"]["n"] == 3
    assert direction["series"][0]["cells"][0]["near"] == [2, 1]
    assert all(
        (tmp_path / "out" / link).is_file() for link in direction["inputs"][0]["truth"]["full"]
    )
