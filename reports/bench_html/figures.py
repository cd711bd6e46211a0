"""The figures of a report as Vega-Lite specifications, built with Altair.

Every figure takes its colours from one palette keyed by label, so a method looks the same
everywhere; shape repeats what colour says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from bench.analysis.columns import TableColumn, columns, leading, present
from bench.analysis.plots.chart import colour_of, log_axis, shape_of, to_spec
from bench.analysis.plots.learning import AXES, curves, foremost, losses
from bench.analysis.plots.tradeoff import tradeoff
from bench.analysis.text import clean_text
from bench_html.scale import over_scale

if TYPE_CHECKING:
    from bench.api import RunView


@dataclass(frozen=True)
class Figure:
    """One figure: where it stands on the page, its words, and its specification.

    A figure with a `direction` has points whose ``label`` leads to that method's pictures.
    """

    id: str
    dataset: str
    section: str
    title: str
    caption: str
    alt: str
    spec: dict[str, Any]
    direction: str = ""

    @property
    def click(self) -> bool:
        """Return whether its points lead to pictures."""
        return bool(self.direction)


def latency(timings: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return every timed single-image call as a tick, its median as a dot, a line per method."""
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
    """Return images per second against batch size: the median of the rounds, and their range."""
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
    """Return a point for each method, on a line of its own: each has one batch size."""
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
    frame: pd.DataFrame, labels: Sequence[str], column: TableColumn
) -> dict[str, Any] | None:
    """Return what each method needs of a resource, the larger of its directions, as bars."""
    table = frame[frame[column.name].notna()].groupby("label", sort=False)[column.name].max()
    if table.empty:
        return None
    data = pd.DataFrame(
        {"label": [str(v) for v in table.index], "value": table.to_numpy(dtype=float)}
    )
    unit = clean_text(column.unit)
    y = alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(labelLimit=130))
    bars = (
        alt.Chart(data)
        .mark_bar(height=12, cornerRadiusEnd=2)
        .encode(
            x=alt.X("value:Q", title=unit or None, axis=alt.Axis(grid=True, tickCount=5)),
            y=y,
            color=colour_of(labels),
            tooltip=["label:N", alt.Tooltip("value:Q", format=",.4~g", title=unit)],
        )
    )
    return to_spec(bars, max(90, 34 * len(data)))


# ------------------------------------------------------------------------ all of a run


def build(run: RunView, frame: pd.DataFrame) -> list[Figure]:
    """Return every figure a run has the numbers for, dataset by dataset, in page order."""
    labels = [str(v) for v in dict.fromkeys(frame["label"])]
    known = columns(run)
    found: list[Figure] = []
    for dataset, rows in frame.groupby("dataset", sort=False):
        mine = present(known, rows)
        trials = run.trials[run.trials["dataset"] == dataset]
        timings = run.timings[run.timings["trial"].isin(trials["trial"])]
        found += [
            replace(figure, id=f"figure-{len(found) + number}", dataset=str(dataset))
            for number, figure in enumerate(
                [
                    *_questions(rows, mine, labels),
                    *_tradeoffs(rows, mine, labels),
                    *_learning(run.curves[run.curves["dataset"] == dataset], rows, mine, labels),
                    *_training(run, trials),
                    *_speed(run, timings, rows, mine, labels),
                ]
            )
        ]
    return found


def _questions(
    frame: pd.DataFrame, known: Sequence[TableColumn], labels: Sequence[str]
) -> Iterator[Figure]:
    """Give target against scene, and what depends on the scale of pictures, by direction."""
    target, scene = (
        next((c for c in known if c.aspect == aspect and c.plain and c.higher_is_better), None)
        for aspect in ("target", "scene")
    )
    for direction in dict.fromkeys(str(name) for name in frame["direction"] if name):
        rows = frame[frame["direction"] == direction]
        if target is not None and scene is not None:
            plot = tradeoff(rows, target, scene, log=False, labels=labels)
            if plot is not None:
                yield _figure(
                    plot[0],
                    "plot",
                    f"{direction}: season and scene",
                    f"A translation is top right: taken for the target, still its scene. {plot[1]}",
                    f"Scatter plot of {target.title} against {scene.title} for {direction}.",
                    direction,
                )
        for name in dict.fromkeys(c.metric.removesuffix(f"_{c.side}") for c in known if c.side):
            found = [c for c in known if c.plain and c.metric in (name, f"{name}_{c.side}")]
            if (spec := over_scale(rows, found, labels)) is not None:
                title = next((clean_text(c.title) for c in found if not c.side), name)
                yield _figure(
                    spec,
                    "plot",
                    f"{direction}: {title} by scale",
                    "Few pixels ask whether it is this season, all of them whether texture and "
                    "codec are real.",
                    f"Line plot of {title} over the side that pictures are reduced to, one line "
                    f"for each method and anchor, {direction}.",
                    direction,
                )


def _tradeoffs(
    frame: pd.DataFrame, known: Sequence[TableColumn], labels: Sequence[str]
) -> Iterator[Figure]:
    """Give quality against diversity and speed, for each direction of a dataset."""
    quality, diversity = leading(known, "quality"), leading(known, "diversity")
    if quality is None:
        return
    speed = [column for column in known if column.headline and column.kind == "throughput"]
    others = [(diversity, "diversity")] if diversity is not None else []
    others += [(c, f"speed on {c.hardware}" if c.hardware else "speed") for c in speed]
    for direction in dict.fromkeys(str(name) for name in frame["direction"] if name):
        rows = frame[frame["direction"] == direction]
        for other, words in others:
            if not other.higher_is_better:
                continue
            log = other.kind == "throughput"
            plot = tradeoff(rows, quality, other, log=log, labels=labels)
            if plot is not None:
                yield _figure(
                    plot[0],
                    "plot",
                    f"{direction}: quality and {words}",
                    f"Best is top right; nothing beats the dashed line. {plot[1]}",
                    f"Scatter plot of {quality.title} against {words} for {direction}, a point "
                    "for each method.",
                    direction,
                )


def _learning(
    points: pd.DataFrame, frame: pd.DataFrame, known: Sequence[TableColumn], labels: Sequence[str]
) -> Iterator[Figure]:
    """Give the learning curves of a dataset."""
    for direction, column, axis, spec in curves(points, frame, foremost(known), labels):
        title, over = clean_text(column.title), AXES[axis]
        yield _figure(
            spec,
            "learning",
            f"{direction}: {title} over {over}",
            "A point for each budget; the line through an anchor is what it scores.",
            f"Line plot of {title} over {over} for {direction}, a line for each training.",
            direction,
        )


def _training(run: RunView, trials: pd.DataFrame) -> Iterator[Figure]:
    """Give the training curves of the trials of a dataset."""
    many = run.trials["seed"].nunique() > 1
    points = run.losses[run.losses["trial"].isin(trials["trial"])]
    facts = trials.drop_duplicates("trial").set_index("trial")
    labels, seeds = facts["label"].to_dict(), facts["seed"].to_dict()
    for trial, rows in points.groupby("trial", sort=False):
        label = clean_text(labels[trial])
        paired = rows["loss"].astype(str).str.endswith("_b").any()
        yield _figure(
            losses(rows),
            "training",
            f"{label} · seed {seeds[trial]}" if many else label,
            "Dashed: the loss of domain b." if paired else "",
            f"Line plot of the training losses of {label}.",
        )


def _speed(
    run: RunView,
    timings: pd.DataFrame,
    frame: pd.DataFrame,
    known: Sequence[TableColumn],
    labels: Sequence[str],
) -> Iterator[Figure]:
    """Give latency, throughput and the need of resources, for each hardware."""
    for name, part in _by_hardware(run, timings):
        where = f" on {name}" if name else ""
        if (spec := latency(part, labels)) is not None:
            yield _figure(
                spec,
                "speed",
                f"Latency{where}",
                "Each tick is one timed call, the dot its median.",
                f"Strip plot of the time for one image{where}, one line for each method.",
            )
        if (spec := throughput(part, labels)) is not None:
            yield _figure(
                spec,
                "speed",
                f"Throughput{where}",
                "Median over rounds at each batch size.",
                f"Line plot of images per second against batch size{where}.",
            )
        for column in known:
            needed = column.headline and column.kind == "resource"
            if not needed or clean_text(column.hardware) != name:
                continue
            if (spec := memory(frame, labels, column)) is not None:
                meaning = clean_text(column.meaning) or "As measured"
                yield _figure(
                    spec,
                    "speed",
                    clean_text(column.title) + where,
                    f"{meaning[:1].upper()}{meaning[1:]}; the larger of the directions.",
                    f"Bar chart of {clean_text(column.title)} for each method.",
                )


def _figure(
    spec: dict[str, Any], section: str, title: str, caption: str, text: str, direction: str = ""
) -> Figure:
    """Return a figure that is not yet numbered, nor said to be of a dataset."""
    return Figure("", "", section, title, caption, text, spec, direction)


def _by_hardware(run: RunView, timings: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the timings by what they were made on; one unnamed part where that is one machine."""
    where = {trial: clean_text(n) for trial, n in run.environment.get("hardware_of", {}).items()}
    names = list(dict.fromkeys(where.values()))
    if len(names) < 2:
        return [("", timings)]
    mine = timings["trial"].map(where)
    return [(name, timings[mine == name]) for name in names]
