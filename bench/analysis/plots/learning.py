"""Learning curves: losses of a training, and its scores on its way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.analysis.columns import TableColumn, leading
from bench.analysis.plots.chart import GRAY, PALETTE, log_axis, shape_of, to_spec
from bench.analysis.text import clean_text
from bench.storage.tables import core_hours

AXES: Mapping[str, str] = {"iteration": "iterations", "hours": "core-hours"}
"""What a training is measured by, and what that is called."""

_POINTS = 240


def losses(curves: pd.DataFrame) -> dict[str, Any]:
    """Return the training curves of one trial: the mean of each loss over spans of iterations."""
    parts = []
    for name, part in curves.groupby("loss", sort=False):
        rows = part.sort_values("iteration")
        span = max(1, -(-len(rows) // _POINTS))
        groups = np.arange(len(rows)) // span
        thin = rows.groupby(groups)[["iteration", "value"]].mean()
        smooth = thin["value"].ewm(alpha=0.15).mean()
        parts.append(thin.assign(loss=clean_text(name), smooth=smooth))
    data = pd.concat(parts)
    data = data[np.isfinite(data["value"])]
    log = bool((data["value"] > 0).all()) and data["value"].max() > 20 * data["value"].min()
    scale = alt.Scale(type="log", nice=True) if log else alt.Scale(zero=False, nice=True)
    # The two domains of one loss share a colour: twice as many can be told apart.
    data["family"] = data["loss"].str.replace(r"_[ab]$", "", regex=True)
    data["domain"] = data["loss"].str.endswith("_b").map({True: "b", False: "a"})
    names = list(dict.fromkeys(data["family"]))
    colour = alt.Color(
        "family:N",
        title=None,
        scale=alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))]),
        legend=alt.Legend(orient="bottom", columns=2, labelLimit=160, symbolType="stroke"),
    )
    dash = alt.StrokeDash(
        "domain:N", scale=alt.Scale(domain=["a", "b"], range=[[1, 0], [5, 3]]), legend=None
    )
    x = alt.X("iteration:Q", title="iteration", axis=alt.Axis(grid=False, tickCount=5))
    axis = log_axis(data["value"], grid=True) if log else alt.Axis(tickCount=6)
    values, smoothed = (alt.Y(f"{n}:Q", scale=scale, axis=axis) for n in ("value", "smooth"))
    base = alt.Chart(data)
    tooltip = [
        alt.Tooltip("loss:N"),
        alt.Tooltip("iteration:Q", format=",.0f"),
        alt.Tooltip("value:Q", format=".4~g"),
    ]
    faint = base.mark_line(strokeWidth=1, opacity=0.28).encode(
        x=x, y=values.title("loss"), color=colour, detail="loss:N"
    )
    bold = base.mark_line(strokeWidth=2).encode(
        x=x,
        y=smoothed.title("loss"),
        color=colour,
        strokeDash=dash,
        tooltip=tooltip,
        detail="loss:N",
    )
    return to_spec(alt.layer(faint, bold), 200)


def foremost(known: Sequence[TableColumn]) -> list[TableColumn]:
    """Return of quality, truth and diversity the first column by which methods are ranked."""
    found = (leading(known, kind) for kind in ("quality", "truth", "diversity"))
    return [column for column in found if column is not None]


def curves(
    points: pd.DataFrame, frame: pd.DataFrame, shown: Sequence[TableColumn], labels: Sequence[str]
) -> Iterator[tuple[str, TableColumn, str, dict[str, Any]]]:
    """Give direction, metric, axis and specification of each curve of a dataset.

    Parameters
    ----------
    points
        The rows of ``RunView.curves`` on the dataset.
    frame, shown
        The summary of the dataset, and those of its columns that are drawn.
    labels
        All labels of the run, which give the colours.
    """
    points = points.assign(hours=core_hours(points))
    for direction, there in points.groupby("direction", sort=False):
        anchors = frame[(frame["direction"] == direction) & frame["anchor"].astype(bool)]
        for column in shown:
            mine = there[(there["metric"] == column.metric) & (there["subset"] == column.subset)]
            beside = anchors[["label", column.name]].set_axis(["label", "value"], axis=1).dropna()
            for axis in AXES if len(mine) else ():
                yield str(direction), column, axis, _curve(mine, beside, column, axis, labels)


def _curve(
    points: pd.DataFrame,
    anchors: pd.DataFrame,
    column: TableColumn,
    axis: str,
    labels: Sequence[str],
) -> dict[str, Any]:
    data = points[["trial", "label", "value", "low", "high", axis]].astype(
        dict.fromkeys(("value", "low", "high", axis), float)
    )
    data["label"] = data["label"].map(clean_text)
    data = data[data[axis] > 0].sort_values(axis)
    better = "up" if column.higher_is_better else "down"
    # A legend: where trainings end alike, names at their ends would cover each other.
    names = [clean_text(label) for label in labels]
    shown = [name for name in names if name in set(data["label"])]
    colours = [PALETTE[names.index(name) % len(PALETTE)] for name in shown]
    colour = alt.Color(
        "label:N",
        title=None,
        scale=alt.Scale(domain=shown, range=colours),
        legend=alt.Legend(orient="bottom", labelLimit=160, symbolType="stroke"),
    )
    base = alt.Chart(data).encode(
        x=alt.X(
            f"{axis}:Q",
            title=AXES[axis],
            scale=alt.Scale(type="log", nice=False, padding=24),
            axis=log_axis(data[axis]),
        ),
        color=colour,
        detail="trial:N",
    )
    value = alt.Y(
        "value:Q",
        title=f"{clean_text(column.title)}  ({better} is better)",
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(grid=True, tickCount=6),
    )
    between = base.mark_rule(strokeWidth=1.5, opacity=0.4).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(y=value)
    tooltip = ["label:N", *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in (axis, "value"))]
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        y=value, shape=shape_of(names), tooltip=tooltip
    )
    beside = alt.Chart(anchors.assign(label=anchors["label"].map(clean_text)))
    rules = beside.mark_rule(strokeDash=[4, 4], color=GRAY).encode(y="value:Q")
    titles = beside.mark_text(align="left", dy=-5, dx=4, color=GRAY, fontSize=11).encode(
        x=alt.value(0), y="value:Q", text="label:N"
    )
    return to_spec(alt.layer(rules, titles, between, line, dots), 240)
