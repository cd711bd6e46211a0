"""What the page says in words and tables: plain values for the template.

Nothing here is markup; the template escapes every value.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.summary import (
    Column,
    clean_text,
    easier_direction,
    format_interval,
    format_number,
    hardly_changes,
    join_names,
    no_better_than_nothing,
)
from bench.analysis.validity import VERDICTS, reasons

if TYPE_CHECKING:
    from bench.api import RunView
    from bench_html.figures import Figure

_QUESTIONS = (
    ("kid", "Most realistic", "lowest KID: closest to real pictures of the target domain"),
    ("lpips_diversity", "Most varied", "largest LPIPS between the samples of one input"),
    ("lpips_input", "Keeps the scene best", "smallest LPIPS between input and output"),
    ("lpips_truth", "Closest to the truth", "smallest LPIPS to the true translation"),
    ("throughput", "Fastest", "most images per second"),
)


_GROUP_WORDS = {
    "quality": "quality",
    "diversity": "diversity",
    "content": "content",
    "truth": "truth",
    "throughput": "speed",
    "resource": "resources",
    "other": "other",
    "clean": "clean test images",
}
"""Groups of columns in page order, and what they are called."""


@dataclass(frozen=True)
class Cell:
    """One number of the summary table, ready to show."""

    value: str
    interval: str
    sort: float | None
    mark: str
    track: tuple[float, float, float] | None
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """Who wins on one question in one direction: one name, or several that are tied."""

    direction: str
    names: tuple[str, ...]
    value: str
    unit: str
    interval: str


def page_context(
    run: RunView,
    table: pd.DataFrame,
    metric_columns: Sequence[Column],
    drawn: Sequence[Figure],
    pictures: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything the template shows, except data for scripts."""
    directions = [str(d) for d in dict.fromkeys(table["direction"]) if d]
    labels = [str(v) for v in dict.fromkeys(table["label"])]
    datasets = [str(v) for v in dict.fromkeys(table["dataset"])]
    shown = [c for c in metric_columns if c.metric != "fid_floor" or not c.headline]
    gave = set(run.measurements["label"])
    failed = run.trials[(run.trials["status"] != "ok") & run.trials["label"].isin(gave)]
    return {
        "title": join_names(datasets) or "run",
        "subtitle": join_names(
            [v for v, a in zip(table["label"], table["anchor"], strict=True) if not a]
        ),
        "counts": _counts(table),
        "run_name": run.path.name,
        "started": _date(_first(run.environment, ("started", "date", "time", "utc"))),
        "verdict": (run.verdict, VERDICTS[run.verdict]),
        "checks": _checks(run),
        "sentences": [*_warning(run), *_sentences(table)],
        "questions": _questions(table, metric_columns),
        "directions": directions,
        "labels": labels,
        "columns": shown,
        "column_groups": [
            group for group in _GROUP_WORDS if group in {column.group for column in shown}
        ],
        "group_words": _GROUP_WORDS,
        "groups": _groups(table, shown),
        "machines": _machines(run),
        "extractors": sorted({c.extractor for c in metric_columns if c.extractor}),
        "figures": drawn,
        "sections": {f.section for f in drawn},
        "has_pictures": any(
            cell and cell["n"] for w in pictures["ways"] for s in w["series"] for cell in s["cells"]
        ),
        "failures": [_trial(row) for row in failed.to_dict("records")],
        "trials": [_trial(row) for row in run.trials.to_dict("records")],
        "measurements": _records(run.measurements),
        "suite": _flat(run.suite),
        "environment": _flat(
            {key: v for key, v in run.environment.items() if key not in ("command", "runs")}
        ),
        "command": clean_text(
            run.environment.get("command") or f"bench run {shlex.quote(str(run.path))}/suite.toml"
        ),
    }


# ------------------------------------------------------------------- the ten seconds


def _warning(run: RunView) -> list[str]:
    """What has to be said before any number of an invalid run."""
    if run.verdict != "invalid":
        return []
    return [clean_text(f"This run is invalid, its numbers prove nothing. {reasons(run)[0]}.")]


def _checks(run: RunView) -> list[dict[str, Any]]:
    """The checks; `passed` is None where it could not be checked."""
    rows = run.checks.to_dict("records")
    return [{**row, "passed": None if pd.isna(row["passed"]) else row["passed"]} for row in rows]


def _winners(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The first tie group, its leader first."""
    first = rows[(rows[f"{metric}_group"] == 1).fillna(False).astype(bool)]
    return first.sort_values(f"{metric}_best", ascending=False, kind="stable")


def _questions(table: pd.DataFrame, metric_columns: Sequence[Column]) -> list[dict[str, Any]]:
    known = {c.name: c for c in metric_columns}
    result = []
    asked = [
        (column.name, f"{title} on {column.hardware}" if column.hardware else title, meaning)
        for metric, title, meaning in _QUESTIONS
        for column in metric_columns
        if column.metric == metric and (column.name == metric or column.hardware)
    ]
    for metric, title, meaning in asked:
        answers = []
        for direction, rows in table.groupby("direction", sort=False):
            winners = _winners(rows, metric)
            if winners.empty or (metric == "lpips_diversity" and winners[metric].iloc[0] == 0):
                continue
            best = winners.iloc[0]
            answers.append(
                Answer(
                    str(direction),
                    tuple(str(name) for name in winners["label"]),
                    format_number(best[metric]),
                    known[metric].unit,
                    format_interval(best[metric], best[f"{metric}_low"], best[f"{metric}_high"]),
                )
            )
        if answers:
            result.append(
                {
                    "title": title,
                    "meaning": meaning,
                    "answers": answers,
                    "metric": known[metric].title,
                }
            )
    return result


def _where(ways: Sequence[str], table: pd.DataFrame) -> str:
    """The directions a sentence is about."""
    both = len(ways) == 2 and table["direction"].nunique() == 2
    return "in both directions" if both else f"for {join_names(ways)}"


def _by_names(found: Mapping[str, Sequence[str]]) -> Iterable[tuple[tuple[str, ...], list[str]]]:
    """Methods with the directions in which just these were found."""
    ways: dict[tuple[str, ...], list[str]] = {}
    for direction, names in found.items():
        if names:
            ways.setdefault(tuple(names), []).append(direction)
    return ways.items()


def _sentences(table: pd.DataFrame) -> list[str]:
    """The result in a few sentences; what is tied is said to be tied."""
    said = []
    if "kid" in table:
        winners = {
            str(direction): sorted(str(n) for n in _winners(rows, "kid")["label"])
            for direction, rows in table.groupby("direction", sort=False)
        }
        for names, ways in _by_names(winners):
            where = _where(ways, table)
            if len(names) == 1:
                said.append(f"{names[0]} gives the most realistic pictures {where}.")
            else:
                said.append(
                    f"{join_names(names)} give the most realistic pictures {where}; "
                    "their KID intervals overlap, so they are tied."
                )
    for names, ways in _by_names(no_better_than_nothing(table)):
        verb = "is" if len(names) == 1 else "are"
        said.append(
            f"By KID, {join_names(names)} {verb} not shown to be closer to real pictures than the "
            f"untouched input, {_where(ways, table)}."
        )
    for names, ways in _by_names(hardly_changes(table)):
        verb, their = ("changes", "its") if len(names) == 1 else ("change", "their")
        said.append(
            f"{join_names(names)} hardly {verb} {their} inputs {_where(ways, table)}: by less "
            "than a tenth of what separates them from unrelated real pictures."
        )
    easier = easier_direction(table)
    decided = {way: names for way, names in easier.items() if way}
    total = sum(len(names) for names in easier.values())
    if len(decided) > 1:
        said.append("Methods disagree on which direction is easier.")
    elif decided and 2 * len(easy := max(decided.values())) > total:
        said.append(f"{max(decided)} is easier, for {len(easy)} of {total} methods.")
    elif total:
        said.append("Neither direction is clearly easier: most intervals overlap.")
    return [clean_text(sentence) for sentence in said]


# ------------------------------------------------------------------ the summary table


def _groups(table: pd.DataFrame, shown: Sequence[Column]) -> list[dict[str, Any]]:
    """One group of rows for each dataset and direction, and one for labels without numbers."""
    spans = {c.name: _span(table, c.name) for c in shown}
    several = table["dataset"].nunique() > 1
    result = []
    gave = table[[c.name for c in shown]].notna().any(axis=1)
    for (dataset, direction), rows in table[gave].groupby(["dataset", "direction"], sort=False):
        lines = []
        for index, row in rows.iterrows():
            lines.append(
                {
                    "rows": [index],
                    "label": str(row["label"]),
                    "method": str(row["method"]),
                    "anchor": bool(row["anchor"]),
                    "seeds": int(row["seeds"]),
                    "status": str(row["status"]),
                    "reason": str(row["reason"]),
                    "cells": [_cell(row, c, spans[c.name]) for c in shown],
                }
            )
        name = str(direction) or "no direction"
        result.append({"name": f"{dataset} · {name}" if several else name, "rows": lines})
    silent = [
        {
            "rows": list(rows.index),
            "label": str(label),
            "method": str(rows["method"].iloc[0]),
            "anchor": False,
            "seeds": 0,
            "status": str(rows["status"].iloc[0]),
            "reason": str(rows["reason"].iloc[0]),
            "cells": [],
        }
        for (_, label), rows in table[~gave].groupby(["dataset", "label"], sort=False)
        if not gave[table["label"] == label].any()
    ]
    return [*result, {"name": "No numbers", "rows": silent}] if silent else result


def _span(table: pd.DataFrame, name: str) -> tuple[float, float]:
    values = table[[name, f"{name}_low", f"{name}_high"]].astype(float)
    return float(values.min().min()), float(values.max().max())


def _cell(row: pd.Series, column: Column, span: tuple[float, float]) -> Cell:
    name = column.name
    value, low, high = (row[name], row[f"{name}_low"], row[f"{name}_high"])
    if pd.isna(value):
        return Cell("–", "", None, "", None)
    group = row[f"{name}_group"]
    tied = not pd.isna(group) and int(group) == 1
    mark = "best" if bool(row[f"{name}_best"]) else "tied" if tied else ""
    track = None
    if span[1] > span[0] and not pd.isna(low) and not pd.isna(high):
        track = tuple(round(100 * _along(float(v), *span), 1) for v in (low, value, high))
    note = ""
    if column.metric == "fid" and column.headline and not pd.isna(row.get("fid_floor", pd.NA)):
        note = f"floor {format_number(row['fid_floor'])}"
    interval = format_interval(value, low, high)
    if low == high == value or interval == "[0.0000, 0.0000]":
        interval = ""
    return Cell(format_number(value), interval, float(value), mark, track, note)  # type: ignore[arg-type]


def _along(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, 0 to 1; by ratio where they are far apart."""
    if low > 0 and high / low > 30:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _counts(table: pd.DataFrame) -> str:
    """``3 methods and 2 anchors, 1 without numbers``."""
    rows = table.drop_duplicates("label")
    gave = rows["seeds"] > 0
    anchors = int((rows["anchor"].astype(bool) & gave).sum())
    parts = [(int(gave.sum()) - anchors, "method"), (anchors, "anchor")]
    said = " and ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in parts if n)
    missing = len(rows) - int(gave.sum())
    return ", ".join(filter(None, [said, f"{missing} without numbers" if missing else ""]))


# ------------------------------------------------------------------------ provenance


def _machines(run: RunView) -> list[dict[str, Any]]:
    """For each run of a merged one: its name, when and how it was made, and on what."""
    return [
        {
            "name": clean_text(name),
            "started": _date(_first(environment, ("started", "date", "time", "utc"))),
            "hardware": _flat(environment.get("hardware", {})),
            "command": clean_text(environment.get("command", "")),
        }
        for name, environment in run.environment.get("runs", {}).items()
    ]


def _trial(row: Mapping[Any, Any]) -> dict[str, Any]:
    times = [
        (stage, format_number(row[f"{stage}_seconds"]))
        for stage in ("fit", "translate", "score", "time")
        if not pd.isna(row[f"{stage}_seconds"])
    ]
    return {
        "trial": _plain(row["trial"]),
        "label": _plain(row["label"]),
        "dataset": _plain(row["dataset"]),
        "seed": _plain(row["seed"]),
        "status": _plain(row["status"]),
        "reason": _plain(row["reason"]),
        "budget": _plain(row["budget"]),
        "iterations": "" if pd.isna(row["iterations"]) else f"{int(row['iterations']):,}",
        "parameters": "" if pd.isna(row["parameters"]) else f"{int(row['parameters']):,}",
        "device": _plain(row["device"]),
        "precision": _plain(row["precision"]),
        "times": times,
        "cached": _plain(row["cached"]),
        "config": _config(row["config"]) + _pretrained(row),
    }


def _pretrained(row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """The file of pretrained weights as one more line of the configuration, where there is one."""
    title = row.get("pretrained")
    return [] if title is None or pd.isna(title) or not title else [("pretrained", _plain(title))]


def _config(text: object) -> list[tuple[str, str]]:
    """A trial's configuration as pairs; text that is no JSON object is shown as it is."""
    try:
        value = json.loads(str(text))
    except ValueError:
        return [("config", _plain(text))]
    return _flat(value) if isinstance(value, dict) else [("config", _plain(text))]


def _records(frame: pd.DataFrame) -> list[dict[str, str]]:
    result = []
    for row in frame.to_dict("records"):
        interval = format_interval(row["value"], row["low"], row["high"])
        result.append(
            {key: _plain(row[key]) for key in ("label", "direction", "metric", "kind", "unit")}
            | {
                "value": format_number(row["value"]),
                "sort": _plain(row["value"]),
                "interval": f"{interval} {_plain(row['interval'])}".strip(),
                "n": _plain(row["n"]),
                "extractor": _plain(row["extractor"]),
                "subset": _plain(row["subset"]),
                "seed": _plain(row["seed"]),
            }
        )
    return result


def _flat(value: Mapping[Any, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested settings as ``("a.b", "value")`` pairs."""
    pairs: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{before}{key}"
        if isinstance(item, Mapping) and item:
            pairs += _flat(item, f"{name}.")
        elif isinstance(item, list | tuple):
            pairs.append((name, ", ".join(_entry(v) for v in item)))
        elif not isinstance(item, Mapping):
            pairs.append((name, _plain(item)))
    return [(name, text) for name, text in pairs if text]


def _entry(value: object) -> str:
    """One entry of a list; a table in it as its name and whatever else it sets."""
    if not isinstance(value, Mapping):
        return _plain(value)
    rest = [f"{k} {v}" for k, v in _flat(value) if k != "name" and v not in ("", "{}")]
    return _plain(value.get("name")) + (f" ({', '.join(rest)})" if rest else "")


def _first(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((_plain(values[key]) for key in keys if values.get(key)), "")


def _date(text: str) -> str:
    """``23 November 2026, 01:39 UTC``; text that is no time stays as it is."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _plain(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
