"""docs/results.md: every number of it comes from a run or from what others published."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.analysis.contest import comparisons
from bench.analysis.summary import summary
from bench.analysis.text import format_number
from bench.api import RunView
from bench.plugins import Registry, load_plugins
from bench.suite.schema import make_suite, read_suite
from suites import study
from suites.page import signed
from tests.factories import make_run
from tests.models import forgotten, write_model

ROOT = Path(__file__).parents[2]
PUBLISHED = tomllib.loads(study.PUBLISHED.read_text("utf-8"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    plugin = write_model(tmp_path_factory.mktemp("models"), name="small", plugin="study_models")
    with forgotten("study_models"):
        yield load_plugins([plugin])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    view = make_run(
        tmp_path_factory.mktemp("study") / "run",
        methods=("munit", "cyclegan", "identity"),
        datasets=("seasons", "yosemite"),
        inputs=4,
        samples=3,
        seeds=(0, 1, 2),
        truths=1,
        twins=("view-001",),
        failures=False,
    )
    # A method with one answer leaves one picture.
    one = (view.samples["label"] == "munit") | (view.samples["sample"] == 0)
    view = replace(view, samples=view.samples[one])
    view = replace(view, comparisons=comparisons(view, draws=200))
    entries = [{"name": "munit", "model": "small", "label": "munit"}, {"name": "cyclegan"}]
    return replace(view, suite={**view.suite, "methods": entries})


@pytest.fixture(scope="module")
def told(run: RunView, registry: Registry) -> dict[str, Any]:
    return json.loads(json.dumps(study.facts(run, registry)))


def typed_texts(module: Path) -> list[str]:
    """The texts of a module, without those that document it."""
    tree = ast.parse(module.read_text("utf-8"))
    told = {
        ast.get_docstring(n, clean=False)
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef | ast.Module)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in told
    ]


def test_no_text_of_the_document_holds_a_digit() -> None:
    typed = typed_texts(Path(study.__file__))
    assert len(typed) > 100 and not [text for text in typed if any(c.isdigit() for c in text)]


def test_the_numbers_are_those_of_the_run(run: RunView, told: dict[str, Any]) -> None:
    text = study.document(told, PUBLISHED)
    table = summary(run)
    for dataset in ("seasons", "yosemite"):
        part = text.split(f"### {dataset}, summer2winter\n")[1].split("\n#")[0]
        lines = [line.split(" | ") for line in part.splitlines() if line.startswith("| ")]
        assert [name.strip(" `*|") for name in lines[0][1:]] == ["munit", "cyclegan", "identity"]
        assert len(lines) > 5
        kid = next(line for line in lines if line[0].startswith("| KID"))
        rows = table[(table["dataset"] == dataset) & (table["direction"] == "summer2winter")]
        assert [cell.split()[0] for cell in kid[1:]] == [format_number(v) for v in rows["kid"]]
        assert kid[0].endswith("↓")
    assert "Training seeds: cyclegan 3, identity 3, munit 3" in text
    assert not any(column["metric"] == "latency" for column in told["columns"])


def test_the_four_questions_are_answered(run: RunView, told: dict[str, Any]) -> None:
    text = study.document(told, PUBLISHED)
    better = text.split("## Is one direction better than the other?")[1].split("\n## ")[0]
    table = summary(run).query("dataset == 'yosemite' and label == 'munit'")
    one, two = (float(v) for v in table["kid"])
    line = next(s for s in better.split("### yosemite")[1].splitlines() if "`munit` | KID" in s)
    assert line.split(" | ")[2] == signed(float(f"{one:.6g}") - float(f"{two:.6g}"))
    assert line.split(" | ")[4] in ("not shown", "summer2winter", "winter2summer")
    assert "images/results-styles-yosemite-summer2winter.jpg" in text
    alone = text.split("## What does a method with one answer give up?")[1].split("\n## ")[0]
    assert "`munit` − `cyclegan`" in alone and "`cyclegan` − `munit`" not in alone
    assert "1 of 4 test inputs are byte for byte training pictures" in text
    leaks = text.split("## How much do test pictures")[1].split("\n## ")[0]
    assert "| KID" in leaks
    assert "77.342" in text and PUBLISHED["why"][0] in text
    assert "`munit@small`" in text and "everything" in text
    way = text.split("### On the way there")[1].split("\n## ")[0]
    lines = [line.split(" | ")[1:] for line in way.splitlines() if "`munit@small`" in line]
    assert [line[:3] for line in lines] == [
        ["seasons, summer2winter", "5", "0.125"],
        ["seasons, summer2winter", "10", "0.250"],
    ]
    assert [line[3].strip(" |") for line in lines] == ["0.300", "0.123"]


def test_the_same_run_gives_the_same_page(run: RunView, registry: Registry, told: Any) -> None:
    again = json.loads(json.dumps(study.facts(run, registry)))
    assert study.document(again, PUBLISHED) == study.document(told, PUBLISHED)
    other = json.loads(json.dumps(told))
    other["rows"][0]["values"]["kid"][0] *= 1.5
    assert study.document(other, PUBLISHED) != study.document(told, PUBLISHED)


def test_all_of_it_is_written(
    run: RunView, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(study, "open_run", lambda path: run)
    monkeypatch.setattr(study, "load_plugins", lambda: registry)
    study.main(run.path, tmp_path)
    facts = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert (tmp_path / "results.md").read_text("utf-8") == study.document(facts, PUBLISHED)
    sheets = sorted((tmp_path / "images").iterdir())
    assert len(sheets) == 8
    for sheet in sheets:
        assert sheet.name in (tmp_path / "results.md").read_text("utf-8")
        with Image.open(sheet) as image:
            assert image.format == "JPEG" and image.width <= 1008


def test_the_committed_page_is_that_of_the_committed_numbers() -> None:
    facts = ROOT / "docs" / "results.json"
    if not facts.is_file():
        pytest.skip("the study has not been made: make study")
    page = study.document(json.loads(facts.read_text("utf-8")), PUBLISHED)
    assert (ROOT / "docs" / "results.md").read_text("utf-8") == page


def test_the_suite_of_the_study() -> None:
    suite = make_suite(read_suite(ROOT / "suites" / "study.toml") | {"train": True})
    assert {"munit", "cyclegan", "bicyclegan"} <= {entry.title for entry in suite.methods}
    assert [(data.name, data.size) for data in suite.datasets] == [
        ("seasons", 64),
        ("yosemite", 128),
    ]
