"""The metric columns of a run's tables: which there are, what they are called, how they rank.

What a measurement is called and which side is better stands in its plugin's declaration
(:class:`bench.api.Column`); one that nobody declared is shown under its own name, in long
tables only.

A column holds one metric from one extractor on one subset of the test images. The extractor
behind most rows gives the plain column; others get columns of their own. Speed is kept apart by
hardware: a merged run whose trials ran on different machines has a speed column for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.text import plain_text
from bench.api import Alarm, Aspect, Column

if TYPE_CHECKING:
    from bench.api import Kind, RunView

__all__ = ["DERIVED", "TableColumn", "columns", "hardware_name", "in_columns", "leading", "present"]

DERIVED = ("_low", "_high", "_group", "_best", "_gain")
"""Endings of the columns that stand beside a metric's own."""

_KINDS = ("quality", "diversity", "content", "truth", "throughput", "resource")


@dataclass(frozen=True)
class TableColumn:
    """One metric column of the summary.

    Parameters
    ----------
    name
        Column name in the table; the metric's, unless an extractor or subset is added.
    metric, title, meaning, unit, kind
        What it shows.
    higher_is_better
        None: not ranked.
    extractor
        The network behind it; empty where there is none.
    subset
        ``all`` or ``clean``.
    interval
        How its intervals were made; empty where there are none.
    n
        Images (or timings) behind one number: the smallest and the largest.
    headline
        Whether a short table shows it.
    short, question, answer, beside, aspect, bar, side, alarm
        As declared, see :class:`bench.api.Column`.
    hardware
        What its trials ran on, where a run was made on several machines; else empty.
    """

    name: str
    metric: str
    title: str
    meaning: str
    unit: str
    kind: str
    higher_is_better: bool | None
    extractor: str
    subset: str
    interval: str
    n: tuple[int, int]
    headline: bool
    short: str = ""
    question: str = ""
    answer: str = ""
    beside: str = ""
    aspect: Aspect = ""
    bar: str = ""
    side: int = 0
    alarm: Alarm | None = None
    hardware: str = ""

    @property
    def plain(self) -> bool:
        """Return whether it is a metric's own column: its usual extractor, all test images."""
        return self.name == (f"{self.metric} [{self.hardware}]" if self.hardware else self.metric)

    @property
    def group(self) -> str:
        """Return its kind, or ``clean`` for that subset, or ``other`` for an unknown kind."""
        if self.subset != "all":
            return "clean"
        return self.kind if self.kind in _KINDS else "other"

    @property
    def arrow(self) -> str:
        """Return ``↑`` where higher is better, ``↓`` where lower is, else nothing."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


def columns(run: RunView) -> list[TableColumn]:
    """Return the metric columns: headline metrics as declared, then others by kind and name."""
    result = []
    place: dict[str, tuple[float, str, str]] = {}
    for name, rows in in_columns(run).groupby("column", sort=False):
        first = rows.iloc[0]
        metric = str(first["metric"])
        declared = run.declared.column(metric)
        told = declared or Column(metric)
        stated = next((bool(v) for v in rows["higher_is_better"] if not pd.isna(v)), None)
        made = TableColumn(
            name=str(name),
            metric=metric,
            title=told.title or metric.replace("_", " "),
            meaning=told.meaning,
            unit=plain_text(first["unit"]),
            kind=plain_text(first["kind"]),
            higher_is_better=declared.higher_is_better if declared else stated,
            extractor=plain_text(first["extractor"]),
            subset=str(first["subset"]),
            interval=", ".join(sorted({plain_text(v) for v in rows["interval"]} - {""})),
            n=(int(rows["n"].fillna(0).min()), int(rows["n"].fillna(0).max())),
            headline=told.headline is not None,
            short=told.short,
            question=told.question,
            answer=told.answer,
            beside=told.beside,
            aspect=told.aspect,
            bar=told.bar,
            side=told.side,
            alarm=told.alarm,
            hardware=str(first["hardware"]),
        )
        if not made.plain:
            title = f"{made.title}{made.name[len(metric) :]}"
            made = replace(made, title=title, headline=False)
        order = told.headline if made.headline and told.headline is not None else float("inf")
        place[made.name] = (order, made.kind, made.name)
        result.append(made)
    return sorted(result, key=lambda column: place[column.name])


def present(known: Iterable[TableColumn], frame: pd.DataFrame) -> list[TableColumn]:
    """Return the columns in which rows of a summary have a number."""
    return [column for column in known if frame[column.name].notna().any()]


def leading(known: Iterable[TableColumn], kind: Kind) -> TableColumn | None:
    """Return the first headline column of a kind by which methods are ranked."""
    return next(
        (c for c in known if c.headline and c.kind == kind and c.higher_is_better is not None), None
    )


def in_columns(run: RunView) -> pd.DataFrame:
    """Return the measurements with the column each belongs to, and the hardware it needs naming."""
    frame = run.measurements.reset_index(drop=True)
    frame = frame.assign(
        extractor=frame["extractor"].astype("object").where(frame["extractor"].notna(), ""),
        subset=frame["subset"].astype("object").where(frame["subset"].notna(), "all"),
        hardware=_hardware(run, frame),
    )
    plain = frame[frame["subset"] == "all"]
    counts = Counter(zip(plain["metric"], plain["extractor"], strict=True))
    usual: dict[str, str] = {}
    for (metric, extractor), count in counts.items():
        if metric not in usual or count > counts[metric, usual[metric]]:
            usual[metric] = extractor
    names = []
    for metric, extractor, subset, hardware in zip(
        frame["metric"], frame["extractor"], frame["subset"], frame["hardware"], strict=True
    ):
        name = str(metric)
        if usual.get(metric, extractor) != extractor:
            name += f" [{extractor}]"
        if hardware:
            name += f" [{hardware}]"
        names.append(name if subset == "all" else f"{name} ({subset})")
    # A metric that is called like the interval or rank of another keeps a column of its own.
    derived = {f"{name}{end}" for name in names for end in DERIVED}
    names = [f"{name} [metric]" if name in derived else name for name in names]
    return frame.assign(column=pd.Series(names, dtype="object"))


def _hardware(run: RunView, frame: pd.DataFrame) -> list[str]:
    """Return what each speed measurement was made on, where that is not the same for all."""
    where = run.environment.get("hardware_of", {})
    if len(set(where.values())) < 2:
        return [""] * len(frame)
    return [
        str(where.get(str(trial), "")) if kind in ("throughput", "resource") else ""
        for trial, kind in zip(frame["trial"], frame["kind"], strict=True)
    ]


def hardware_name(environment: Mapping[str, Any], device: str) -> str:
    """Return a short name of what `device` is: the GPU, or the CPU and its threads."""
    facts = environment.get("hardware", {})
    name = str(facts.get("gpu" if device.startswith("cuda") else "cpu") or device)
    for word in ("(R)", "(TM)", "NVIDIA ", " Processor", " CPU"):
        name = name.replace(word, "")
    threads = facts.get("threads")
    on_cpu = threads and not device.startswith("cuda")
    return f"{name}, {threads} thread{'s' * (threads != 1)}" if on_cpu else name
