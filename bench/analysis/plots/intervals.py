"""One metric of every method, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from bench.analysis.plots.chart import GRAY, colour_of, to_spec
from bench.analysis.text import clean_text

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn


def intervals(frame: pd.DataFrame, column: TableColumn, labels: Sequence[str]) -> dict[str, Any]:
    """Return a dot and its interval for each row of the summary that has a number; anchors grey."""
    rows = frame[frame[column.name].notna()]
    value = rows[column.name].astype(float)
    data = pd.DataFrame({"label": [clean_text(v) for v in rows["label"]], "value": list(value)})
    for end in ("low", "high"):
        data[end] = list(rows[f"{column.name}_{end}"].astype(float).fillna(value))
    data["anchor"] = list(rows["anchor"].astype(bool))
    better = {True: "  (right is better)", False: "  (left is better)", None: ""}
    unit = f", {clean_text(column.unit)}" if column.unit else ""
    title = clean_text(column.title) + unit + better[column.higher_is_better]
    ticks = alt.Axis(tickCount=6, labelOverlap="greedy")
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, nice=True), axis=ticks)
    y = alt.Y("label:N", title=None, sort=list(data["label"]), axis=alt.Axis(labelLimit=130))
    colour = alt.condition(alt.datum.anchor, alt.value(GRAY), colour_of(labels))
    base = alt.Chart(data)
    ends = base.mark_rule(strokeWidth=2, opacity=0.6).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
    )
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(x=x, y=y, color=colour)
    return to_spec(alt.layer(ends, dots), max(90, 26 * len(data)))
