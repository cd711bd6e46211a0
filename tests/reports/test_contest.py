"""The methods of a run held against each other on the same inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.contest import comparisons
from bench.analysis.summary import summary
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


def test_a_column_without_a_better_side_is_not_tested(run: RunView) -> None:
    columns = {n: replace(c, higher_is_better=None) for n, c in run.declared.columns.items()}
    assert comparisons(replace(run, declared=replace(run.declared, columns=columns))).empty


def resampled(run: RunView, draw: dict[str, str] | None = None) -> RunView:
    """The run with KID of a hundred resamples, in which cyclegan is a little worse than munit."""
    draws = np.random.default_rng(0).normal(0, 1, 100)
    shift = {"munit": 0.0, "cyclegan": 0.2, "twin": 0.0, "identity": 3.0, "color_transfer": 1.0}

    def of(label: str, metric: str) -> list[float] | None:
        own = np.random.default_rng(len(label)).normal(0, 0.01, 100)
        return list(draws + shift[label] + own) if metric == "kid" else None

    rows = run.measurements
    places = list(zip(rows["label"], rows["metric"], strict=True))
    values = [of(label, metric) for label, metric in places]
    return replace(
        run,
        measurements=rows.assign(
            resampled=pd.Series(values, index=rows.index, dtype="object"),
            draw=[(draw or {}).get(label, "these") for label, _ in places],
            value=[
                shift[label] if metric == "kid" else value
                for (label, metric), value in zip(places, rows["value"], strict=True)
            ],
        ),
    )


def test_what_no_single_output_has_is_paired_by_its_resamples(run: RunView) -> None:
    found = comparisons(resampled(run)).query("metric == 'kid' and dataset == 'here'")
    assert len(found) == 2 * 6 and (found["test"] == "paired").all()
    pair = found.query("label_a == 'munit' and label_b == 'cyclegan'").iloc[0]
    # By hundredths, where the values of either move by whole units from draw to draw.
    assert pair["difference"] == pytest.approx(-0.2)
    assert pair["high"] < -0.1 and pair["p_adjusted"] < 1e-6
    twin = found.query("label_a == 'munit' and label_b == 'twin'").iloc[0]
    assert twin["low"] < 0 < twin["high"] and twin["p_adjusted"] == 1.0


def test_other_draws_do_not_pair(run: RunView) -> None:
    found = comparisons(resampled(run, {"cyclegan": "others"})).query("metric == 'kid'")
    assert len(found) and "cyclegan" not in set(found["label_a"]) | set(found["label_b"])


def test_a_tie_is_what_the_paired_test_does_not_tell_apart(run: RunView) -> None:
    """Intervals of a KID are wide; of the difference of two they need not be."""
    known = resampled(run)
    rows = known.measurements
    wide = rows["metric"].eq("kid")
    rows = rows.assign(
        low=rows["low"].mask(wide, rows["value"] - 2),
        high=rows["high"].mask(wide, rows["value"] + 2),
    )
    known = replace(known, measurements=rows)
    for view, groups in (
        (replace(known, comparisons=comparisons(known)), {"munit": 1, "twin": 1, "cyclegan": 2}),
        (
            replace(known, comparisons=known.comparisons.head(0)),
            dict.fromkeys(["munit", "twin", "cyclegan"], 1),
        ),
    ):
        here = summary(view).query("dataset == 'here' and direction == 'summer2winter'")
        ranks = here.set_index("label")["kid_group"].dropna()
        assert {str(k): int(v) for k, v in ranks.items()} == groups


def test_an_opened_run_has_its_comparisons(run: RunView) -> None:
    again = open_run(run.path)
    assert again.comparisons.equals(comparisons(run)) and len(again.comparisons)
    assert np.isfinite(again.comparisons["p_adjusted"]).all()
