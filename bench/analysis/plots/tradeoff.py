"""The trade-off plot: quality against another metric, with intervals and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd

from bench.analysis.plots.chart import GRAY, colour_of, log_axis, shape_of, to_spec
from bench.analysis.text import clean_text, join_names

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn

FAR = 2.5
"""An anchor this many times as bad as the worst method is named, not drawn."""


WIDE, NARROW, _BETWEEN = 400, 225, 320
"""Widths of a plot in pixels for which names are placed, and what lies between them."""

HEIGHT = 255
"""Height of a plot without its axis, in pixels."""


def tradeoff(
    frame: pd.DataFrame, y: TableColumn, x: TableColumn, *, log: bool, labels: Sequence[str]
) -> tuple[dict[str, Any], str] | None:
    """Return a plot of a quality, better upwards, against a metric of which more is better.

    Parameters
    ----------
    frame
        Rows of the summary table, of one dataset and direction.
    y, x
        The quality and the other metric.
    log
        Whether the other metric's axis is logarithmic.
    labels
        All labels of the run, which fix colours and shapes.

    Returns
    -------
    tuple or None
        The specification and a remark on what is not drawn; None where no row has both
        numbers.
    """
    data = _points(frame, y, x, log=log)
    if data.empty:
        return None
    far = data[_far(data)] if y.higher_is_better is False else data.iloc[:0]
    data = data.drop(far.index)
    domain = _domain(data)
    edges = _edges(data, log=log)
    layers = _marks(data, y, x, domain=domain, edges=edges, log=log, labels=labels)
    remark = f"Off the scale: {join_names(far['label'])}." if len(far) else ""
    return to_spec(alt.layer(*layers), 300), remark


def _far(data: pd.DataFrame) -> pd.Series:
    """Return which anchors lie so far off that the methods would be squeezed together."""
    ranked = data[~data["anchor"]]
    limit = FAR * float((ranked if len(ranked) else data)["y"].max())
    return data["anchor"] & (data["y"] > limit)


def _domain(data: pd.DataFrame) -> tuple[float, float]:
    low, high = min(0.0, float(data["y0"].min())), float(data["y1"].max())
    return low - 0.02 * (high - low), high + 0.06 * (high - low)


def _edges(data: pd.DataFrame, *, log: bool) -> tuple[float, float]:
    if log:
        return float(data["x0"].min()) / 2, float(data["x1"].max()) * 2
    right = float(data["x1"].max()) or 1.0
    return -0.06 * right, 1.12 * right


def _marks(
    data: pd.DataFrame,
    y: TableColumn,
    x: TableColumn,
    *,
    domain: tuple[float, float],
    edges: tuple[float, float],
    log: bool,
    labels: Sequence[str],
) -> list[Any]:
    """Return the layers of the plot: front, intervals, points, names."""
    quality, other = clean_text(y.title), clean_text(x.title)
    unit = f", {clean_text(x.unit)}" if x.unit else ""
    base = alt.Chart(data)
    scale_x = alt.Scale(type="log" if log else "linear", domain=list(edges), nice=False)
    axis_x = alt.X("x:Q", title=f"{other}{unit}  (right is better)", scale=scale_x)
    axis_x = axis_x.axis(
        log_axis(data["x"]) if log else alt.Axis(tickCount=5, grid=False, format="~g")
    )
    upside_down = y.higher_is_better is False
    scale_y = alt.Scale(reverse=upside_down, domain=list(domain), nice=False)
    axis_y = alt.Y("y:Q", title=f"{quality}  (up is better)", scale=scale_y)
    axis_y = axis_y.axis(alt.Axis(tickCount=6))
    colour = alt.condition(alt.datum.anchor, alt.value(GRAY), colour_of(labels))
    rule = base.mark_rule(strokeWidth=1.5, opacity=0.7)
    layers = [
        alt.Chart(_front(data[~data["anchor"]], sign=1 if upside_down else -1))
        .mark_line(strokeDash=[4, 4], opacity=0.6, color=GRAY)
        .encode(x=axis_x, y=axis_y, order="order:O"),
        rule.encode(x=axis_x, y=alt.Y("y0:Q"), y2="y1:Q", color=colour),
        rule.encode(x=alt.X("x0:Q"), x2="x1:Q", y=axis_y, color=colour),
        base.mark_point(size=120, filled=True, opacity=1, cursor="pointer").encode(
            x=axis_x,
            y=axis_y,
            color=colour,
            shape=shape_of(labels),
            tooltip=[
                alt.Tooltip("label:N", title="method"),
                alt.Tooltip("y:Q", title=quality, format=".4~g"),
                alt.Tooltip("x:Q", title=other, format=".4~g"),
            ],
        ),
    ]
    # Names are placed twice, for a wide plot and for a phone's; the width says which are seen.
    for width, seen in ((WIDE, f"width >= {_BETWEEN}"), (NARROW, f"width < {_BETWEEN}")):
        down = domain if upside_down else domain[::-1]
        names = _place(data, edges, down, log=log, width=width)
        for (side, above), part in names[names["shown"]].groupby(["side", "above"], sort=True):
            text = alt.Chart(part).mark_text(
                align="left" if side == "right" else "right",
                dx=10 if side == "right" else -10,
                dy=-10 if above else 13,
                fontSize=12,
                limit=130,
                opacity=alt.ExprRef(f"{seen} ? 1 : 0"),
                aria=False,
            )
            layers.append(text.encode(x=axis_x, y=axis_y, text="label:N"))
    return layers


def _points(frame: pd.DataFrame, y: TableColumn, x: TableColumn, *, log: bool) -> pd.DataFrame:
    """Return the rows with both numbers, their intervals filled with the values themselves."""
    rows = frame[frame[y.name].notna() & frame[x.name].notna()]
    if log:
        rows = rows[rows[x.name] > 0]
    data = pd.DataFrame(
        {"label": [str(v) for v in rows["label"]], "anchor": rows["anchor"].astype(bool)}
    )
    for axis, metric in (("x", x.name), ("y", y.name)):
        value = rows[metric].astype(float)
        data[axis] = value
        data[f"{axis}0"] = rows[f"{metric}_low"].astype(float).fillna(value)
        data[f"{axis}1"] = rows[f"{metric}_high"].astype(float).fillna(value)
        if log and axis == "x":
            data["x0"] = data["x0"].where(data["x0"] > 0, value)
    return data


def _place(
    data: pd.DataFrame, x: tuple[float, float], y: tuple[float, float], *, log: bool, width: int
) -> pd.DataFrame:
    """Return where each name goes, in pixels: the corner of its point with least in it.

    `y` are the values at the top and at the bottom, `width` that of the plot. Methods choose
    before anchors; an anchor's name that fits nowhere is left out (its point still has its
    tooltip).
    """
    scale = math.log if log else float
    across = (data["x"].map(scale) - scale(x[0])) / (scale(x[1]) - scale(x[0])) * width
    down = (data["y"] - y[0]) / (y[1] - y[0]) * HEIGHT
    taken = [(a - 7, b - 7, a + 7, b + 7) for a, b in zip(across, down, strict=True)]
    placed: dict[Any, tuple[str, bool, bool]] = {}
    for index in data["anchor"].sort_values(kind="stable").index:
        a, b = float(across[index]), float(down[index])
        wide = min(130.0, 6.4 * len(str(data.loc[index, "label"])))
        best: tuple[float, str, bool, tuple[float, float, float, float]] | None = None
        for side in ("right", "left"):
            left = a + 9 if side == "right" else a - 9 - wide
            for above in (True, False):
                top = b - 18 if above else b + 5
                box = (left, top, left + wide, top + 14)
                outside = max(0.0, -left) + max(0.0, left + wide - width - 12)
                below = max(0.0, top + 14 - HEIGHT)  # what the axis says stands below
                cost = 20 * (outside + below) + sum(_overlap(box, other) for other in taken)
                if best is None or cost < best[0]:
                    best = (cost, side, above, box)
        assert best is not None
        cost, side, above, box = best
        shown = cost < 60 or not bool(data.loc[index, "anchor"])
        placed[index] = (side, above, shown)
        if shown:
            taken.append(box)
    rows = [placed[index] for index in data.index]
    return data.assign(
        side=[row[0] for row in rows],
        above=[row[1] for row in rows],
        shown=[row[2] for row in rows],
    )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Return the area that two boxes (left, top, right, bottom) share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _front(data: pd.DataFrame, *, sign: int) -> pd.DataFrame:
    """Return the points that no other beats on both axes, from left to right.

    More is better of x, and less of ``sign * y``.
    """
    ordered = data.assign(cost=sign * data["y"])
    ordered = ordered.sort_values(["x", "cost"], ascending=[False, True])
    best, kept = np.inf, []
    for index, cost in ordered["cost"].items():
        if cost < best:
            best = cost
            kept.append(index)
    front = data.loc[kept, ["x", "y"]].sort_values("x")
    return front.assign(order=range(len(front)))
