"""What the pictures of a run give away: duplicates, copies, collapse, one answer only.

Every finding names its pictures by their place in the gallery, so that the page shows and
opens them like all others. What is expected (an anchor that is there to copy) is said to be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.text import clean_text, format_interval, format_number, join_names
from bench.storage.files import folder_name
from bench_html.alike import groups

if TYPE_CHECKING:
    from bench.api import Column, RunView
    from bench_html.gallery import Gallery

_SHOWN = 8
"""Pictures of one finding."""

Shot = tuple[int, int, int]
"""Index of direction, of series (-1 for the input itself) and of the input."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    `shots` are pictures of the gallery; `expected` says that it is no surprise.
    """

    dataset: str
    title: str
    text: str
    shots: tuple[Shot, ...]
    expected: bool = False


@dataclass(frozen=True)
class _Series:
    """One trial in one direction: what the gallery says of it, and where its pictures lie.

    `firsts` are the inputs of which both pictures are there: the input and the first output.
    """

    dataset: str
    direction: str
    index: tuple[int, int]
    rows: Mapping[str, Any]
    firsts: Mapping[int, tuple[Path, Path]]

    def finding(self, title: str, text: str, inputs: Sequence[int]) -> Finding:
        """Return a finding about this series, which is expected of an anchor."""
        shots = tuple((*self.index, i) for i in inputs[:_SHOWN])
        name, anchor = self.rows["name"], bool(self.rows["anchor"])
        return Finding(self.dataset, f"{name} {title}", f"{self.direction}: {text}", shots, anchor)


def find(run: RunView, pictures: Gallery) -> list[Finding]:
    """Return everything suspicious in a run, what is unexpected first.

    Parameters
    ----------
    pictures
        What :func:`bench_html.gallery.build` found.
    """
    found: list[Finding] = []
    for number, facts in enumerate(pictures.description["directions"]):
        found += _trained_on(run, number, facts)
        for series in _all_series(number, facts, pictures):
            found += _copies(series)
            found += _duplicates(series)
            found += _alarms(run, series, pictures.description["metrics"])
    return sorted(found, key=lambda finding: finding.expected)


def answers(directions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return who gives many outputs for an input and who one, in sentences.

    Parameters
    ----------
    directions
        Those of one dataset, as the gallery describes them: the pictures themselves say it.
    """
    words: dict[str, dict[str, None]] = {}
    for facts in directions:
        for rows in facts["series"]:
            cells = [cell for cell in rows["cells"] if cell and cell["n"]]
            if cells:
                alone = sum(cell.get("d", 1) == 1 for cell in cells)
                word = "one" if alone == len(cells) else "several" if not alone else "both"
                words.setdefault(rows["name"], {})[word] = None
    kinds: dict[str, list[str]] = {}
    for name, found in words.items():
        kinds.setdefault(next(iter(found)) if len(found) == 1 else "both", []).append(name)
    said = {
        "several": "Stochastic, other samples are other pictures",
        "one": "Deterministic, one picture for an input however often it is asked",
        "both": "One picture for some inputs, several for others",
    }
    if "several" not in kinds and "both" not in kinds:
        return []  # nobody was asked twice
    return [f"{text}: {join_names(kinds[word])}." for word, text in said.items() if word in kinds]


def near_pairs(run: RunView, dataset: str) -> tuple[list[dict[str, str]], Path | None]:
    """Return what ``bench data audit --out`` left: its pairs, and the sheet of near ones.

    It lies in ``audit/<dataset>`` of the run, or in ``audit`` where there is one dataset.
    """
    for folder in _audits(run, dataset):
        try:
            table = pd.read_csv(folder / "pairs.csv", dtype=str, keep_default_na=False)
        except (OSError, ValueError):
            continue
        rows = table.to_dict("records")
        pairs = [{str(key): clean_text(value) for key, value in row.items()} for row in rows]
        sheet = folder / "near.png"
        return pairs, sheet if sheet.is_file() else None
    return [], None


def looked_for(run: RunView) -> str:
    """Return what was looked for, in words."""
    looked = ["inputs left unchanged", "outputs shared by several inputs"]
    for metric in run.measurements["metric"].unique():
        column = run.declared.column(str(metric))
        if column is not None and column.alarm is not None:
            looked.append(column.alarm.watched)
    return f"Looked for {join_names(looked)}."


def _audits(run: RunView, dataset: str) -> Iterator[Path]:
    """Give the folders that may hold an audit: the dataset's, or the run's where it has one."""
    yield run.path / "audit" / folder_name(dataset)
    if run.trials["dataset"].nunique() < 2:
        yield run.path / "audit"


def _plain(name: str) -> bool:
    """Return whether a name is safe as a part of a path."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def _all_series(number: int, facts: Mapping[str, Any], pictures: Gallery) -> Iterator[_Series]:
    files = pictures.files
    for at, rows in enumerate(facts["series"]):
        firsts = {
            i: (files[number, -1, i], files[number, at, i])
            for i in range(len(rows["cells"]))
            if (number, -1, i) in files and (number, at, i) in files
        }
        yield _Series(facts["dataset"], facts["name"], (number, at), rows, firsts)


# ------------------------------------------------------------------------- the kinds


def _trained_on(run: RunView, number: int, facts: Mapping[str, Any]) -> list[Finding]:
    """Find test inputs that are training images, byte for byte."""
    name = facts["name"]
    twins: dict[str, Any] = {}
    for folder in _audits(run, facts["dataset"]) if _plain(name) else ():
        try:
            twins = json.loads((folder / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        break
    at = [i for i, item in enumerate(facts["inputs"]) if item["id"] in twins]
    if not at:
        return []
    total = len(facts["inputs"])
    first = facts["inputs"][at[0]]["id"]
    domain, twin = twins[first][0]
    return [
        Finding(
            facts["dataset"],
            f"{len(at)} of {total} test inputs of {name} are training images",
            f"The same file is in both splits: {clean_text(first)} is {clean_text(twin)} of "
            f"train{str(domain).upper()[:1]}, and so on. Numbers without them are in the columns "
            "“clean test images”.",
            tuple((number, -1, i) for i in at[:_SHOWN]),
        )
    ]


def _copies(series: _Series) -> list[Finding]:
    """Find outputs that are their input."""
    at = [i for i, pair in series.firsts.items() if len(set(groups(pair))) == 1]
    if not at:
        return []
    title = f"leaves {_share(len(at), len(series.firsts))} unchanged"
    return [series.finding(title, "the output has the pixels of its input.", at)]


def _duplicates(series: _Series) -> list[Finding]:
    """Find different inputs with one output."""
    at = list(series.firsts)
    sources = groups([series.firsts[i][0] for i in at])
    # One representative for each different input picture.
    at = [i for k, i in enumerate(at) if sources[k] == k]
    leaders = groups([series.firsts[i][1] for i in at])
    members: dict[int, list[int]] = {}
    for k, leader in enumerate(leaders):
        members.setdefault(leader, []).append(at[k])
    shared = sorted((m for m in members.values() if len(m) > 1), key=len, reverse=True)
    if not shared:
        return []
    count = sum(len(m) for m in shared)
    return [
        series.finding(
            f"gives {_share(count, len(at))} an output that another input has, too",
            f"{len(shared)} {'picture is' if len(shared) == 1 else 'pictures are'} shared, the "
            f"most common by {len(shared[0])} inputs.",
            [i for m in shared for i in m[:4]],
        )
    ]


def _alarms(run: RunView, series: _Series, metrics: Sequence[str]) -> list[Finding]:
    """Find what was measured and lies beyond what its metric declares to be suspicious."""
    frame = run.measurements
    mine = frame[
        (frame["trial"] == series.rows["trial"])
        & (frame["direction"] == series.direction)
        & (frame["subset"] == "all")
    ]
    found = []
    for row in mine.to_dict("records"):
        column = run.declared.column(str(row["metric"]))
        if column is not None and (limit := _beyond(column, row)):
            name = column.title or column.name.replace("_", " ")
            interval = format_interval(row["value"], row["low"], row["high"])
            number = f"{format_number(row['value'])} {interval}".strip()
            text = f"{name} is {number} (n {row['n']}), {limit}: {column.meaning}."
            assert column.alarm is not None
            found.append(series.finding(column.alarm.title, text, _worst(series, column, metrics)))
    return found


def _beyond(column: Column, row: Mapping[Any, Any]) -> str:
    """Return which limit the whole interval of a measurement lies beyond, in words."""
    low, high = row["low"], row["high"]
    if pd.isna(low) or pd.isna(high):
        low = high = row["value"]
    return column.alarm.raised(low, high) if column.alarm is not None else ""


def _worst(series: _Series, column: Column, metrics: Sequence[str]) -> list[int]:
    """Return the inputs that have an output; the most suspicious first, where values say which."""
    cells = series.rows["cells"]
    there = [i for i, cell in enumerate(cells) if cell and cell["n"]]
    number = str(metrics.index(column.name)) if column.name in metrics else ""
    sign = -1 if column.alarm is not None and column.alarm.above is not None else 1
    return sorted(there, key=lambda i: sign * ((cells[i]["v"].get(number) or [0])[0] or 0))


def _share(count: int, total: int) -> str:
    """Return ``every input``, or ``3 of 16 inputs``."""
    return "every input" if count == total else f"{count} of {total} inputs"
