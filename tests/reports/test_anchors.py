"""Anchors out of their places, by rules that the baselines declare."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.analysis.anchors import violations
from bench.api import Anchor, Declared, Rule
from bench_baselines import SPECS

ANCHORS = Declared.of(SPECS, ()).anchors


def table(**values: tuple[float, float, float]) -> pd.DataFrame:
    """``kid__noise=(value, low, high)`` and so on, as measurements."""
    rows = []
    for key, (value, low, high) in values.items():
        metric, method = key.split("__")
        where = {"dataset": "d", "direction": "a2b", "subset": "all"}
        rows.append(
            where | {"method": method, "metric": metric, "value": value, "low": low, "high": high}
        )
    return pd.DataFrame(rows)


def test_anchors_in_their_places() -> None:
    found, checked = violations(
        table(
            kid__real_target=(0.0, -0.01, 0.01),
            kid__identity=(0.05, 0.04, 0.06),
            kid__noise=(0.5, 0.4, 0.6),
            lpips_input__identity=(0.0, 0.0, 0.0),
        ),
        ANCHORS,
    )
    assert found == []
    assert checked == 4


def test_a_metric_that_orders_the_anchors_wrongly_is_caught() -> None:
    found, _ = violations(
        table(
            kid__real_target=(0.3, 0.25, 0.35),
            kid__identity=(0.05, 0.04, 0.06),
            lpips_input__identity=(0.1, 0.05, 0.2),
        ),
        ANCHORS,
    )
    details = {v.metric: v.detail for v in found}
    assert {v.direction for v in found} == {"a2b"} and set(details) == {"kid", "lpips_input"}
    assert "real_target (0.3) is not below identity (0.05)" in details["kid"]
    assert "identity scores 0.1, not 0" in details["lpips_input"]


def test_a_reversal_within_the_intervals_is_no_violation() -> None:
    measured = table(kid__real_target=(0.06, 0.03, 0.09), kid__identity=(0.05, 0.02, 0.08))
    assert violations(measured, ANCHORS) == ([], 1)


def test_without_anchors_nothing_can_be_checked() -> None:
    assert violations(table(kid__munit=(0.1, 0.0, 0.2)), ANCHORS) == ([], 0)
    assert violations(table(kid__identity=(0.1, 0.0, 0.2)), {}) == ([], 0)


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (Rule("m", "below", 0.5, "b"), ""),
        (Rule("m", "above", 0.5, "b"), "mine (0.2) is not above 0.5: b"),
        (Rule("m", "above", 0.25, "b"), ""),  # within the interval
        (Rule("m", "equals", "other", "b"), "mine scores 0.2, not 0.4: b"),
        (Rule("m", "below", "other", "b"), ""),
        (Rule("m", "above", "other", "b"), "mine (0.2) is not above other (0.4): b"),
    ],
)
def test_every_relation_to_a_number_and_to_a_baseline(rule: Rule, broken: str) -> None:
    measured = table(m__mine=(0.2, 0.1, 0.3), m__other=(0.4, 0.35, 0.45))
    found, checked = violations(measured, {"mine": Anchor(rules=(rule,))})
    assert checked == 1 and [v.detail for v in found] == ([broken] if broken else [])
