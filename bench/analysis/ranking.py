"""Who is best, what is a tie, and what a reader must know before believing it.

Within a dataset and direction methods are ranked in tie groups: a group is everything that its
leader is not shown to differ from; group 1 holds the best. What shows it is the run's comparison of
the two, paired and adjusted over all pairs; where a number cannot be paired, intervals that do not
overlap. Anchors are measured but not ranked (to leave a picture alone is no way to win on
content), and where a single method competes there is no best.

The questions at the end are asked of the rows of one dataset: datasets are never pooled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bench.api import Interval
from bench.stats import tie_groups

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn

__all__ = [
    "ALPHA",
    "easier_direction",
    "gains",
    "groups",
    "hardly_changes",
    "leaders",
    "no_better_than_nothing",
    "rank",
    "shown",
    "winners",
]

ALPHA = 0.05
"""Adjusted p-values below this make a difference."""
_SAME = 1e-4
"""Values closer than this share of their interval are one value, rounded."""

Shown = Mapping[tuple[str, str, str, str], float]
"""Dataset, direction and two labels to their difference where it is shown, else 0."""


def shown(comparisons: pd.DataFrame, column: TableColumn) -> Shown:
    """Return what a run's comparisons say of a column, either way round."""
    if column.subset != "all" or column.hardware:
        return {}
    rows = comparisons[
        (comparisons["metric"] == column.metric)
        & (comparisons["extractor"].fillna("") == column.extractor)
    ]
    found: dict[tuple[str, str, str, str], float] = {}
    known = np.where(rows["p_adjusted"] < ALPHA, rows["difference"], 0.0).tolist()
    names = rows[["dataset", "direction", "label_a", "label_b"]].astype(str)
    for (dataset, direction, a, b), difference in zip(
        names.itertuples(index=False, name=None), known, strict=True
    ):
        found[dataset, direction, a, b] = difference
        found[dataset, direction, b, a] = -difference
    return found


def rank(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    higher_is_better: bool,
    apart: Callable[[int, int], bool | None] = lambda a, b: None,
) -> list[int | None]:
    """Return tie groups, 1 for the best; None where a value is missing.

    A group's leader is the best value not yet in a group; the group is everything left that
    is not `apart` from it (two places; None: unknown, so that intervals decide, a missing one
    being the value itself).
    """
    known = {
        str(i): Interval(v, _end(lo), _end(hi), None)
        for i, (v, lo, hi) in enumerate(zip(values, lows, highs, strict=True))
        if not math.isnan(v)
    }
    found = tie_groups(
        known, higher_is_better=higher_is_better, apart=lambda a, b: apart(int(a), int(b))
    )
    return [found.get(str(i)) for i in range(len(values))]


def _end(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def groups(frame: pd.DataFrame, column: TableColumn, known: Shown) -> pd.Series:
    """Return the tie group of every row of a summary; missing where it is not ranked."""
    found = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    for part in _competing(frame, column):
        found[part.index] = pd.array(_rank(_lines(part, column), column, known), dtype="Int64")
    return found


def gains(frame: pd.DataFrame, column: TableColumn, known: Shown) -> pd.Series:
    """Return how each method's row of a summary compares with the untouched input.

    1 where it is shown to be better, -1 where it is shown to be worse, else 0; missing for
    anchors, unranked columns, and where the run has no untouched input.
    """
    found = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    if column.higher_is_better is None:
        return found
    for _, part in _known(frame, column).groupby(["dataset", "direction"], sort=False):
        lines = _lines(part, column)
        untouched = [line for line in lines if line.role == "untouched"]
        for line in lines if untouched else ():
            if not line.anchor:
                nothing, mine = _rank([untouched[0], line], column, known)
                found[line.index] = 0 if nothing == mine else 1 if mine == 1 else -1
    return found


def leaders(frame: pd.DataFrame, column: TableColumn) -> pd.Series:
    """Return which rows of a summary hold the best value of their dataset and direction."""
    best = pd.Series(False, index=frame.index, dtype="boolean")
    for part in _competing(frame, column):
        values = part[column.name]
        top = values.max() if column.higher_is_better else values.min()
        width = (part[f"{column.name}_high"] - part[f"{column.name}_low"]).fillna(0)
        best[part.index] = ((values - top).abs() <= _SAME * width).astype("boolean")
    return best


def winners(rows: pd.DataFrame, column: TableColumn) -> pd.DataFrame:
    """Return the first tie group among rows of one direction, its leader first."""
    first = rows[(rows[f"{column.name}_group"] == 1).fillna(False).astype(bool)]
    return first.sort_values(f"{column.name}_best", ascending=False, kind="stable")


def _known(frame: pd.DataFrame, column: TableColumn) -> pd.DataFrame:
    """Return the rows that have a number, with what ranking reads of them.

    A summary has hundreds of columns, and rows are picked many times: from all it takes seconds.
    """
    ends = (f"{column.name}{end}" for end in ("", "_low", "_high"))
    few = frame[["dataset", "direction", "label", "anchor", "role", *ends]]
    return few[few[column.name].notna()]


def _competing(frame: pd.DataFrame, column: TableColumn) -> list[pd.DataFrame]:
    """Return the rows that compete on `column`, one frame for each dataset and direction."""
    if column.higher_is_better is None:
        return []
    rows = _known(frame, column)
    rows = rows[~rows["anchor"].astype(bool)]
    parts = (part for _, part in rows.groupby(["dataset", "direction"], sort=False))
    return [part for part in parts if len(part) > 1]  # alone is not best


class _Line(NamedTuple):
    """What ranking reads of a row of a summary; rows of frames are slow."""

    index: Any
    place: tuple[str, str, str]
    anchor: bool
    role: str
    value: float
    low: float
    high: float


def _lines(rows: pd.DataFrame, column: TableColumn) -> list[_Line]:
    names = ["dataset", "direction", "label", "anchor", "role"]
    names += [f"{column.name}{end}" for end in ("", "_low", "_high")]
    columns = (rows[name].tolist() for name in names)
    return [
        _Line(index, (dataset, direction, label), bool(anchor), str(role), *ends)
        for index, (dataset, direction, label, anchor, role, *ends) in zip(
            rows.index, zip(*columns, strict=True), strict=True
        )
    ]


def _rank(lines: Sequence[_Line], column: TableColumn, known: Shown) -> list[int | None]:
    def apart(a: int, b: int) -> bool | None:
        difference = known.get((*lines[a].place, lines[b].place[2]))
        # What is tested of a share is what it was made from: the two have to agree.
        return None if difference is None else difference * (lines[a].value - lines[b].value) > 0

    values, lows, highs = zip(*((line.value, line.low, line.high) for line in lines), strict=True)
    return rank(values, lows, highs, higher_is_better=bool(column.higher_is_better), apart=apart)


# ------------------------------------------------------------------------ questions


def no_better_than_nothing(frame: pd.DataFrame, column: TableColumn) -> dict[str, list[str]]:
    """Return the methods that are not shown to beat the untouched input, by direction."""
    rows = frame[(frame[f"{column.name}_gain"] < 1).fillna(False).astype(bool)]
    return {
        str(direction): [str(name) for name in part["label"]]
        for direction, part in rows.groupby("direction", sort=False)
    }


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
        order = _rank(_lines(part, column), column, {})
        best = "" if order[0] == order[1] else str(part["direction"].iloc[order.index(1)])
        result.setdefault(best, []).append(str(label))
    return result
