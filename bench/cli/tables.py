"""The tables of a run, and of two runs compared, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from bench.analysis.columns import columns
from bench.analysis.questions import ASPECTS, answers, in_order
from bench.analysis.summary import summary
from bench.analysis.text import clean_text, format_number, format_p, join_names, plain_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.analysis.columns import TableColumn
    from bench.analysis.compare import RunComparison
    from bench.api import RunView

_WIDTH = 80
_METHOD, _NUMBER = 18, 10
"""Widest that the columns of names and of numbers get: a short title and its arrow."""


def _table(title: str) -> Table:
    return Table(
        title=Text(clean_text(title)),
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )


# -------------------------------------------------------------------------------- one run


def run_lines(run: RunView) -> list[RenderableType]:
    """Return the summary of a run: a table for each dataset and direction, and its key.

    The best is bold; what cannot be told from it carries ``≈``; anchors are dim. Headline
    columns for which there is no room are left out, the last ones first.
    """
    frame = summary(run)
    known = columns(run)
    asked = False
    shown = [column for column in known if column.short and column.plain and not column.hardware]
    lines: list[RenderableType] = []
    for place, rows in frame.groupby(["dataset", "direction"], sort=False):
        rows, said = in_order(rows, known), _answered(answers(rows, known))
        asked = asked or bool(said)
        lines.append(_summary(" · ".join(str(name) for name in place if name), rows, shown, said))
    lines.append(Text("bold best · ≈ tied with it · dim: anchors, not ranked", style="dim"))
    if asked:
        asks = ", ".join(words for words, _ in ASPECTS.values())
        lines.append(Text(f"yes: {asks}", style="dim"))
    if len(several := {c.hardware for c in known if c.hardware}) > 1:
        note = f"speed on {join_names(sorted(several))} is not comparable: see the page"
        lines.append(Text(note, style="dim"))
    return lines + _reasons(run.trials)


def _reasons(trials: pd.DataFrame) -> list[Text]:
    """Return why trials did not end well, then what others had to say."""
    several = trials["dataset"].nunique() > 1
    bad, noted = [], []
    for trial in trials.itertuples():
        name = f"{trial.label!s} on {trial.dataset!s}" if several else str(trial.label)
        reason = plain_text(trial.reason)
        if trial.status != "ok":
            text = clean_text(f"{name}: {trial.status!s}: {reason}")
            bad.append(Text(text, style="red", no_wrap=True, overflow="ellipsis"))
        elif reason:
            noted.append(Text(clean_text(f"{name}: {reason}"), style="yellow"))
    return [*bad, *noted]


def _answered(found: pd.DataFrame) -> dict[object, str]:
    """Return for each row a mark for each question; empty where none is answered."""
    if found.isna().all(axis=None):
        return {}
    marks = {True: "✓", False: "✗"}
    return {
        index: "".join("·" if pd.isna(answer) else marks[bool(answer)] for answer in row)
        for index, row in zip(found.index, found.itertuples(index=False), strict=True)
    }


def _summary(
    title: str, rows: pd.DataFrame, known: list[TableColumn], answered: dict[object, str]
) -> Table:
    """Return the rows of one dataset and direction."""
    filled = [column for column in known if rows[column.name].notna().any()]
    names = [clean_text(label) for label in rows["label"]]
    room = _WIDTH - 1 - min(_METHOD, max(cell_len(name) for name in names))
    room -= 4 if answered else 0
    shown: list[tuple[TableColumn, str, list[Text]]] = []
    for column in filled:
        heading = f"{clean_text(column.short)}{column.arrow}"
        cells = [_cell(row, column) for _, row in rows.iterrows()]
        room -= 1 + min(_NUMBER, max(cell_len(heading), *(cell.cell_len for cell in cells)))
        if room < 0:
            break
        shown.append((column, heading, cells))
    table = _table(title)
    table.add_column("method", max_width=_METHOD, no_wrap=True, overflow="ellipsis")
    if answered:
        table.add_column("yes", no_wrap=True)
    for _, heading, _ in shown:
        table.add_column(Text(heading), justify="right", no_wrap=True, max_width=_NUMBER)
    for at, (_, row) in enumerate(rows.iterrows()):
        cells = [Text(names[at], style="dim" if row["anchor"] else "")]
        cells += [Text(answered[row.name])] if answered else []
        if row["status"] != "ok" and all(pd.isna(row[column.name]) for column, _, _ in shown):
            cells.append(Text(str(row["status"]), style="red"))
        else:
            cells += [column_cells[at] for _, _, column_cells in shown]
        table.add_row(*cells)
    return table


def _cell(row: pd.Series, column: TableColumn) -> Text:
    name = column.name
    text = format_number(row[name])
    if bool(row[f"{name}_best"]):
        return Text(text, style="bold")
    if not pd.isna(row[f"{name}_group"]) and row[f"{name}_group"] == 1:
        return Text(f"≈{text}")
    return Text(text, style="dim" if row["anchor"] else "")


# ------------------------------------------------------------------------------- two runs

_WORDS = {"same": "", "untested": "≠", "missing": "missing", "new": "new"}
_COLOURS = {"better": "green", "worse": "red", "missing": "red"}


def comparison_lines(
    comparison: RunComparison, *, everything: bool = False
) -> list[RenderableType]:
    """Return what differs between two runs.

    Parameters
    ----------
    everything
        Show the rows without a difference as well.
    """
    a, b = (clean_text(name) for name in comparison.names)
    rows = comparison.differences
    shown = rows if everything else rows[rows["verdict"] != "same"]
    several = rows["dataset"].nunique() > 1
    lines: list[RenderableType] = [Text(f"A  {a}"), Text(f"B  {b}")]
    for (dataset, direction), part in shown.groupby(["dataset", "direction"], sort=False):
        table = _table(f"{dataset} · {direction}" if several else str(direction))
        table.add_column("method", max_width=14, no_wrap=True, overflow="ellipsis")
        table.add_column("metric", max_width=17, no_wrap=True, overflow="ellipsis")
        for name in ("A", "B", "B - A", "p"):
            table.add_column(name, justify="right", no_wrap=True, max_width=8)
        table.add_column("", no_wrap=True, max_width=8)
        for _, row in part.iterrows():
            verdict = str(row["verdict"])
            table.add_row(
                Text(clean_text(row["label"])),
                Text(clean_text(row["short"])),
                *(Text(format_number(row[name])) for name in ("a", "b", "difference")),
                Text(format_p(row["p"])),
                Text(_WORDS.get(verdict, verdict), style=_COLOURS.get(verdict, "")),
            )
        lines.append(table)
    lines.append(Text(_count(rows), style="bold"))
    for _, row in comparison.settings.iterrows():
        old, new = clean_text(row["a"]) or "(none)", clean_text(row["b"]) or "(none)"
        text = f"{clean_text(row['where'])} {clean_text(row['setting'])}: {old} -> {new}"
        lines.append(Text(text, no_wrap=True, overflow="ellipsis", style="dim"))
    return lines


def _count(rows: pd.DataFrame) -> str:
    counts = rows["verdict"].value_counts()
    parts: Iterable[str] = (
        f"{counts[word]} {word}"
        for word in ("better", "worse", "changed", "untested", "missing", "new")
        if word in counts
    )
    same = int(counts.get("same", 0))
    if same == len(rows):
        return f"no difference in {same} numbers"
    return ", ".join([*parts, f"{same} without a difference"])
