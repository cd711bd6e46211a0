"""The one summary table of a run: who is best at what, and what is a tie.

One row for each label, dataset and direction; every report and the terminal show this
table, so that no two of them can disagree. Pure pandas; nothing here reads a file.

Rules
-----
- Directions and datasets are never pooled. Training seeds are: the value is their mean,
  its interval the t-interval of the mean from three seeds on, the hull of the single
  intervals for two, the measured interval for one.
- A column holds one metric from one extractor on one subset of the test images. The
  extractor behind most rows gives the plain column; others get columns of their own.
- Speed is ranked among trials on the same hardware only: a merged run whose trials ran on
  different machines has a speed column for each.
- Within a dataset and direction, methods are ranked in tie groups: a group is everything
  whose interval overlaps its leader's. Group 1 holds the best.
- Where a single method competes there is no best.
- Anchors (identity, noise, real images, …) are measured but not ranked: to leave a picture
  alone is no way to win on content.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.api import Interval
from bench.stats import over_seeds, tie_groups

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.api import RunView

__all__ = [
    "ANCHORS",
    "Column",
    "clean_text",
    "columns",
    "easier_direction",
    "format_interval",
    "format_number",
    "hardware_name",
    "join_names",
    "no_better_than_nothing",
    "rank",
    "summary",
    "terminal_lines",
]

ANCHORS = frozenset(
    {
        "color_transfer",
        "constant_target",
        "histogram_matching",
        "identity",
        "nearest_target",
        "noise",
        "real_target",
    }
)
"""Methods that are there to keep the numbers honest; ``environment["baselines"]`` adds to them."""

_TITLES: dict[str, tuple[str, str]] = {
    "kid": ("KID", "distance to real target images, unbiased at any number of images"),
    "fid": ("FID", "distance to real target images; grows as the number of images shrinks"),
    "fid_floor": ("FID floor", "what real target images score against each other at this n"),
    "fid_excess": ("FID excess", "FID minus its floor"),
    "lpips_diversity": ("Diversity", "LPIPS between samples of one input; 0 is one answer only"),
    "lpips_input": ("Change", "LPIPS between input and output; 0 leaves the input as it is"),
    "latency": ("Latency", "seconds for one image, one at a time"),
    "throughput": ("Throughput", "images per second at the best batch size"),
    "peak_memory": ("Memory", "largest memory in use while translating"),
}
"""Headline metrics in table order: title and meaning. `fid_excess` is derived, see `columns`."""

_BETTER = {"kid": False, "fid": False, "fid_excess": False, "lpips_diversity": True}
_BETTER |= {"lpips_input": False, "latency": False, "throughput": True, "peak_memory": False}

_KINDS = ("quality", "diversity", "content", "truth", "throughput", "resource")


_DERIVED = ("_low", "_high", "_group", "_best")
"""Endings of the columns that stand beside a metric's own."""


@dataclass(frozen=True)
class Column:
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
    hardware: str = ""

    @property
    def group(self) -> str:
        """Its kind, or ``clean`` for numbers on that subset, or ``other`` for unknown kinds."""
        if self.subset != "all":
            return "clean"
        return self.kind if self.kind in _KINDS else "other"

    @property
    def arrow(self) -> str:
        """``↑`` where higher is better, ``↓`` where lower is, else nothing."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


# ------------------------------------------------------------------------- the table


def columns(run: RunView) -> list[Column]:
    """The summary's metric columns: headline metrics first, then all others by kind and name."""
    found = _measurements(run)
    result = []
    for name, rows in found.groupby("column", sort=False):
        first = rows.iloc[0]
        metric = str(first["metric"])
        title, meaning = _TITLES.get(metric, (metric.replace("_", " "), ""))
        hardware = str(first["hardware"])
        plain = name == (f"{metric} [{hardware}]" if hardware else metric)
        result.append(
            Column(
                name=str(name),
                metric=metric,
                title=title if plain else f"{title}{str(name)[len(metric) :]}",
                hardware=hardware,
                meaning=meaning,
                unit=_text(first["unit"]),
                kind=_text(first["kind"]),
                higher_is_better=_direction(metric, rows["higher_is_better"]),
                extractor=_text(first["extractor"]),
                subset=str(first["subset"]),
                interval=", ".join(sorted({_text(v) for v in rows["interval"]} - {""})),
                n=(int(rows["n"].fillna(0).min()), int(rows["n"].fillna(0).max())),
                headline=plain and metric in _TITLES and metric != "fid_excess",
            )
        )
    order = list(_TITLES)

    def place(column: Column) -> tuple[int, int, str, str]:
        known = order.index(column.metric) if column.metric in order else len(order)
        return (0 if column.headline else 1, known, column.kind, column.name)

    return sorted(result, key=place)


def summary(run: RunView) -> pd.DataFrame:
    """The summary table.

    Returns
    -------
    pandas.DataFrame
        Columns ``dataset, direction, label, method, anchor, status, reason, seeds``, then for
        each metric column ``m`` of :func:`columns`: ``m, m_low, m_high, m_group, m_best``
        (group 1 is the best and its ties; missing for anchors and unranked metrics). Rows are
        in the order of the run's trials; a label that gave no number keeps its row.
    """
    found = _measurements(run)
    metric_columns = columns(run)
    pooled = {
        key: _pool(rows)
        for key, rows in found.groupby(["dataset", "direction", "label", "column"], sort=False)
    }
    anchors = ANCHORS | {str(name) for name in run.environment.get("baselines", ())}
    rows = []
    for dataset, direction, label in _row_keys(run, found):
        trials = run.trials[(run.trials["label"] == label) & (run.trials["dataset"] == dataset)]
        method = _text(trials["method"].iloc[0]) if len(trials) else label
        row: dict[str, Any] = {
            "dataset": dataset,
            "direction": direction,
            "label": label,
            "method": method,
            "anchor": method in anchors,
            "status": _worst(trials),
            "reason": "; ".join(dict.fromkeys(_text(r) for r in trials["reason"] if _text(r))),
            "seeds": int((trials["status"] == "ok").sum()),
        }
        for column in metric_columns:
            value, low, high = pooled.get((dataset, direction, label, column.name), (math.nan,) * 3)
            row |= {column.name: value, f"{column.name}_low": low, f"{column.name}_high": high}
        rows.append(row)
    names = ["dataset", "direction", "label", "method", "anchor", "status", "reason", "seeds"]
    for column in metric_columns:
        names += [column.name + end for end in ("", *_DERIVED)]
    frame = pd.DataFrame(rows, columns=names)
    for column in metric_columns:
        group = _groups(frame, column)
        frame[f"{column.name}_group"] = group
        frame[f"{column.name}_best"] = _leaders(frame, column)
    return frame


def rank(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    higher_is_better: bool,
) -> list[int | None]:
    """Tie groups, 1 for the best; None where a value is missing.

    A group's leader is the best value not yet in a group; the group is everything left
    whose interval overlaps the leader's. A missing interval is the value itself.
    """
    known = {
        str(i): Interval(v, _end(lo), _end(hi), None)
        for i, (v, lo, hi) in enumerate(zip(values, lows, highs, strict=True))
        if not math.isnan(v)
    }
    groups = tie_groups(known, higher_is_better=higher_is_better)
    return [groups.get(str(i)) for i in range(len(values))]


def _end(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def no_better_than_nothing(frame: pd.DataFrame, metric: str = "kid") -> dict[str, list[str]]:
    """Methods that cannot be told from the untouched input, or do worse, by direction.

    Read from intervals: a method is listed unless its interval lies wholly on the better
    side of that of ``identity``. Empty where the run has no such anchor.
    """
    found: dict[str, list[str]] = {}
    if metric not in frame:
        return found
    for direction, rows in frame[frame[metric].notna()].groupby("direction", sort=False):
        base = rows[rows["method"] == "identity"]
        if base.empty:
            continue
        floor = base[f"{metric}_low"].fillna(base[metric]).min()
        mine = rows[~rows["anchor"].astype(bool)]
        reach = mine[f"{metric}_high"].fillna(mine[metric])
        names = [str(n) for n in mine.loc[reach >= floor, "label"]]
        if names:
            found[str(direction)] = names
    return found


def hardly_changes(frame: pd.DataFrame, share: float = 0.1) -> dict[str, list[str]]:
    """Methods that give back nearly what they got, by direction.

    The scale is that of ``real_target``, an unrelated real picture: a method is listed when
    it changes its inputs by less than `share` of that, its whole interval. Empty where the
    run has no such anchor. Such pictures are realistic because the inputs were.
    """
    found: dict[str, list[str]] = {}
    metric = "lpips_input"
    if metric not in frame:
        return found
    for direction, rows in frame[frame[metric].notna()].groupby("direction", sort=False):
        whole = rows.loc[rows["method"] == "real_target", metric].min()
        mine = rows[~rows["anchor"].astype(bool)]
        reach = mine[f"{metric}_high"].fillna(mine[metric])
        names = [str(n) for n in mine.loc[reach < share * whole, "label"]]
        if names:
            found[str(direction)] = names
    return found


def _measurements(run: RunView) -> pd.DataFrame:
    """Measurements with the summary column each belongs to (``column``)."""
    frame = run.measurements.reset_index(drop=True)
    frame = frame.assign(
        extractor=frame["extractor"].astype("object").where(frame["extractor"].notna(), ""),
        subset=frame["subset"].astype("object").where(frame["subset"].notna(), "all"),
    )
    plain = frame[frame["subset"] == "all"]
    counts = Counter(zip(plain["metric"], plain["extractor"], strict=True))
    usual: dict[str, str] = {}
    for (metric, extractor), count in counts.items():
        if metric not in usual or count > counts[metric, usual[metric]]:
            usual[metric] = extractor
    names = []
    frame = frame.assign(hardware=_hardware(run, frame))
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
    derived = {f"{name}{end}" for name in names for end in _DERIVED}
    names = [f"{name} [metric]" if name in derived else name for name in names]
    return frame.assign(column=pd.Series(names, dtype="object"))


def _hardware(run: RunView, frame: pd.DataFrame) -> list[str]:
    """What each speed measurement was made on, where that is not the same for all."""
    where = run.environment.get("hardware_of", {})
    if len(set(where.values())) < 2:
        return [""] * len(frame)
    return [
        str(where.get(str(trial), "")) if kind in ("throughput", "resource") else ""
        for trial, kind in zip(frame["trial"], frame["kind"], strict=True)
    ]


def hardware_name(environment: Mapping[str, Any], device: str) -> str:
    """A short name of what trials on `device` ran on: the GPU, or the CPU and its threads."""
    facts = environment.get("hardware", {})
    name = str(facts.get("gpu" if device.startswith("cuda") else "cpu") or device)
    for word in ("(R)", "(TM)", "NVIDIA ", " Processor", " CPU"):
        name = name.replace(word, "")
    threads = facts.get("threads")
    on_cpu = threads and not device.startswith("cuda")
    return f"{name}, {threads} threads" if on_cpu else name


def _row_keys(run: RunView, found: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Dataset, direction and label of every row, in the order of the trials."""
    ways = pd.concat([found[["dataset", "direction"]], run.samples[["dataset", "direction"]]])
    directions: dict[str, list[str]] = {}
    for dataset, direction in ways.drop_duplicates().itertuples(index=False):
        directions.setdefault(str(dataset), []).append(str(direction))
    labels = run.trials[["dataset", "label"]].drop_duplicates()
    keys = []
    for dataset in dict.fromkeys(str(d) for d in labels["dataset"]):
        mine = [str(n) for n in labels.loc[labels["dataset"] == dataset, "label"]]
        keys += [(dataset, way, label) for way in directions.get(dataset, [""]) for label in mine]
    return keys


def _pool(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Mean over training seeds, with an interval of the mean where one can be had."""
    values = rows["value"].astype(float)
    if len(values) >= 3:
        mean = over_seeds(values.to_numpy())
        if mean.low is not None and mean.high is not None:
            return mean.value, mean.low, mean.high
    low, high = rows["low"].astype(float).min(), rows["high"].astype(float).max()
    return float(values.mean()), float(low), float(high)


def _worst(trials: pd.DataFrame) -> str:
    """``ok`` when every seed was, else the first other status."""
    other = [str(status) for status in trials["status"] if status != "ok"]
    return other[0] if other else "ok"


def _ranked(frame: pd.DataFrame, column: Column) -> list[pd.DataFrame]:
    """The rows that compete on `column`, one frame for each dataset and direction."""
    if column.higher_is_better is None:
        return []
    rows = frame[~frame["anchor"].astype(bool) & frame[column.name].notna()]
    parts = (part for _, part in rows.groupby(["dataset", "direction"], sort=False))
    return [part for part in parts if len(part) > 1]  # alone is not best


def _groups(frame: pd.DataFrame, column: Column) -> pd.Series:
    groups = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    for part in _ranked(frame, column):
        groups[part.index] = pd.array(
            rank(
                list(part[column.name]),
                list(part[f"{column.name}_low"]),
                list(part[f"{column.name}_high"]),
                higher_is_better=bool(column.higher_is_better),
            ),
            dtype="Int64",
        )
    return groups


def _leaders(frame: pd.DataFrame, column: Column) -> pd.Series:
    best = pd.Series(False, index=frame.index, dtype="boolean")
    for part in _ranked(frame, column):
        values = part[column.name]
        top = values.max() if column.higher_is_better else values.min()
        best[part.index] = (values == top).astype("boolean")
    return best


def _direction(metric: str, stated: pd.Series) -> bool | None:
    """Whether higher is better: as measured, else as known; None where nobody says."""
    if metric == "fid_floor":
        return None  # a property of the images, not of the method
    for value in stated:
        if not pd.isna(value):
            return bool(value)
    return _BETTER.get(metric)


def _text(value: object) -> str:
    """A cell as text; missing is empty."""
    return "" if value is None or value is pd.NA or value != value else str(value)


# ---------------------------------------------------------------- directions


def easier_direction(frame: pd.DataFrame, metric: str = "kid") -> dict[str, list[str]]:
    """Which direction each method finds easier, read from disjoint intervals.

    Returns
    -------
    dict
        Direction name to labels that score better on it; ``""`` to those with no clear answer.
    """
    result: dict[str, list[str]] = {}
    if metric not in frame:
        return result
    rows = frame[~frame["anchor"].astype(bool) & frame[metric].notna()]
    for (_, label), part in rows.groupby(["dataset", "label"], sort=False):
        if len(part) != 2:
            continue
        groups = rank(
            list(part[metric]),
            list(part[f"{metric}_low"]),
            list(part[f"{metric}_high"]),
            higher_is_better=_BETTER.get(metric, False),
        )
        best = "" if groups[0] == groups[1] else str(part["direction"].iloc[groups.index(1)])
        result.setdefault(best, []).append(str(label))
    return result


# -------------------------------------------------------------------------- formatting


def format_number(value: float | None) -> str:
    """A number for people: three significant digits, no exponent where it can be helped."""
    if value is None or pd.isna(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-4 or math.isinf(size) or size >= 1e6:
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}"
    # Through e-notation, so that 9.999 is 10.0 and not 10.00.
    rounded = float(f"{size:.2e}")
    digits = 2 - math.floor(math.log10(rounded))
    return f"{value:.{max(0, digits)}f}"


def format_interval(value: float, low: float, high: float) -> str:
    """``[low, high]``, three significant digits of the wider; empty where there is none."""
    if any(v is None or math.isnan(v) for v in (value, low, high)):
        return ""
    wide = format_number(max(abs(low), abs(high)))
    if "e" in wide:
        return f"[{format_number(low)}, {format_number(high)}]"
    # Both ends to the digits of the wider one.
    digits = len(wide.partition(".")[2])
    low, high = (0.0 if round(end, digits) == 0 else end for end in (low, high))
    return f"[{low:,.{digits}f}, {high:,.{digits}f}]"


def clean_text(text: object) -> str:
    """Text without control characters, so that no name can steer a terminal or break a line."""
    return "".join(
        " " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in _text(text)
    )


_TERMINAL = (
    ("kid", "KID"),
    ("fid", "FID"),
    ("fid_floor", "floor"),
    ("lpips_diversity", "divers."),
    ("lpips_input", "change"),
    ("latency", "s/image"),
    ("throughput", "img/s"),
)


def terminal_lines(run: RunView) -> list[RenderableType]:
    """The summary for a terminal of 80 columns: a rich table for each direction, and its key.

    The best is bold; what cannot be told from it carries ``≈``; anchors are dim.
    """
    from rich.table import Table
    from rich.text import Text

    frame = summary(run)
    known = {c.name: c for c in columns(run)}
    shown = [(name, title) for name, title in _TERMINAL if name in known]
    lines: list[RenderableType] = []
    for (dataset, direction), rows in frame.groupby(["dataset", "direction"], sort=False):
        table = Table(
            title=Text(clean_text(f"{dataset} · {direction}" if direction else dataset)),
            title_justify="left",
            box=None,
            padding=(0, 1, 0, 0),
            header_style="dim",
        )
        table.add_column("method", max_width=18, no_wrap=True, overflow="ellipsis")
        for name, title in shown:
            table.add_column(
                Text(f"{title}{known[name].arrow}"), justify="right", no_wrap=True, max_width=9
            )
        for _, row in rows.iterrows():
            style = "dim" if row["anchor"] else ""
            cells = [Text(clean_text(row["label"]), style=style)]
            cells += [_terminal_cell(row, name, style) for name, _ in shown]
            if row["status"] != "ok" and all(pd.isna(row[name]) for name, _ in shown):
                cells = [cells[0], Text(str(row["status"]), style="red")]
            table.add_row(*cells)
        lines.append(table)
    lines.append(Text("bold best · ≈ tied with it · dim: anchors, not ranked", style="dim"))
    if len(several := {c.hardware for c in known.values() if c.hardware}) > 1:
        note = f"speed on {join_names(sorted(several))} is not comparable: see the page"
        lines.append(Text(note, style="dim"))
    for trial in run.trials[run.trials["status"] != "ok"].itertuples():
        reason = clean_text(f"{trial.label}: {trial.status}: {_text(trial.reason)}")
        lines.append(Text(reason, style="red", no_wrap=True, overflow="ellipsis"))
    well = run.trials[run.trials["status"] == "ok"]
    lines += [
        Text(clean_text(f"{trial.label}: {trial.reason}"), style="yellow")
        for trial in well[well["reason"].fillna("") != ""].itertuples()
    ]
    return lines


def _terminal_cell(row: pd.Series, name: str, style: str) -> Any:
    from rich.text import Text

    text = format_number(row[name])
    if row[f"{name}_best"] is True or bool(row[f"{name}_best"]):
        return Text(text, style="bold")
    if not pd.isna(row[f"{name}_group"]) and row[f"{name}_group"] == 1:
        return Text(f"≈{text}")
    return Text(text, style=style)


def join_names(values: Iterable[object]) -> str:
    """Names as prose: ``a``, ``a and b``, ``a, b and c``."""
    names = [clean_text(v) for v in values]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
