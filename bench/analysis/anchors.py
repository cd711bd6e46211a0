"""Self-check: baselines whose rank is known beforehand say whether a metric can be believed.

Pure pandas over the measurements table. A baseline declares what every metric must say about
it (:class:`bench.api.Rule`); a metric that breaks a rule makes the run invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bench.api import Anchor, Rule

__all__ = ["Violation", "violations"]


@dataclass(frozen=True)
class Violation:
    """An anchor where it must not be."""

    metric: str
    dataset: str
    direction: str
    detail: str


def violations(
    measurements: pd.DataFrame, anchors: Mapping[str, Anchor]
) -> tuple[list[Violation], int]:
    """Return the rules that the anchors of a run break.

    Parameters
    ----------
    measurements
        The table of :mod:`bench.storage.tables`; the subset ``all`` is looked at.
    anchors
        The baselines by method name, with their rules.

    Returns
    -------
    tuple
        The violations, and how many rules could be checked at all. An order counts as broken
        when it is reversed by more than both intervals allow; values without an interval
        have one of no width.
    """
    rows = measurements[measurements["subset"] == "all"]
    found: list[Violation] = []
    checked = 0
    for (dataset, direction), part in rows.groupby(["dataset", "direction"], sort=False):
        for method, anchor in anchors.items():
            for rule in anchor.rules:
                detail = _broken(part, method, rule)
                checked += detail is not None
                if detail:
                    found.append(Violation(rule.metric, str(dataset), str(direction), detail))
    return found, checked


def _broken(part: pd.DataFrame, method: str, rule: Rule) -> str | None:
    """Return how a rule is broken, nothing where it holds, None where it cannot be checked."""
    mine = _ends(part, rule.metric, method)
    if mine is None:
        return None
    value, low, high = mine
    other = rule.other
    theirs = _ends(part, rule.metric, other) if isinstance(other, str) else (float(other),) * 3
    if theirs is None:
        return None
    if rule.relation == "equals":
        equal = abs(value - theirs[0]) <= 1e-9
        return "" if equal else f"{method} scores {value:.4g}, not {theirs[0]:g}: {rule.because}"
    wrong = low > theirs[2] if rule.relation == "below" else high < theirs[1]
    than = f"{other} ({theirs[0]:.4g})" if isinstance(other, str) else f"{other:g}"
    said = f"{method} ({value:.4g}) is not {rule.relation} {than}"
    return f"{said}: {rule.because}" if wrong else ""


def _ends(part: pd.DataFrame, metric: str, method: str) -> tuple[float, float, float] | None:
    """Return value, low and high of an anchor, over its seeds."""
    rows = part[(part["metric"] == metric) & (part["method"] == method)]
    if rows.empty:
        return None
    value = rows["value"].astype(float)
    low = rows["low"].astype(float).fillna(value)
    high = rows["high"].astype(float).fillna(value)
    return float(value.mean()), float(low.min()), float(high.max())
