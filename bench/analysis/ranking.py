"""Who is best, what is a tie, and what a reader must know before believing it.

Within a dataset and direction methods are ranked in tie groups: a group is everything whose
interval overlaps its leader's; group 1 holds the best. Anchors are measured but not ranked (to
leave a picture alone is no way to win on content), and where a single method competes there is
no best.

The questions at the end are asked of the rows of one dataset: datasets are never pooled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bench.api import Interval
from bench.stats import tie_groups

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn

__all__ = [
    "easier_direction",
    "groups",
    "hardly_changes",
    "leaders",
    "no_better_than_nothing",
    "rank",
    "winners",
]


def rank(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    higher_is_better: bool,
) -> list[int | None]:
    """Return tie groups, 1 for the best; None where a value is missing.

    A group's leader is the best value not yet in a group; the group is everything left
    whose interval overlaps the leader's. A missing interval is the value itself.
    """
    known = {
        str(i): Interval(v, _end(lo), _end(hi), None)
        for i, (v, lo, hi) in enumerate(zip(values, lows, highs, strict=True))
        if not math.isnan(v)
    }
    found = tie_groups(known, higher_is_better=higher_is_better)
    return [found.get(str(i)) for i in range(len(values))]


def _end(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def groups(frame: pd.DataFrame, column: TableColumn) -> pd.Series:
    """Return the tie group of every row of a summary; missing where it is not ranked."""
    found = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    for part in _competing(frame, column):
        found[part.index] = pd.array(_rank(part, column), dtype="Int64")
    return found


def leaders(frame: pd.DataFrame, column: TableColumn) -> pd.Series:
    """Return which rows of a summary hold the best value of their dataset and direction."""
    best = pd.Series(False, index=frame.index, dtype="boolean")
    for part in _competing(frame, column):
        values = part[column.name]
        top = values.max() if column.higher_is_better else values.min()
        best[part.index] = (values == top).astype("boolean")
    return best


def winners(rows: pd.DataFrame, column: TableColumn) -> pd.DataFrame:
    """Return the first tie group among rows of one direction, its leader first."""
    first = rows[(rows[f"{column.name}_group"] == 1).fillna(False).astype(bool)]
    return first.sort_values(f"{column.name}_best", ascending=False, kind="stable")


def _competing(frame: pd.DataFrame, column: TableColumn) -> list[pd.DataFrame]:
    """Return the rows that compete on `column`, one frame for each dataset and direction."""
    if column.higher_is_better is None:
        return []
    rows = frame[~frame["anchor"].astype(bool) & frame[column.name].notna()]
    parts = (part for _, part in rows.groupby(["dataset", "direction"], sort=False))
    return [part for part in parts if len(part) > 1]  # alone is not best


def _rank(rows: pd.DataFrame, column: TableColumn) -> list[int | None]:
    values, lows, highs = (list(rows[f"{column.name}{end}"]) for end in ("", "_low", "_high"))
    return rank(values, lows, highs, higher_is_better=bool(column.higher_is_better))


# ------------------------------------------------------------------------ questions


def no_better_than_nothing(frame: pd.DataFrame, column: TableColumn) -> dict[str, list[str]]:
    """Return the methods that are not shown to beat the untouched input, by direction.

    Read from intervals: a method is listed unless its interval lies wholly on the better
    side of that of the anchor that stands for the input. Empty where the run has none.
    """
    found: dict[str, list[str]] = {}
    for direction, rows in frame[frame[column.name].notna()].groupby("direction", sort=False):
        base = rows[rows["role"] == "untouched"]
        if base.empty:
            continue
        mine = rows[~rows["anchor"].astype(bool)]
        if column.higher_is_better:
            tied = _reach(mine, column, "_low") <= _reach(base, column, "_high").max()
        else:
            tied = _reach(mine, column, "_high") >= _reach(base, column, "_low").min()
        if names := [str(name) for name in mine.loc[tied, "label"]]:
            found[str(direction)] = names
    return found


def hardly_changes(
    frame: pd.DataFrame, column: TableColumn, share: float = 0.1
) -> dict[str, list[str]]:
    """Return the methods that give back nearly what they got, by direction.

    `column` measures the change, from 0 for none. The scale is what the anchor of unrelated
    real pictures has: a method is listed when its whole interval lies below `share` of that.
    Empty where the run has no such anchor. Such pictures are realistic because the inputs were.
    """
    found: dict[str, list[str]] = {}
    for direction, rows in frame[frame[column.name].notna()].groupby("direction", sort=False):
        whole = rows.loc[rows["role"] == "real", column.name].min()
        mine = rows[~rows["anchor"].astype(bool)]
        still = _reach(mine, column, "_high") < share * whole
        if names := [str(name) for name in mine.loc[still, "label"]]:
            found[str(direction)] = names
    return found


def _reach(rows: pd.DataFrame, column: TableColumn, end: str) -> pd.Series:
    """Return one end of the intervals; a missing interval is the value itself."""
    return rows[f"{column.name}{end}"].fillna(rows[column.name])


def easier_direction(frame: pd.DataFrame, column: TableColumn) -> dict[str, list[str]]:
    """Return which direction each method finds easier, read from disjoint intervals.

    Returns
    -------
    dict
        Direction name to labels that score better on it; ``""`` to those with no clear answer.
    """
    result: dict[str, list[str]] = {}
    rows = frame[~frame["anchor"].astype(bool) & frame[column.name].notna()]
    for label, part in rows.groupby("label", sort=False):
        if len(part) != 2:
            continue
        order = _rank(part, column)
        best = "" if order[0] == order[1] else str(part["direction"].iloc[order.index(1)])
        result.setdefault(best, []).append(str(label))
    return result
