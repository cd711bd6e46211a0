"""The summary table: pooling, tie groups, checks, and its text forms."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.analysis.columns import columns, leading
from bench.analysis.ranking import easier_direction, hardly_changes, no_better_than_nothing, rank
from bench.analysis.summary import summary
from bench.analysis.tables import csv_table, inert, latex_table, markdown_table
from bench.analysis.text import format_number
from bench.analysis.validity import checks
from bench.api import Kind, RunView
from bench.cli.tables import run_lines
from bench.storage.tables import table
from tests.factories import HOSTILE, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return make_run(
        tmp_path_factory.mktemp("run"),
        methods=("munit", "neural_style", "cyclegan", "identity"),
        inputs=2,
        samples=2,
        pictures=False,
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return make_run(tmp_path_factory.mktemp("run"), inputs=2, pictures=False, hostile=True)


def measured(run: RunView, rows: list[dict[str, object]]) -> RunView:
    """A run with these measurements and nothing else changed."""
    given = {"dataset": "d", "direction": "x", "subset": "all", "n": 10, "kind": "quality"}
    made = [given | {"method": row["label"], "trial": row["label"]} | row for row in rows]
    trials = [
        {"label": n, "method": n, "trial": n, "dataset": "d", "status": "ok", "seed": 0}
        for n in dict.fromkeys(row["label"] for row in made)
    ]
    return replace(
        run,
        trials=table("trials", trials),
        measurements=table("measurements", made),
        samples=table("samples", []),
        timings=table("timings", []),
    )


def asked(question: Any, run: RunView, kind: Kind = "quality") -> dict[str, list[str]]:
    """The answer to a question about the leading column of a kind."""
    column = leading(columns(run), kind)
    assert column is not None
    found: dict[str, list[str]] = question(summary(run), column)
    return found


def test_a_row_for_each_label_and_direction_failures_included(run: RunView) -> None:
    frame = summary(run)
    assert len(frame) == 2 * (4 + 5)
    assert not frame.duplicated(["dataset", "direction", "label"]).any()
    broken = frame[frame["label"] == "broken_oom"]
    assert list(broken["status"]) == ["oom", "oom"]
    assert broken["reason"].str.contains("3.1 GB").all()
    assert broken["kid"].isna().all()


def test_values_are_the_measured_ones(run: RunView) -> None:
    frame = summary(run).set_index(["label", "direction"])
    one = run.measurements.query(
        "label == 'munit' and direction == 'winter2summer' and metric == 'kid' and subset == 'all'"
    ).iloc[0]
    row = frame.loc[("munit", "winter2summer")]
    assert (row["kid"], row["kid_low"], row["kid_high"]) == (one["value"], one["low"], one["high"])


def test_ties_and_anchors(run: RunView) -> None:
    frame = summary(run).set_index(["direction", "label"]).loc["summer2winter"]
    assert frame.loc["cyclegan", "kid_best"] and frame.loc["cyclegan", "kid_group"] == 1
    assert frame.loc["munit", "kid_group"] == 1 and not frame.loc["munit", "kid_best"]
    assert frame.loc["neural_style", "kid_group"] == 2
    # The untouched input changes least of all, and wins nothing by that.
    assert frame.loc["identity", "lpips_input"] == 0
    assert pd.isna(frame.loc["identity", "lpips_input_group"])
    assert not frame["lpips_input_best"].loc["identity"]


def test_an_unknown_metric_has_its_column(run: RunView) -> None:
    column = next(c for c in columns(run) if c.metric == "sharpness")
    assert not column.headline and column.higher_is_better and column.arrow == "↑"
    assert summary(run)["sharpness"].notna().sum() == 8


def test_extractors_and_subsets_are_never_mixed(run: RunView) -> None:
    rows = [
        {"label": "a", "metric": "kid", "value": 1.0, "extractor": "lite"},
        {"label": "b", "metric": "kid", "value": 2.0, "extractor": "lite"},
        {"label": "b", "metric": "kid", "value": 9.0, "extractor": "inception"},
        {"label": "b", "metric": "kid", "value": 3.0, "extractor": "lite", "subset": "clean"},
    ]
    frame = summary(measured(run, rows)).set_index("label")
    assert list(frame["kid"]) == [1.0, 2.0]
    assert frame.loc["b", "kid [inception]"] == 9.0 and math.isnan(
        frame.loc["a", "kid [inception]"]
    )
    assert frame.loc["b", "kid (clean)"] == 3.0
    mixed = {c.name: c for c in checks(measured(run, rows))}["One extractor per metric"]
    assert mixed.passed is False


def test_seeds_are_pooled_with_the_interval_of_their_mean(run: RunView) -> None:
    rows = [
        {"label": "a", "seed": s, "metric": "kid", "value": v, "low": v - 9, "high": v + 9}
        for s, v in enumerate([1.0, 2.0, 3.0])
    ]
    row = summary(measured(run, rows)).iloc[0]
    assert row["kid"] == 2.0
    # t(0.975, 2) * 1 / sqrt(3)
    assert row["kid_high"] - row["kid"] == pytest.approx(2.4841377, rel=1e-6)
    two = summary(measured(run, rows[:2])).iloc[0]
    assert (two["kid"], two["kid_low"], two["kid_high"]) == (1.5, -8.0, 11.0)


def test_rank_by_hand() -> None:
    groups = rank(
        [1.0, 1.2, 3.0, math.nan, 2.9],
        [0.8, 1.1, 2.5, math.nan, math.nan],
        [1.15, 1.4, 3.5, math.nan, math.nan],
        higher_is_better=False,
    )
    assert groups == [1, 1, 2, None, 2]
    assert rank([1.0, 2.0], [math.nan] * 2, [math.nan] * 2, higher_is_better=True) == [2, 1]


@given(
    st.lists(
        st.tuples(st.floats(-100, 100), st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=12
    ),
    st.booleans(),
)
def test_rank_has_its_properties(rows: list[tuple[float, float, float]], higher: bool) -> None:
    values = [v for v, _, _ in rows]
    lows, highs = [v - d for v, d, _ in rows], [v + d for v, _, d in rows]
    groups = rank(values, lows, highs, higher_is_better=higher)
    best = values.index(max(values) if higher else min(values))
    assert groups[best] == 1
    assert set(groups) == set(range(1, max(g for g in groups if g) + 1))
    for i, group in enumerate(groups):
        overlaps = lows[i] <= highs[best] and highs[i] >= lows[best]
        assert (group == 1) == overlaps
    mirrored = rank(
        [-v for v in values], [-v for v in highs], [-v for v in lows], higher_is_better=not higher
    )
    assert mirrored == groups


@pytest.mark.parametrize(("of_noise", "in_order"), [(0.5, True), (0.01, False)])
def test_anchors_out_of_order_fail_a_check(run: RunView, of_noise: float, in_order: bool) -> None:
    rows = [
        {"label": "identity", "metric": "lpips_input", "value": 0.0, "low": 0.0, "high": 0.0},
        {"label": "noise", "metric": "kid", "value": of_noise, "low": None, "high": None},
        {"label": "real_target", "metric": "kid", "value": 0.1, "low": 0.05, "high": 0.2},
    ]
    found = {c.name: c for c in checks(measured(run, rows))}
    assert found["The anchors are in order"].passed is in_order
    assert ("noise" in found["The anchors are in order"].detail) is not in_order
    assert found["Timings were steady"].passed is None


def test_a_metric_called_like_anothers_rank_keeps_its_column(run: RunView) -> None:
    rows = [
        {"label": label, "metric": metric, "value": value, "low": value, "high": value}
        for label, value in (("munit", 0.1), ("cyclegan", 0.2))
        for metric in ("kid", "kid_best", "kid_low")
    ]
    frame = summary(measured(run, rows))
    assert frame.columns.is_unique
    assert list(frame["kid_best [metric]"].dropna()) == list(frame["kid"].dropna())


def test_shaky_timings_fail_a_check(run: RunView) -> None:
    assert {c.name: c.passed for c in checks(run)}["Timings were steady"] is True
    timings = run.timings.copy()
    timings.loc[timings["round"] % 2 == 0, "seconds"] *= 2
    shaky = {c.name: c.passed for c in checks(replace(run, timings=timings))}
    assert shaky["Timings were steady"] is False


def test_alone_is_not_best(run: RunView) -> None:
    rows = [
        {"label": "munit", "metric": "kid", "value": 0.1, "higher_is_better": False},
        {"label": "identity", "metric": "kid", "value": 0.2, "higher_is_better": False},
    ]
    frame = summary(measured(run, rows))
    assert not frame["kid_best"].any() and frame["kid_group"].isna().all()


def test_methods_that_do_no_better_than_nothing(run: RunView) -> None:
    assert asked(no_better_than_nothing, run) == {}
    rows = [
        {"label": "identity", "metric": "kid", "value": 0.20, "low": 0.15, "high": 0.25},
        {"label": "tied", "metric": "kid", "value": 0.14, "low": 0.10, "high": 0.16},
        {"label": "worse", "metric": "kid", "value": 0.90, "low": 0.80, "high": 0.95},
        {"label": "better", "metric": "kid", "value": 0.10, "low": 0.05, "high": 0.14},
    ]
    assert asked(no_better_than_nothing, measured(run, rows)) == {"x": ["tied", "worse"]}


def test_methods_that_hardly_change_their_inputs(run: RunView) -> None:
    assert asked(hardly_changes, run, "content") == {}
    rows = [
        {
            "label": "real_target",
            "metric": "lpips_input",
            "kind": "content",
            "value": 0.60,
            "low": 0.5,
            "high": 0.7,
        },
        {
            "label": "identity",
            "metric": "lpips_input",
            "kind": "content",
            "value": 0.0,
            "low": 0.0,
            "high": 0.0,
        },
        {
            "label": "still",
            "metric": "lpips_input",
            "kind": "content",
            "value": 0.02,
            "low": 0.01,
            "high": 0.04,
        },
        {
            "label": "perhaps",
            "metric": "lpips_input",
            "kind": "content",
            "value": 0.05,
            "low": 0.04,
            "high": 0.07,
        },
        {
            "label": "moves",
            "metric": "lpips_input",
            "kind": "content",
            "value": 0.30,
            "low": 0.25,
            "high": 0.35,
        },
    ]
    found = asked(hardly_changes, measured(run, rows), "content")
    assert found == {"x": ["still"]}
    without = [row for row in rows if row["label"] != "real_target"]
    assert asked(hardly_changes, measured(run, without), "content") == {}


def test_which_direction_is_easier(run: RunView) -> None:
    easier = asked(easier_direction, run)
    assert easier["summer2winter"] == ["neural_style"]
    assert sorted(easier[""]) == ["cyclegan", "munit"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0312, "0.0312"),
        (131.25, "131"),
        (0, "0"),
        (-9.1349, "-9.13"),
        (13440.2, "13,440"),
        (math.nan, "–"),
        (3e-8, "3e-08"),
        (9.999, "10.0"),
    ],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert format_number(value) == text


def test_terminal_fits_eighty_columns(run: RunView, hostile: RunView) -> None:
    shown = []
    for view in (run, hostile):
        console = Console(width=80, file=io.StringIO(), force_terminal=False)
        for line in run_lines(view):
            console.print(line)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
        assert "≈" in text
        shown.append(text)
    frame = summary(run)
    for value in frame["kid"].dropna():
        assert format_number(value) in shown[0]


def test_terminal_names_are_text_not_control_codes(run: RunView) -> None:
    rows = [{"label": "\x1b[31m[bold]x\u202e", "metric": "kid", "value": 1.0}]
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    for line in run_lines(measured(run, rows)):
        console.print(line)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text and "\u202e" not in text and "[bold]x" in text


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1", "\t=1", "\r=1", "|x"])
def test_formulas_are_made_inert(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-0.5", "+3", "-1e-5", "plain", 3.0, None])
def test_numbers_and_words_pass_unchanged(value: object) -> None:
    assert inert(value) == value


def test_csv_reads_back_as_the_table(run: RunView) -> None:
    frame = summary(run)
    back = pd.read_csv(io.StringIO(str(csv_table(frame))))
    assert list(back.columns) == list(frame.columns)
    pd.testing.assert_series_equal(back["kid"], frame["kid"])
    assert list(back["label"]) == list(frame["label"])


def test_hostile_csv_has_no_formula_in_any_cell(hostile: RunView) -> None:
    for frame in (summary(hostile), hostile.measurements):
        rows = list(csv.reader(io.StringIO(str(csv_table(frame)))))
        assert len(rows) == len(frame) + 1
        cells = [cell for row in rows for cell in row]
        assert any(cell.startswith("'=1+1") for cell in cells)
        for cell in cells:
            if cell[:1] in "=+-@" and cell:
                float(cell)  # a plain number, nothing else


def test_markdown_keeps_its_columns(run: RunView, hostile: RunView) -> None:
    for view in (run, hostile):
        frame, shown = summary(view), [c for c in columns(view) if c.headline]
        lines = str(markdown_table(frame, shown)).splitlines()
        assert len(lines) == len(frame) + 2
        bars = [line.replace("\\|", "").count("|") for line in lines]
        assert set(bars) == {len(shown) + 4}
        assert not any("<script" in line for line in lines)


def test_latex_is_escaped_and_balanced(run: RunView, hostile: RunView) -> None:
    for view in (run, hostile):
        frame, shown = summary(view), [c for c in columns(view) if c.headline]
        text = str(latex_table(frame, shown))
        assert "\\toprule" in text and text.endswith("\\end{tabular}\n")
        body = [line for line in text.splitlines() if line.endswith("\\\\")]
        assert len(body) == len(frame) + 1
        for line in body:
            plain = line.replace("\\{", "").replace("\\}", "")
            assert plain.count("{") == plain.count("}")
            assert line.replace("\\&", "").count(" & ") == len(shown) + 1
    assert "neural\\_style" in str(latex_table(summary(run), []))
    assert not any(bad in str(latex_table(summary(hostile), [])) for bad in HOSTILE[:1])
