"""A metric over the side that pictures were reduced to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from bench.analysis.plots.chart import colour_of, shape_of, to_spec
from bench.analysis.plots.tradeoff import FAR
from bench.analysis.text import clean_text

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn


def over_scale(
    frame: pd.DataFrame, found: Sequence[TableColumn], labels: Sequence[str]
) -> dict[str, Any] | None:
    """Return a metric of one direction over the side that pictures were reduced to.

    None where there are not two scales.
    """
    sides = sorted({column.side for column in found if column.side})
    names = [f"{side} px" for side in sides] + ["full size"]
    points: list[dict[str, Any]] = [
        {
            "label": str(row["label"]),
            "scale": f"{column.side} px" if column.side else "full size",
            "anchor": bool(row["anchor"]),
            "named": False,
            "value": float(row[column.name]),
            "low": float(row[f"{column.name}_low"]),
            "high": float(row[f"{column.name}_high"]),
        }
        for column in found
        for _, row in frame[frame[column.name].notna()].iterrows()
    ]
    ranked = [point["value"] for point in points if not point["anchor"]]
    if len({point["scale"] for point in points}) < 2 or not ranked:
        return None
    if not found[0].higher_is_better:
        # An anchor far off would squeeze the methods together.
        limit = FAR * max(ranked)
        far = {point["label"] for point in points if point["anchor"] and point["value"] > limit}
        points = [point for point in points if point["label"] not in far]
    _name_apart(points)
    x = alt.X("scale:O", title="pictures reduced to", sort=names, axis=alt.Axis(labelAngle=0))
    better = "up" if found[0].higher_is_better else "down"
    title = next((clean_text(c.title) for c in found if not c.side), clean_text(found[0].title))
    y = alt.Y("value:Q", title=f"{title}  ({better} is better)")
    base = alt.Chart(pd.DataFrame(points))
    colour = colour_of(labels)
    dash = alt.StrokeDash(
        "anchor:N", scale=alt.Scale(domain=[False, True], range=[[1, 0], [4, 4]]), legend=None
    )
    shown = [alt.Tooltip("label:N"), alt.Tooltip("scale:N"), alt.Tooltip("value:Q", format=".4~g")]
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    whisker = base.mark_rule(opacity=0.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    dots = base.mark_point(filled=True, size=70, opacity=1, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape_of(labels), tooltip=shown
    )
    last = base.transform_filter("datum.scale == 'full size' && datum.named")
    name = last.mark_text(align="left", dx=8, fontSize=12, limit=150).encode(
        x=x, y=y, text="label:N"
    )
    spec = to_spec(alt.layer(line, whisker, dots, name), 260)
    # A name is written beside its last point, and axes leave no room for it.
    longest = max(min(len(point["label"]), 23) for point in points if point["named"])
    spec["padding"] = {"left": 5, "top": 5, "bottom": 5, "right": max(5.0, 6.6 * longest - 55)}
    return spec


def _name_apart(points: list[dict[str, Any]]) -> None:
    """Mark whose name is written at its last point: methods, then anchors where there is room."""
    last = [point for point in points if point["scale"] == "full size"]
    height = max(p["value"] for p in points) - min(p["value"] for p in points) or 1.0
    written: list[float] = []
    for point in sorted(last, key=lambda point: point["anchor"]):
        apart = all(abs(point["value"] - other) > 0.06 * height for other in written)
        point["named"] = apart
        written += [point["value"]] * apart
