"""What the pages have in common that are made of a run's numbers: results.md and recipes.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.tables import markdown
from bench.analysis.text import format_interval, format_number

DOCS = Path(__file__).parent.parent / "docs"

Facts = Mapping[str, Any]
Row = Mapping[str, Any]

_KEPT = 6
"""Digits that are kept; fewer are printed."""


def plain(value: Any) -> Any:
    """Return a value as JSON has it: digits that are never printed would differ without need."""
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else float(format(value, f".{_KEPT}g"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, numbers to the right of a first column of names."""
    lines = [head, [":--"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def title(column: Row) -> str:
    """Return what a column is called, with its unit, its network and which values are better."""
    arrow = {True: " ↑", False: " ↓", None: ""}[column["better"]]
    unit = f" ({column['unit']})" if column["unit"] else ""
    network = f", {column['extractor']}" if column["extractor"] else ""
    return markdown(f"{column['title']}{unit}{network}") + arrow


def cell(values: Sequence[float | None] | None) -> str:
    """Return a number and its interval."""
    if values is None or values[0] is None:
        return ""
    value, *ends = (math.nan if v is None else v for v in values)
    return f"{format_number(value)} {format_interval(value, *ends)}".strip()


def signed(value: float) -> str:
    """Return a number with its sign."""
    return f"+{format_number(value)}" if value > 0 else format_number(value)


def comparisons(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return paired comparisons of a run as plain values."""
    asked = ["dataset", "direction", "metric", "label_a", "label_b", "difference", "low", "high"]
    return [
        {str(key): plain(value) for key, value in row.items()}
        for row in frame[[*asked, "p_adjusted", "n"]].to_dict("records")
    ]


def winner(found: tuple[float, float, float], higher: bool, names: Sequence[str]) -> str:
    """Return which of two a difference, low and high end show to be better, if they do."""
    difference, low, high = found
    if not (low > 0 or high < 0):
        return "not shown"
    return names[0] if (difference > 0) == higher else names[1]
