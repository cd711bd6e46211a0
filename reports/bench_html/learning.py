"""Learning curves: scores of a training on its way, over iterations and over core-hours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from bench.analysis.columns import TableColumn, leading
from bench.analysis.text import clean_text
from bench_html.chart import GRAY, PALETTE, log_axis, shape_of, to_spec

AXES: Mapping[str, str] = {"iteration": "iterations", "hours": "core-hours"}
"""What a training is measured by, and what that is called."""


def curves(
    points: pd.DataFrame, frame: pd.DataFrame, known: Sequence[TableColumn], labels: Sequence[str]
) -> Iterator[tuple[str, TableColumn, str, dict[str, Any]]]:
    """Give direction, metric, axis and specification of each curve of a dataset.

    Parameters
    ----------
    points
        The rows of ``RunView.curves`` on the dataset.
    frame, known
        The summary of the dataset and its columns; of quality, truth and diversity the first one
        by which methods are ranked is drawn.
    labels
        All labels of the run, which give the colours.
    """
    points = points.assign(hours=points["seconds"] * points["cores"] / 3600)
    shown = [leading(known, kind) for kind in ("quality", "truth", "diversity")]
    for direction, there in points.groupby("direction", sort=False):
        anchors = frame[(frame["direction"] == direction) & frame["anchor"].astype(bool)]
        for column in filter(None, shown):
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
