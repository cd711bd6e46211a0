"""The summary table of one dataset, cell by cell, ready to show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.columns import TableColumn
from bench.analysis.questions import ASPECTS, answers, in_order
from bench.analysis.text import format_interval, format_number


@dataclass(frozen=True)
class Cell:
    """One number of the summary table.

    `sort` is its value, `mark` says ``best`` or ``tied``, `track` is where low, value and high
    lie along the column, in percent, and `note` a number that stands beside it.
    """

    value: str
    interval: str = ""
    sort: float | None = None
    mark: str = ""
    track: tuple[float, float, float] | None = None
    note: str = ""


def shown_columns(known: Sequence[TableColumn]) -> list[TableColumn]:
    """Return the columns with a place of their own: not those shown as a note in another's."""
    notes = {note.name for column in known for note in _notes(column, known)}
    return [column for column in known if column.name not in notes]


def _notes(column: TableColumn, known: Sequence[TableColumn]) -> list[TableColumn]:
    """Return the headline columns whose numbers stand in the cells of `column`."""
    return [
        other
        for other in known
        if column.headline
        and other.headline
        and other.beside == column.metric
        and (other.extractor, other.hardware) == (column.extractor, column.hardware)
    ]


def table_groups(table: pd.DataFrame, known: Sequence[TableColumn]) -> list[dict[str, Any]]:
    """Return the rows of a dataset: a group for each direction, one for labels without numbers.

    Parameters
    ----------
    table
        The rows of the summary that are about the dataset; their index names them for scripts.
    known
        Its columns, with those that become notes.
    """
    shown = shown_columns(known)
    spans = {column.name: _span(table, column.name) for column in shown}
    result = []
    gave = table[[column.name for column in known]].notna().any(axis=1)
    for direction, unordered in table[gave].groupby("direction", sort=False):
        rows = in_order(unordered, known)
        said = answers(rows, known)
        lines = [
            _line([index], row)
            | {"cells": [_cell(row, column, spans[column.name], known) for column in shown]}
            | {"answers": _said(answer)}
            for (index, row), (_, answer) in zip(rows.iterrows(), said.iterrows(), strict=True)
        ]
        result.append({"name": str(direction) or "no direction", "rows": lines})
    silent = [
        _line(list(rows.index), rows.iloc[0]) | {"anchor": False, "seeds": 0}
        for label, rows in table[~gave].groupby("label", sort=False)
        if not gave[table["label"] == label].any()
    ]
    return [*result, {"name": "No numbers", "rows": silent}] if silent else result


def _said(row: pd.Series) -> list[tuple[str, str, bool]]:
    """Return for each question that is answered its word, what the answer says, and the answer."""
    known = [(name, said) for name, said in ASPECTS.items() if not pd.isna(row[name])]
    return [(name, said[not row[name]], bool(row[name])) for name, said in known]


def _line(indices: list[Any], row: pd.Series) -> dict[str, Any]:
    """Return what a row says of its method."""
    return {
        "rows": indices,
        "label": str(row["label"]),
        "method": str(row["method"]),
        "anchor": bool(row["anchor"]),
        "seeds": int(row["seeds"]),
        "status": str(row["status"]),
        "reason": str(row["reason"]),
        "cells": [],
        "answers": [],
    }


def _span(table: pd.DataFrame, name: str) -> tuple[float, float]:
    values = table[[name, f"{name}_low", f"{name}_high"]].astype(float)
    return float(values.min().min()), float(values.max().max())


def _cell(
    row: pd.Series, column: TableColumn, span: tuple[float, float], known: Sequence[TableColumn]
) -> Cell:
    if pd.isna(row[column.name]):
        return Cell("–")
    value, low, high = (float(row[f"{column.name}{end}"]) for end in ("", "_low", "_high"))
    group = row[f"{column.name}_group"]
    tied = not pd.isna(group) and int(group) == 1
    track = None
    if span[1] > span[0] and not math.isnan(low) and not math.isnan(high):
        track = (_along(low, *span), _along(value, *span), _along(high, *span))
    interval = format_interval(value, low, high)
    if low == high == value or interval == "[0.0000, 0.0000]":
        interval = ""
    notes = [
        f"{(other.short or other.title).lower()} {format_number(row[other.name])}"
        for other in _notes(column, known)
        if not pd.isna(row[other.name])
    ]
    return Cell(
        format_number(value),
        interval,
        value,
        "best" if bool(row[f"{column.name}_best"]) else "tied" if tied else "",
        track,
        ", ".join(notes),
    )


def _along(value: float, low: float, high: float) -> float:
    """Return where a value lies between two others, in percent; by ratio where they are far."""
    if low > 0 and high / low > 30:
        return round(100 * math.log(value / low) / math.log(high / low), 1)
    return round(100 * (value - low) / (high - low), 1)
