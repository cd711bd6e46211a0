"""The trade-off plot: quality against another metric, with intervals and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.summary import join_names
from bench_html.chart import GRAY, colour_of, shape_of, to_spec

_FAR = 2.5
"""An anchor whose KID is this many times the methods' largest is named, not drawn."""


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
    data = _place(data, domain, log=log)
    base = alt.Chart(data)
    if log:
        edges = [float(data["x0"].min()) / 2, float(data["x1"].max()) * 2]
        scale_x = alt.Scale(type="log", domain=edges, nice=False)
    else:
        right = float(data["x1"].max()) or 1.0
        scale_x = alt.Scale(domain=[-0.06 * right, 1.12 * right], nice=False)
    axis_x = alt.X("x:Q", title=x_title, scale=scale_x)
    axis_x = axis_x.axis(alt.Axis(tickCount=5, grid=False, format="~g"))
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
    for (side, above), part in data.groupby(["side", "above"], sort=True):
        text = alt.Chart(part).mark_text(
            align="left" if side == "right" else "right",
            dx=10 if side == "right" else -10,
            dy=-10 if above else 13,
            fontSize=12,
            limit=130,
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


def _place(data: pd.DataFrame, domain: tuple[float, float], *, log: bool) -> pd.DataFrame:
    """Where each name goes: right of its point unless near the edge, below when crowded."""
    across = data["x"].map(math.log) if log else data["x"]
    wide = float(across.max() - across.min()) or 1.0
    at_x = (across - across.min()) / wide
    at_y = (data["y"] - domain[0]) / (domain[1] - domain[0])
    taken: list[tuple[float, float]] = []
    sides, aboves = [], []
    points = list(zip(at_x, at_y, strict=True))
    for x, y in points:
        crowded = any(0 < u - x < 0.16 and abs(v - y) < 0.07 for u, v in points)
        side = "left" if x > 0.75 or (crowded and x > 0.2) else "right"
        middle = x - 0.12 if side == "left" else x + 0.12
        above = all(abs(middle - u) > 0.26 or abs(y - 0.04 - v) > 0.05 for u, v in taken)
        taken.append((middle, y - 0.04 if above else y + 0.05))
        sides.append(side)
        aboves.append(above)
    return data.assign(side=sides, above=aboves)


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
