"""docs/recipes.md: every number of it comes from a run of trainings that were scored on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.contest import comparisons
from bench.analysis.text import format_number
from bench.api import RunView
from bench.suite.schema import make_suite, read_suite
from suites import recipes
from tests.factories import make_run
from tests.reports.test_study import typed_texts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    view = make_run(
        tmp_path_factory.mktemp("recipes") / "run",
        methods=("munit", "cyclegan", "identity"),
        inputs=4,
        samples=2,
        seeds=(0, 1, 2),
        points=(100, 300),
        failures=False,
    )
    view = replace(view, comparisons=comparisons(view, draws=200))
    entries = [
        {"name": "munit", "budget": "300it", "config": {"lr": 0.5}},
        {"name": "cyclegan", "budget": "300it", "config": {}},
        {"name": "identity", "config": {}},
    ]
    entries[1]["precision"] = "fp32"
    return replace(view, suite={**view.suite, "methods": entries, "precision": "bf16"})


@pytest.fixture(scope="module")
def told(run: RunView) -> dict[str, Any]:
    return json.loads(json.dumps(recipes.facts(run)))


def test_no_text_of_the_document_holds_a_digit() -> None:
    typed = typed_texts(Path(recipes.__file__))
    assert len(typed) > 40 and not [text for text in typed if any(c.isdigit() for c in text)]


def test_the_numbers_are_those_of_the_run(run: RunView, told: dict[str, Any]) -> None:
    text = recipes.document(told)
    part = text.split("### summer2winter\n")[1].split("\n#")[0]
    head, _, *lines = [line.split(" | ") for line in part.splitlines() if line.startswith("| ")]
    assert [line[:2] for line in lines] == [
        [f"| `{label}`", points] for label in ("munit", "cyclegan") for points in ("100", "300")
    ]
    place = next(i for i, name in enumerate(head) if name.startswith("KID"))
    mine = run.curves.query("label == 'munit' and direction == 'summer2winter' and metric == 'kid'")
    mine = mine[(mine["subset"] == "all") & (mine["iteration"] == 100)]
    assert len(mine) == 3
    assert float(lines[0][place].split()[0]) == pytest.approx(mine["value"].mean(), rel=6e-3)
    assert lines[0][2] == format_number(100 * 0.1 * 2 / 3600)
    settings = text.split("## The recipes\n")[1].split("\n## ")[0]
    assert "| `munit` | `precision=bf16`, `budget=300it`, `lr=0.5` |" in settings
    assert "| `cyclegan` | `precision=fp32`, `budget=300it` |" in settings
    assert "identity" not in settings
    ends = text.split("## Which is better at the end\n")[1]
    pairs = [line for line in ends.splitlines() if line.startswith("### ")]
    assert pairs == ["### `munit` − `cyclegan`"]
    directions = [line.split(" | ")[0] for line in ends.splitlines() if " | Diversity" in line]
    assert directions == ["| summer2winter", "| winter2summer"]
    assert "identity" not in ends


def test_all_of_it_is_written(
    run: RunView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recipes, "open_run", lambda path: run)
    recipes.main(run.path, tmp_path)
    facts = json.loads((tmp_path / "recipes.json").read_text("utf-8"))
    page = (tmp_path / "recipes.md").read_text("utf-8")
    assert page == recipes.document(facts)
    drawn = sorted((tmp_path / "images").iterdir())
    assert len(drawn) == 2 and all(picture.name in page for picture in drawn)


def test_the_committed_page_is_that_of_the_committed_numbers() -> None:
    facts = ROOT / "docs" / "recipes.json"
    if not facts.is_file():
        pytest.skip("the page has not been made: make recipes")
    page = recipes.document(json.loads(facts.read_text("utf-8")))
    assert (ROOT / "docs" / "recipes.md").read_text("utf-8") == page


def test_the_suite_compares_two_recipes_and_two_precisions() -> None:
    suite = make_suite(read_suite(ROOT / "suites" / "recipes.toml"))
    shipped = make_suite(read_suite(ROOT / "suites" / "models" / "munit-seasons-64.toml"))
    old, new, half = (entry for entry in suite.methods if entry.budget)
    averaged = old.config | {"ema": 0.999}
    # The shipped model has a third scale of the discriminators, which these were made without.
    assert averaged["dis_num_scales"] == 2
    assert (averaged | {"dis_num_scales": 3}).items() < shipped.methods[0].config.items()
    assert new.config == half.config == averaged | {"lr_steps": 2, "recon_x_cyc_w": 5.0}
    assert (old.budget, new.budget, half.budget) == ("4000it", "4000it", "4800it")
    assert (old.precision, new.precision, half.precision) == (None, None, "bf16")
    assert suite.datasets[0].config == shipped.datasets[0].config and len(suite.seeds) == 3
