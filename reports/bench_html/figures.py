"""The figures of a report as Vega-Lite specifications, built with Altair.

Every figure takes its colours from one palette keyed by label, so a method looks the same
everywhere; shape repeats what colour says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd

from bench.summary import clean_text
from bench_html.chart import PALETTE, colour_of, shape_of, to_spec
from bench_html.tradeoff import tradeoff

if TYPE_CHECKING:
    from bench.api import RunView

_POINTS = 240


@dataclass(frozen=True)
class Figure:
    """One figure: where it stands on the page, its words, and its specification.

    A figure with a `direction` has points whose ``label`` leads to that method's pictures.
    """

    id: str
    section: str
    title: str
    caption: str
    alt: str
    spec: dict[str, Any]
    direction: str = ""

    @property
    def click(self) -> bool:
        """Whether its points lead to pictures."""
        return bool(self.direction)


def losses(curves: pd.DataFrame) -> dict[str, Any]:
    """Training curves of one trial: the mean of each loss over spans of iterations."""
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
    names = list(dict.fromkeys(data["loss"]))
    colour = alt.Color(
        "loss:N",
        title=None,
        scale=alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))]),
        legend=alt.Legend(orient="bottom", columns=2, labelLimit=160),
    )
    x = alt.X("iteration:Q", title="iteration", axis=alt.Axis(grid=False, tickCount=5))
    base = alt.Chart(data)
    tooltip = [
        alt.Tooltip("loss:N"),
        alt.Tooltip("iteration:Q", format=",.0f"),
        alt.Tooltip("value:Q", format=".4~g"),
    ]
    faint = base.mark_line(strokeWidth=1, opacity=0.28).encode(
        x=x, y=alt.Y("value:Q", title="loss", scale=scale), color=colour
    )
    bold = base.mark_line(strokeWidth=2).encode(
        x=x, y=alt.Y("smooth:Q", title="loss", scale=scale), color=colour, tooltip=tooltip
    )
    return to_spec(alt.layer(faint, bold), 200)


def latency(timings: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any] | None:
    """Every timed single-image call as a tick, the median as a dot; one line per method."""
    data = timings[timings["mode"] == "latency"]
    data = data[data["seconds"] > 0]
    if data.empty:
        return None
    seconds = data["seconds"] / data["images"].astype(float).clip(lower=1)
    points = pd.DataFrame(
        {"label": [str(v) for v in data["label"]], "ms": seconds.astype(float) * 1000}
    )
    if len(points) > 4000:
        points = points.sample(4000, random_state=0)
    middle = points.groupby("label", sort=False, as_index=False)["ms"].median()
    y = alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(grid=True, labelLimit=130))
    x = alt.X("ms:Q", title="milliseconds for one image  (left is better)")
    x = x.scale(alt.Scale(type="log", nice=True)).axis(
        alt.Axis(grid=False, tickCount=5, format="~g")
    )
    ticks = (
        alt.Chart(points)
        .mark_tick(thickness=1.5, size=16, opacity=0.45)
        .encode(x=x, y=y, color=colour_of(labels))
    )
    dots = (
        alt.Chart(middle)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=x,
            y=y,
            color=colour_of(labels),
            tooltip=["label:N", alt.Tooltip("ms:Q", format=".4~g")],
        )
    )
    return to_spec(alt.layer(ticks, dots), max(90, 34 * middle.shape[0]))


def throughput(timings: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any] | None:
    """Images per second against batch size: the median of the rounds, and their range."""
    data = timings[(timings["mode"] == "throughput") & (timings["seconds"] > 0)]
    if data.empty:
        return None
    points = pd.DataFrame(
        {
            "label": [str(v) for v in data["label"]],
            "batch": data["batch"].astype(int),
            "rate": data["images"].astype(float) / data["seconds"].astype(float),
        }
    )
    rate = points.groupby(["label", "batch"], sort=False)["rate"]
    table = rate.agg(["median", "min", "max"]).reset_index()
    if table["batch"].nunique() == 1:
        return _rates(table, labels)
    x = alt.X("batch:O", title="batch size", axis=alt.Axis(labelAngle=0))
    y = alt.Y("median:Q", title="images per second", scale=alt.Scale(type="log", nice=True))
    y = y.axis(alt.Axis(tickCount=5, format="~g"))
    base = alt.Chart(table)
    colour = colour_of(labels)
    band = base.mark_rule(strokeWidth=2, opacity=0.4).encode(
        x=x, y=alt.Y("min:Q"), y2="max:Q", color=colour
    )
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=shape_of(labels),
        tooltip=["label:N", "batch:O", alt.Tooltip("median:Q", format=".4~g", title="images/s")],
    )
    return to_spec(alt.layer(band, line, dots), 240)


def _rates(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """One batch size only: a point for each method, on a line of its own."""
    batch = int(table["batch"].iloc[0])
    rate = alt.X("median:Q", title=f"images per second at batch {batch}")
    bars = (
        alt.Chart(table)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=rate.scale(alt.Scale(type="log", nice=True)).axis(
                alt.Axis(tickCount=5, format="~g", grid=False)
            ),
            y=alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(grid=True)),
            color=colour_of(labels),
            shape=shape_of(labels),
            tooltip=["label:N", alt.Tooltip("median:Q", format=".4~g", title="images/s")],
        )
    )
    return to_spec(bars, max(90, 34 * len(table)))


def memory(frame: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any] | None:
    """Peak memory of each method, the larger of its directions."""
    if "peak_memory" not in frame or frame["peak_memory"].notna().sum() == 0:
        return None
    table = frame[frame["peak_memory"].notna()].groupby("label", sort=False)["peak_memory"].max()
    data = pd.DataFrame({"label": [str(v) for v in table.index], "mb": table.to_numpy(dtype=float)})
    y = alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(labelLimit=130))
    bars = (
        alt.Chart(data)
        .mark_bar(height=12, cornerRadiusEnd=2)
        .encode(
            x=alt.X("mb:Q", title="MB, at its peak", axis=alt.Axis(grid=True, tickCount=5)),
            y=y,
            color=colour_of(labels),
            tooltip=["label:N", alt.Tooltip("mb:Q", format=",.0f", title="MB")],
        )
    )
    return to_spec(bars, max(90, 34 * len(data)))


def build(run: RunView, frame: pd.DataFrame) -> list[Figure]:
    """Every figure a run has the numbers for, in page order."""
    labels = [str(v) for v in dict.fromkeys(frame["label"])]
    found: list[Figure] = []

    def add(
        spec: dict[str, Any] | None,
        section: str,
        title: str,
        caption: str,
        text: str,
        direction: str = "",
    ) -> None:
        if spec is not None:
            found.append(
                Figure(f"figure-{len(found)}", section, title, caption, text, spec, direction)
            )

    for direction in dict.fromkeys(str(d) for d in frame["direction"] if d):
        for x, x_title, log, words in (
            ("lpips_diversity", "diversity (LPIPS)  (right is better)", False, "diversity"),
            ("throughput", "images per second  (right is better)", True, "speed"),
        ):
            plot = tradeoff(frame, direction, x=x, x_title=x_title, log=log, labels=labels)
            if plot is not None:
                caption = f"Best is top right; nothing beats the dashed line. {plot[1]}"
                text = (
                    f"Scatter plot of KID against {words} for {direction}, a point for each method."
                )
                add(plot[0], "plot", f"{direction}: quality and {words}", caption, text, direction)
    names = run.trials.set_index("trial")["label"]
    seeds = run.trials.set_index("trial")["seed"]
    many = run.trials["seed"].nunique() > 1
    for trial, curves in run.losses.groupby("trial", sort=False):
        label = clean_text(names.get(trial, trial))
        title = f"{label} · seed {seeds.get(trial)}" if many else label
        add(losses(curves), "training", title, "", f"Line plot of the training losses of {label}.")
    add(
        latency(run.timings, labels),
        "speed",
        "Latency",
        "Each tick is one timed call, the dot its median.",
        "Strip plot of the time for one image, one line for each method.",
    )
    add(
        throughput(run.timings, labels),
        "speed",
        "Throughput",
        "Median over rounds at each batch size.",
        "Line plot of images per second against batch size.",
    )
    add(
        memory(frame, labels),
        "speed",
        "Peak memory",
        "The larger of the directions.",
        "Bar chart of peak memory for each method.",
    )
    return found
