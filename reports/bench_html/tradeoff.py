"""The trade-off plot: quality against another metric, with intervals and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.analysis.summary import join_names
from bench_html.chart import GRAY, colour_of, log_axis, shape_of, to_spec

_FAR = 2.5
"""An anchor whose KID is this many times the methods' largest is named, not drawn."""


WIDE, NARROW, _BETWEEN = 400, 225, 320
"""Widths of a plot in pixels for which names are placed, and what lies between them."""

HEIGHT = 255
"""Height of a plot without its axis, in pixels."""


def tradeoff(
    frame: pd.DataFrame, direction: str, *, x: str, x_title: str, log: bool, labels: Sequence[str]
) -> tuple[dict[str, Any], str] | None:
    """KID, upwards better, against a metric of which more is better.

    Parameters
    ----------
    frame
        The summary table.
    x, x_title, log
        The other metric, its axis title and whether that axis is logarithmic.
    labels
        All labels of the run, which fix colours and shapes.

    Returns
    -------
    tuple or None
        The specification and a remark on what is not drawn; None where no row of the
        direction has both numbers.
    """
    data = _points(frame, direction, x, log=log)
    if data.empty:
        return None
    ranked = data[~data["anchor"]]
    limit = _FAR * float((ranked if len(ranked) else data)["y"].max())
    far = data[data["anchor"] & (data["y"] > limit)]
    data = data.drop(far.index)
    low, high = min(0.0, float(data["y0"].min())), float(data["y1"].max())
    domain = (low - 0.02 * (high - low), high + 0.06 * (high - low))
    base = alt.Chart(data)
    if log:
        edges = (float(data["x0"].min()) / 2, float(data["x1"].max()) * 2)
        scale_x = alt.Scale(type="log", domain=list(edges), nice=False)
    else:
        right = float(data["x1"].max()) or 1.0
        edges = (-0.06 * right, 1.12 * right)
        scale_x = alt.Scale(domain=list(edges), nice=False)
    axis_x = alt.X("x:Q", title=x_title, scale=scale_x)
    axis_x = axis_x.axis(
        log_axis(data["x"]) if log else alt.Axis(tickCount=5, grid=False, format="~g")
    )
    scale_y = alt.Scale(reverse=True, domain=list(domain), nice=False)
    axis_y = alt.Y("y:Q", title="KID  (up is better)", scale=scale_y)
    axis_y = axis_y.axis(alt.Axis(tickCount=6))
    colour = alt.condition(alt.datum.anchor, alt.value(GRAY), colour_of(labels))
    rule = base.mark_rule(strokeWidth=1.5, opacity=0.7)
    layers = [
        alt.Chart(_front(data[~data["anchor"]]))
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
                alt.Tooltip("y:Q", title="KID", format=".4f"),
                alt.Tooltip("x:Q", title=x_title.split("  ")[0], format=".4~g"),
            ],
        ),
    ]
    # Names are placed twice, for a wide plot and for a phone's; the width says which are seen.
    for width, seen in ((WIDE, f"width >= {_BETWEEN}"), (NARROW, f"width < {_BETWEEN}")):
        names = _place(data, edges, domain, log=log, width=width)
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
    remark = f"Off the scale: {join_names(far['label'])}." if len(far) else ""
    return to_spec(alt.layer(*layers), 300), remark


def _points(frame: pd.DataFrame, direction: str, x: str, *, log: bool) -> pd.DataFrame:
    """The rows with both numbers, their intervals filled with the values themselves."""
    if "kid" not in frame or x not in frame:
        return pd.DataFrame()
    rows = frame[(frame["direction"] == direction) & frame["kid"].notna() & frame[x].notna()]
    if log:
        rows = rows[rows[x] > 0]
    data = pd.DataFrame(
        {"label": [str(v) for v in rows["label"]], "anchor": rows["anchor"].astype(bool)}
    )
    for axis, metric in (("x", x), ("y", "kid")):
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
    """Where each name goes in a plot of some width, in pixels: the corner with least in its way.

    Methods choose before anchors; an anchor's name that fits nowhere is left out (its point
    still has its tooltip).
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
                cost = 20 * outside + sum(_overlap(box, other) for other in taken)
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
    """The area that two boxes (left, top, right, bottom) share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _front(data: pd.DataFrame) -> pd.DataFrame:
    """Points that no other beats on both axes (lower y, higher x), from left to right."""
    ordered = data.sort_values(["x", "y"], ascending=[False, True])
    best, kept = np.inf, []
    for index, row in ordered.iterrows():
        if row["y"] < best:
            best = row["y"]
            kept.append(index)
    front = data.loc[kept, ["x", "y"]].sort_values("x")
    return front.assign(order=range(len(front)))
