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

from bench.analysis.summary import clean_text, columns
from bench_html.chart import PALETTE, colour_of, log_axis, shape_of, to_spec
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
    x = x.scale(alt.Scale(type="log", nice=True)).axis(log_axis(points["ms"]))
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
    if not table["label"].duplicated().any():
        return _rates(table, labels)
    x = alt.X("batch:O", title="batch size", axis=alt.Axis(labelAngle=0))
    y = alt.Y("median:Q", title="images per second", scale=alt.Scale(type="log", nice=True))
    y = y.axis(log_axis(table["median"], grid=True))
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
    """One batch size for each method: a point for each, on a line of its own."""
    sizes = sorted({int(v) for v in table["batch"]})
    batch = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    rate = alt.X("median:Q", title=f"images per second at batch {batch}")
    bars = (
        alt.Chart(table)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=rate.scale(alt.Scale(type="log", nice=True)).axis(log_axis(table["median"])),
            y=alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(grid=True)),
            color=colour_of(labels),
            shape=shape_of(labels),
            tooltip=["label:N", alt.Tooltip("median:Q", format=".4~g", title="images/s")],
        )
    )
    return to_spec(bars, max(90, 34 * len(table)))


def memory(
    frame: pd.DataFrame, labels: Sequence[str], column: str = "peak_memory"
) -> dict[str, Any] | None:
    """Peak memory of each method, the larger of its directions."""
    if column not in frame or frame[column].notna().sum() == 0:
        return None
    table = frame[frame[column].notna()].groupby("label", sort=False)[column].max()
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

    hardware = dict.fromkeys(c.hardware for c in columns(run) if c.metric == "throughput")
    for direction in dict.fromkeys(str(d) for d in frame["direction"] if d):
        for x, x_title, log, words in (
            ("lpips_diversity", "diversity (LPIPS)  (right is better)", False, "diversity"),
            *(
                (
                    f"throughput [{name}]" if name else "throughput",
                    "images per second  (right is better)",
                    True,
                    f"speed on {name}" if name else "speed",
                )
                for name in hardware
            ),
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
        paired = curves["loss"].astype(str).str.endswith("_b").any()
        note = "Dashed: the loss of domain b." if paired else ""
        add(
            losses(curves), "training", title, note, f"Line plot of the training losses of {label}."
        )
    for name, timings in _by_hardware(run):
        where = f" on {name}" if name else ""
        add(
            latency(timings, labels),
            "speed",
            f"Latency{where}",
            "Each tick is one timed call, the dot its median.",
            f"Strip plot of the time for one image{where}, one line for each method.",
        )
        add(
            throughput(timings, labels),
            "speed",
            f"Throughput{where}",
            "Median over rounds at each batch size.",
            f"Line plot of images per second against batch size{where}.",
        )
        add(
            memory(frame, labels, f"peak_memory [{name}]" if name else "peak_memory"),
            "speed",
            f"Peak memory{where}",
            "The larger of the directions.",
            f"Bar chart of peak memory for each method{where}.",
        )
    return found


def _by_hardware(run: RunView) -> list[tuple[str, pd.DataFrame]]:
    """The timings by what they were made on; one unnamed part where that is one machine."""
    where = {trial: clean_text(n) for trial, n in run.environment.get("hardware_of", {}).items()}
    names = list(dict.fromkeys(where.values()))
    if len(names) < 2:
        return [("", run.timings)]
    mine = run.timings["trial"].map(where)
    return [(name, run.timings[mine == name]) for name in names]
