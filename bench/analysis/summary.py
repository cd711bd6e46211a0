"""The one summary table of a run: who is best at what, and what is a tie.

One row for each label, dataset and direction; every report and the terminal show this
table, so that no two of them can disagree. Pure pandas; nothing here reads a file.

Directions and datasets are never pooled. Training seeds are: the value is their mean, its
interval the t-interval of the mean from three seeds on, the hull of the single intervals for
two, the measured interval for one. Columns are those of :mod:`bench.analysis.columns`, ranks
and ties those of :mod:`bench.analysis.ranking`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pandas as pd

from bench.analysis.columns import DERIVED, columns, in_columns
from bench.analysis.ranking import gains, groups, leaders, shown
from bench.analysis.text import plain_text
from bench.api import Anchor
from bench.stats import over_seeds

if TYPE_CHECKING:
    from bench.api import RunView

__all__ = ["summary"]

_made: WeakKeyDictionary[RunView, pd.DataFrame] = WeakKeyDictionary()
"""Every report of a run asks for its summary, and a large one takes seconds."""


def summary(run: RunView) -> pd.DataFrame:
    """Return the summary table.

    Returns
    -------
    pandas.DataFrame
        Columns ``dataset, direction, label, method, anchor, role, status, reason, seeds``, then
        for each metric column ``m`` of :func:`bench.analysis.columns.columns`: ``m, m_low,
        m_high, m_group, m_best, m_gain`` (group 1 is the best and its ties; gain is 1 or -1
        where a method is shown to be better or worse than the untouched input, else 0; both are
        missing for anchors and unranked metrics). Rows are in the order of the run's trials; a
        label that gave no number keeps its row.
    """
    if run not in _made:
        _made[run] = _summary(run)
    return _made[run].copy()


def _summary(run: RunView) -> pd.DataFrame:
    found = in_columns(run)
    metric_columns = columns(run)
    pooled = {
        key: _pool(rows)
        for key, rows in found.groupby(["dataset", "direction", "label", "column"], sort=False)
    }
    rows = []
    for dataset, direction, label in _row_keys(run, found):
        trials = run.trials[(run.trials["label"] == label) & (run.trials["dataset"] == dataset)]
        method = plain_text(trials["method"].iloc[0]) if len(trials) else label
        reasons = (plain_text(reason) for reason in trials["reason"])
        row: dict[str, Any] = {
            "dataset": dataset,
            "direction": direction,
            "label": label,
            "method": method,
            "anchor": method in run.declared.anchors,
            "role": run.declared.anchors.get(method, Anchor()).role,
            "status": _worst(trials),
            "reason": "; ".join(dict.fromkeys(reason for reason in reasons if reason)),
            "seeds": int((trials["status"] == "ok").sum()),
        }
        for column in metric_columns:
            value, low, high = pooled.get((dataset, direction, label, column.name), (math.nan,) * 3)
            row |= {column.name: value, f"{column.name}_low": low, f"{column.name}_high": high}
        rows.append(row)
    names = ["dataset", "direction", "label", "method", "anchor", "role"]
    names += ["status", "reason", "seeds"]
    measured = [column.name + end for column in metric_columns for end in ("", "_low", "_high")]
    frame = pd.DataFrame(rows, columns=[*names, *measured])
    derived: dict[str, pd.Series] = {}
    for column in metric_columns:
        known = shown(run.comparisons, column)
        derived[f"{column.name}_group"] = groups(frame, column, known)
        derived[f"{column.name}_best"] = leaders(frame, column)
        derived[f"{column.name}_gain"] = gains(frame, column, known)
    names += [column.name + end for column in metric_columns for end in ("", *DERIVED)]
    return pd.concat([frame, pd.DataFrame(derived, index=frame.index)], axis=1)[names]


def _row_keys(run: RunView, found: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return dataset, direction and label of every row, in the order of the trials."""
    pairs = pd.concat([found[["dataset", "direction"]], run.samples[["dataset", "direction"]]])
    directions: dict[str, list[str]] = {}
    for dataset, direction in pairs.drop_duplicates().itertuples(index=False):
        directions.setdefault(str(dataset), []).append(str(direction))
    labels = run.trials[["dataset", "label"]].drop_duplicates()
    keys = []
    for dataset in dict.fromkeys(str(d) for d in labels["dataset"]):
        mine = [str(n) for n in labels.loc[labels["dataset"] == dataset, "label"]]
        keys += [
            (dataset, direction, label)
            for direction in directions.get(dataset, [""])
            for label in mine
        ]
    return keys


def _pool(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean over training seeds, with an interval of it where one can be had."""
    values = rows["value"].astype(float)
    if len(values) >= 3:
        mean = over_seeds(values.to_numpy())
        if mean.low is not None and mean.high is not None:
            return mean.value, mean.low, mean.high
    low, high = rows["low"].astype(float).min(), rows["high"].astype(float).max()
    return float(values.mean()), float(low), float(high)


def _worst(trials: pd.DataFrame) -> str:
    """Return ``ok`` when every seed was, else the first other status."""
    other = [str(status) for status in trials["status"] if status != "ok"]
    return other[0] if other else "ok"
