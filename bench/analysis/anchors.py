"""Self-check: methods whose rank is known beforehand say whether a metric can be believed.

Pure pandas over the measurements table; a metric that orders the anchors wrongly makes the
run INVALID.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

__all__ = ["RULES", "Rule", "Violation", "violations"]


@dataclass(frozen=True)
class Rule:
    """What a metric must say about one anchor, or about two of them.

    Parameters
    ----------
    metric
        The measurement it is about.
    method
        The anchor.
    relation
        ``equals`` a number; or ``below`` / ``above`` another anchor.
    other
        The number, or the other anchor.
    because
        Why it must be so.
    """

    metric: str
    method: str
    relation: Literal["equals", "below", "above"]
    other: float | str
    because: str


RULES: tuple[Rule, ...] = (
    Rule("lpips_input", "identity", "equals", 0.0, "a copy changes nothing"),
    Rule("structure_distance", "identity", "equals", 0.0, "a copy keeps its layout"),
    Rule("lpips_diversity", "identity", "equals", 0.0, "a deterministic method has one answer"),
    Rule("distinct", "identity", "equals", 1.0, "a deterministic method has one answer"),
    Rule("duplicates", "constant_target", "equals", 1.0, "it gives every input the same picture"),
    Rule("memorised", "nearest_target", "equals", 1.0, "it returns training images"),
    Rule("kid", "real_target", "below", "identity", "real target images beat untouched inputs"),
    Rule("kid", "real_target", "below", "noise", "real target images beat noise"),
    Rule("kid", "identity", "below", "noise", "photographs of the other domain beat noise"),
    Rule("fid", "real_target", "below", "noise", "real target images beat noise"),
    Rule("fid", "identity", "below", "noise", "photographs of the other domain beat noise"),
    Rule("precision", "real_target", "above", "noise", "noise resembles no real image"),
    Rule("coverage", "real_target", "above", "constant_target", "one image cannot cover a domain"),
    Rule("target_rate", "real_target", "above", "identity", "real target images are of the target"),
    Rule("lpips_input", "noise", "above", "identity", "noise keeps no content"),
)
"""What is known before anything is measured."""


@dataclass(frozen=True)
class Violation:
    """An anchor where it must not be."""

    metric: str
    dataset: str
    direction: str
    detail: str

    def __str__(self) -> str:
        return f"{self.metric}, {self.direction}: {self.detail}"


def violations(
    measurements: pd.DataFrame, rules: tuple[Rule, ...] = RULES
) -> tuple[list[Violation], int]:
    """Which rules the anchors of a run break.

    Parameters
    ----------
    measurements
        The table of :mod:`bench.storage.tables`; the subset ``all`` is looked at.

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
        for rule in rules:
            mine = _ends(part, rule.metric, rule.method)
            if mine is None:
                continue
            value, low, high = mine
            if isinstance(rule.other, float):
                checked += 1
                if abs(value - rule.other) > 1e-9:
                    detail = f"{rule.method} scores {value:.4g}, not {rule.other:g}: {rule.because}"
                    found.append(Violation(rule.metric, str(dataset), str(direction), detail))
                continue
            theirs = _ends(part, rule.metric, rule.other)
            if theirs is None:
                continue
            checked += 1
            wrong = low > theirs[2] if rule.relation == "below" else high < theirs[1]
            if wrong:
                detail = (
                    f"{rule.method} ({value:.4g}) is not {rule.relation} {rule.other} "
                    f"({theirs[0]:.4g}): {rule.because}"
                )
                found.append(Violation(rule.metric, str(dataset), str(direction), detail))
    return found, checked


def _ends(part: pd.DataFrame, metric: str, method: str) -> tuple[float, float, float] | None:
    """Value, low and high of an anchor, over its seeds."""
    rows = part[(part["metric"] == metric) & (part["method"] == method)]
    if rows.empty:
        return None
    value = rows["value"].astype(float)
    low = rows["low"].astype(float).fillna(value)
    high = rows["high"].astype(float).fillna(value)
    return float(value.mean()), float(low.min()), float(high.max())
