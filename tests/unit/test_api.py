"""Budgets and directions: what is read, what is refused, and that text goes round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import BenchError, Budget, Direction


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5000it", Budget(iterations=5000)),
        ("90s", Budget(seconds=90)),
        ("15m", Budget(seconds=900)),
        (" 2h ", Budget(seconds=7200)),
        ("0.5s", Budget(seconds=0.5)),
        ("278h", Budget(seconds=1_000_800)),
        ("1000000it", Budget(iterations=1_000_000)),
    ],
)
def test_budget_parse(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    "text", ["", "5", "it", "-5it", "0it", "0s", "1.5it", "5 parsecs", "1e3it", "9" * 500 + "it"]
)
def test_budget_refuses(text: str) -> None:
    with pytest.raises(BenchError):
        Budget.parse(text)


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_budget_in_seconds_survives_text(seconds: float) -> None:
    assert Budget.parse(str(Budget(seconds=seconds))) == Budget(seconds=seconds)


def test_budget_is_one_thing() -> None:
    for wrong in ({}, {"iterations": 1, "seconds": 1.0}, {"iterations": 0}, {"seconds": -1.0}):
        with pytest.raises(BenchError):
            Budget(**wrong)


def test_direction_parse() -> None:
    domains = ("summer", "winter")
    for text in ("a2b", "summer2winter"):
        found = Direction.parse(text, domains)
        assert (found.source, found.target, found.key) == ("a", "b", "a2b")
    assert Direction.parse("winter2summer", domains).key == "b2a"
    with pytest.raises(BenchError, match="summer2winter, winter2summer"):
        Direction.parse("summer2spring", domains)
