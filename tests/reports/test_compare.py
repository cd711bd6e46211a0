"""Comparing two runs, and the rules that fail a comparison."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.analysis.compare import RunComparison, compare
from bench.analysis.rules import Rule, fails, parse_rule
from bench.api import BenchError, RunView
from bench.cli.tables import comparison_lines
from tests.factories import MAKERS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return make_run(
        tmp_path_factory.mktemp("a"), inputs=20, samples=2, size=8, pictures=False, failures=False
    )


@pytest.fixture(scope="module")
def blurred(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    """The same run with MUNIT's pictures gone soft: worse quality, another change."""
    soft = replace(MAKERS["munit"], kid=0.2, strength=0.95)
    return make_run(
        tmp_path_factory.mktemp("b"),
        methods=(soft, "cyclegan", "identity"),
        inputs=20,
        samples=2,
        size=8,
        pictures=False,
        failures=False,
    )


@pytest.fixture(scope="module")
def comparison(run: RunView, blurred: RunView) -> RunComparison:
    return compare(run, blurred)


def rows(comparison: RunComparison, **where: str) -> pd.DataFrame:
    frame = comparison.differences
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame


def test_a_run_does_not_differ_from_itself(run: RunView) -> None:
    found = compare(run.path, run)
    assert found.same and found.settings.empty
    assert (found.differences["difference"] == 0).all()
    assert (found.differences["p"].dropna() == 1).all()
    for rule in ("any worse", "any better", "any changed", "kid worse by 0.1%"):
        assert not fails(found, rule)


def test_a_degraded_method_is_found_and_only_that(comparison: RunComparison) -> None:
    munit = rows(comparison, label="munit", metric="kid")
    assert list(munit["verdict"]) == ["worse", "worse"] and (munit["p"] < 0.01).all()
    assert (munit["difference"] > 0.1).all() and (munit["low"] > 0).all()
    paired = rows(comparison, label="munit", metric="lpips_input")
    assert list(paired["test"]) == ["paired", "paired"] and (paired["p"] < 0.01).all()
    assert list(paired["n"]) == [20, 20]
    cyclegan = rows(comparison, label="cyclegan", metric="kid")
    assert list(cyclegan["verdict"]) == ["same", "same"]


def test_the_other_way_round_it_is_an_improvement(run: RunView, blurred: RunView) -> None:
    back = compare(blurred, run)
    assert list(rows(back, label="munit", metric="kid")["verdict"]) == ["better", "better"]
    assert not fails(back, "kid worse") and fails(back, "kid better")


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("kid worse", True),
        ("kid worse for munit", True),
        ("kid worse for cyclegan", False),
        ("kid worse by 50% for munit in winter2summer", True),
        ("kid worse by 5000%", False),
        ("kid worse by 0.1", True),
        ("kid worse by 0.9", False),
        ("kid better", False),
        ("kid changed", True),
        ("any worse", True),
        ("kid > 0.15", True),
        ("kid > 0.15 for cyclegan", False),
        ("kid (clean) worse", True),
        ("kid <= 0", False),
        ("peak_memory worse", False),
    ],
)
def test_rules(comparison: RunComparison, rule: str, broken: bool) -> None:
    assert fails(comparison, rule) is broken


def test_a_number_that_is_gone_counts_as_worse(run: RunView) -> None:
    lost = replace(run, measurements=run.measurements.query("label != 'munit'"))
    found = compare(run, lost)
    assert set(rows(found, label="munit")["verdict"]) == {"missing"}
    assert fails(found, "kid worse") and fails(found, "any changed")
    assert not fails(found, "kid better")
    gained = compare(lost, run)
    assert set(rows(gained, label="munit")["verdict"]) == {"new"}
    assert not fails(gained, "any worse")


def test_a_bare_number_counts_by_its_size(run: RunView) -> None:
    more = run.measurements.copy()
    more.loc[more["metric"] == "peak_memory", "value"] *= 1.2
    found = compare(run, replace(run, measurements=more))
    assert set(rows(found, metric="peak_memory")["verdict"]) == {"untested"}
    assert fails(found, "peak_memory worse by 10%")
    assert not fails(found, "peak_memory worse by 30%")


@pytest.mark.parametrize(
    "rule", ["", "kid", "kid worsens", "kid worse by", "kid worse by x%", "kid > e", "> 3"]
)
def test_a_rule_that_is_not_understood(rule: str) -> None:
    with pytest.raises(BenchError, match="rule"):
        parse_rule(rule)


@pytest.mark.parametrize("rule", ["kidd worse", "kid worse for nobody", "kid worse in a2c"])
def test_a_rule_that_watches_nothing_is_an_error(comparison: RunComparison, rule: str) -> None:
    with pytest.raises(BenchError, match="there are"):
        fails(comparison, rule)


def test_parsing_by_hand() -> None:
    assert parse_rule("kid worse by 5% for my munit in a2b") == Rule(
        text="kid worse by 5% for my munit in a2b",
        metric="kid",
        verdict="worse",
        by=5.0,
        percent=True,
        label="my munit",
        direction="a2b",
    )


def test_slower_timings_are_found(run: RunView) -> None:
    slow = run.timings.copy()
    slow.loc[(slow["label"] == "munit"), "seconds"] *= 1.5
    measured = run.measurements.copy()
    hit = (measured["label"] == "munit") & (measured["metric"] == "latency")
    for column in ("value", "low", "high"):
        measured.loc[hit, column] *= 1.5
    found = compare(run, replace(run, timings=slow, measurements=measured))
    late = rows(found, metric="latency", label="munit")
    assert list(late["test"]) == ["rounds", "rounds"] and set(late["verdict"]) == {"worse"}
    assert set(rows(found, metric="latency", label="cyclegan")["verdict"]) == {"same"}


def test_the_test_from_intervals_by_hand(run: RunView) -> None:
    # Two intervals of half-width 1: the difference has half-width sqrt(2), so z = 1.96 d / sqrt(2).
    moved = run.measurements.copy()
    kid = moved["metric"] == "kid"
    moved.loc[kid, ["value", "low", "high"]] = [1.0, 0.0, 2.0]
    other = moved.copy()
    other.loc[kid, ["value", "low", "high"]] = [3.0, 2.0, 4.0]
    found = compare(replace(run, measurements=moved), replace(run, measurements=other))
    row = rows(found, metric="kid").iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((2 - np.sqrt(2), 2 + np.sqrt(2)))
    # 2 * (1 - Phi(2.77186)) = 0.0055741; six rows, all alike: Holm multiplies by 6.
    assert row["p"] == pytest.approx(6 * 0.0055741, rel=1e-4)


def test_different_extractors_are_not_compared(run: RunView) -> None:
    other = run.measurements.assign(
        extractor=run.measurements["extractor"].where(
            run.measurements["metric"] != "kid", "inception"
        )
    )
    found = compare(run, replace(run, measurements=other))
    assert rows(found, metric="kid").empty and not rows(found, metric="fid").empty


def test_what_was_set_differently(run: RunView) -> None:
    trials = run.trials.copy()
    trials.loc[trials["label"] == "munit", "config"] = '{"style_dim": 16, "width": 64}'
    other = replace(
        run,
        trials=trials,
        suite={**run.suite, "samples": 4},
        environment={**run.environment, "torch": "2.99", "started": "later"},
    )
    found = compare(run, other).settings
    assert found.values.tolist() == [
        ["suite", "samples", "2", "4"],
        ["environment", "torch", "2.11.0", "2.99"],
        ["munit", "config.name", "style_dim", ""],
        ["munit", "config.style_dim", "", "16"],
    ]


def test_runs_with_nothing_in_common(run: RunView, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no number in common"):
        compare(run, make_run(tmp_path, dataset="seasons", inputs=1, pictures=False))
    with pytest.raises(BenchError, match="not a run folder"):
        compare(run, tmp_path / "nowhere")


def test_terminal_lines_fit_and_say_it(run: RunView, comparison: RunComparison) -> None:
    def printed(found: RunComparison, everything: bool = False) -> str:
        console = Console(width=80, file=io.StringIO(), force_terminal=False)
        for line in comparison_lines(found, everything=everything):
            console.print(line)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
        return text

    assert "no difference in" in printed(compare(run, run))
    text = printed(comparison)
    assert "worse" in text and "munit" in text
    assert len(printed(comparison, everything=True).splitlines()) > len(text.splitlines())


def test_the_comparison_page(run: RunView, comparison: RunComparison, tmp_path: Path) -> None:
    from bench_html.compare import render_comparison

    page = render_comparison(comparison, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["compare.html"]
    text = page.read_text("utf-8")
    assert "worse" in text and "munit" in text and "<script" not in text
    same = render_comparison(compare(run, run), tmp_path).read_text("utf-8")
    assert "No difference" in same and "verdict-worse" not in same.split("</style>")[1]


def test_hostile_names_in_a_comparison_stay_text(tmp_path: Path) -> None:
    from bench_html.compare import render_comparison

    bad = make_run(tmp_path / "a", inputs=2, pictures=False, hostile=True)
    text = render_comparison(compare(bad, bad), tmp_path / "out").read_text("utf-8")
    assert "<script" not in text and "onerror=alert(1) x=&#34;" in text
