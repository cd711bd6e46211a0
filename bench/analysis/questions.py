"""The three questions of a translation, answered from anchors measured in the same run.

Is it taken for the target domain, is it still this scene, does it look real? No number answers
all three: the untouched input keeps its scene and is real, another photograph of the target is
real and taken for it, and noise is neither. Which columns answer, and what says yes, metrics
declare (:class:`bench.api.Column`, `aspect` and `bar`); the scale is that of the anchors.

Pure pandas over the rows of one dataset's summary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.api import Aspect

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn

__all__ = ["ASPECTS", "answers", "in_order"]

ASPECTS: dict[Aspect, tuple[str, str]] = {
    "target": ("is taken for the target", "is not clearly taken for the target"),
    "scene": ("keeps the scene", "does not clearly keep the scene"),
    "real": ("looks real", "does not look real"),
}
"""The questions, in order, and what is said of a method that passes or fails."""


def answers(rows: pd.DataFrame, known: Sequence[TableColumn]) -> pd.DataFrame:
    """Return for each row of one direction and each question whether it is answered yes.

    Yes: each of the question's columns that the row has a number for is beyond its bar.

    Parameters
    ----------
    rows
        The rows of the summary of one dataset and direction.
    known
        Its columns.

    Returns
    -------
    pandas.DataFrame
        A nullable boolean column for each of `ASPECTS`; missing where nothing answers.
    """
    unknown = pd.Series(pd.NA, index=rows.index, dtype="boolean")
    found = {str(aspect): unknown for aspect in ASPECTS}
    for column in known:
        if not column.aspect or not column.bar or not column.plain:
            continue
        passed = _passed(rows, column)
        before = found[column.aspect]
        found[column.aspect] = before.where(passed.isna(), passed & before.fillna(True))
    return pd.DataFrame(found)


def _anchor(rows: pd.DataFrame, role: str, name: str) -> float:
    return float(rows.loc[rows["role"] == role, name].astype(float).mean())


def _passed(rows: pd.DataFrame, column: TableColumn) -> pd.Series:
    """Return which rows are beyond the bar of a column; missing where there is no bar."""
    name, sign = column.name, 1 if column.higher_is_better else -1
    values = rows[name].astype(float)
    untouched, real = (_anchor(rows, role, name) for role in ("untouched", "real"))
    if column.bar == "halfway":
        # A yes is a claim: the whole interval is beyond the bar.
        end, bar = "low" if sign > 0 else "high", (untouched + real) / 2
    else:
        # No worse than the untouched input, as far as an anchor's interval tells.
        end, bar = "high" if sign > 0 else "low", untouched
    values = rows[f"{name}_{end}"].astype(float).fillna(values)
    known = values.notna() & math.isfinite(bar)
    passed = (sign * values >= sign * bar).astype("boolean").where(known)
    if column.bar == "untouched":
        passed = (rows[f"{name}_gain"] >= 0).astype("boolean").fillna(passed)
    return passed


def in_order(rows: pd.DataFrame, known: Sequence[TableColumn]) -> pd.DataFrame:
    """Return the rows of one direction, the best translations first.

    First what is taken for the target and still its scene, then what is still its scene: another
    scene is no translation. Within these by the harmonic mean of how far a row is on the way
    from the anchor that fails a question to the one that passes, each question the mean of its
    columns. Rows keep their order where a run lacks the anchors.
    """
    shares = [
        _share(rows, [c for c in known if c.aspect == which]) for which in ("target", "scene")
    ]
    both = pd.concat(shares, axis=1)
    if both.isna().all().any():
        return rows
    product, total = both.prod(axis=1, skipna=False), both.sum(axis=1, skipna=False)
    merit = (2 * product / total.where(total > 0, 1)).fillna(-1.0)
    passed = answers(rows, known)[["target", "scene"]].fillna(False).astype(bool)
    order = np.lexsort([-merit.round(3), ~passed["scene"], ~passed.all(axis=1)])
    return rows.iloc[order]


def _share(rows: pd.DataFrame, columns: Sequence[TableColumn]) -> pd.Series:
    """Return how far along, 0 to 1, from the worse anchor to the better: the mean of columns."""
    shares = []
    for column in columns:
        if not column.plain or column.bar != "halfway":
            continue
        ends = [_anchor(rows, role, column.name) for role in ("untouched", "real")]
        worst, best = sorted(ends, reverse=not column.higher_is_better)
        if math.isfinite(best - worst) and best != worst:
            values = rows[column.name].astype(float)
            shares.append(((values - worst) / (best - worst)).clip(0, 1))
    if not shares:
        return pd.Series(math.nan, index=rows.index)
    return pd.concat(shares, axis=1).mean(axis=1)
