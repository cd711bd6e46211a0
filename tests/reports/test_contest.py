"""The methods of a run held against each other on the same inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.contest import comparisons
from bench.analysis.validity import open_run
from bench.api import RunView
from bench.stats import holm, paired_permutation
from bench.storage.tables import COMPARISONS
from tests.factories import MAKERS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return make_run(
        tmp_path_factory.mktemp("run"),
        methods=(
            "munit",
            "cyclegan",
            replace(MAKERS["munit"], name="twin"),
            "identity",
            "color_transfer",
        ),
        datasets=("here", "there"),
        inputs=20,
        samples=2,
        size=8,
        pictures=False,
        failures=True,
    )


def means(run: RunView, **where: Any) -> Any:
    """The values of one label by input, in the order of the table."""
    rows = run.samples
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows.groupby("input_id", sort=False)["value"].mean()


def test_every_pair_and_each_method_beside_the_input(run: RunView) -> None:
    found = comparisons(run)
    assert list(found.columns) == list(COMPARISONS)
    one = found.query("dataset == 'here' and direction == 'summer2winter'")
    assert set(one["metric"]) == {"lpips_input", "lpips_diversity"}
    pairs = list(
        one.query("metric == 'lpips_input'")[["label_a", "label_b"]].itertuples(
            index=False, name=None
        )
    )
    assert pairs == [
        ("munit", "cyclegan"),
        ("munit", "twin"),
        ("cyclegan", "twin"),
        ("munit", "identity"),
        ("cyclegan", "identity"),
        ("twin", "identity"),
    ]  # not color_transfer: an anchor that stands for nothing
    assert len(found) == 2 * 2 * 2 * 6
    assert (found["test"] == "paired").all() and (found["n"] == 20).all()
    assert set(found["extractor"]) == {"stlpips-alex"}


def test_the_numbers_are_those_of_the_paired_test(run: RunView) -> None:
    found = comparisons(run)
    where = {"dataset": "there", "direction": "winter2summer", "metric": "lpips_input"}
    for row in found[(found[list(where)] == list(where.values())).all(axis=1)].itertuples():
        a, b = (means(run, label=label, **where) for label in (row.label_a, row.label_b))
        single = paired_permutation(a.to_numpy(), b.loc[a.index].to_numpy())
        assert (row.difference, row.p) == (single.difference.value, single.p)
        assert (row.low, row.high) == (single.difference.low, single.difference.high)
    there = found[(found["dataset"] == "there") & (found["metric"] == "lpips_input")]
    assert there["direction"].nunique() == 2
    adjusted = holm({str(i): float(p) for i, p in there["p"].items()})
    assert there["p_adjusted"].tolist() == [adjusted[str(i)] for i in there.index]
    assert (there["p_adjusted"] >= there["p"]).all() and (there["p_adjusted"] > there["p"]).any()


def test_other_networks_and_other_inputs_are_not_compared(run: RunView) -> None:
    hit = run.measurements["label"].eq("twin")
    network = run.measurements["extractor"].mask(hit, "another")
    found = comparisons(replace(run, measurements=run.measurements.assign(extractor=network)))
    assert "twin" not in set(found["label_a"]) | set(found["label_b"])
    fewer = run.samples[~(run.samples["label"].eq("twin") & run.samples["input_id"].eq("view-003"))]
    found = comparisons(replace(run, samples=fewer))
    assert (
        "twin" not in set(found["label_a"]) | set(found["label_b"]) and len(found) == 2 * 2 * 2 * 3
    )


def test_seeds_scored_by_different_networks_have_no_common_value(tmp_path: Path) -> None:
    run = make_run(tmp_path, methods=("munit", "cyclegan"), seeds=(0, 1), inputs=4, pictures=False)
    assert len(comparisons(run)) == 4
    hit = run.measurements["label"].eq("munit") & run.measurements["seed"].eq(1)
    network = run.measurements["extractor"].mask(hit, "another")
    assert comparisons(replace(run, measurements=run.measurements.assign(extractor=network))).empty


def test_a_column_that_is_no_headline_is_not_tested(run: RunView) -> None:
    columns = {n: replace(c, headline=None) for n, c in run.declared.columns.items()}
    assert comparisons(replace(run, declared=replace(run.declared, columns=columns))).empty


def test_an_opened_run_has_its_comparisons(run: RunView) -> None:
    again = open_run(run.path)
    assert again.comparisons.equals(comparisons(run)) and len(again.comparisons)
    assert np.isfinite(again.comparisons["p_adjusted"]).all()
