"""The summary table as text: CSV, Markdown and LaTeX, row by row.

Row by row, because the page copies the rows in whatever order its reader has sorted them;
a file and a copied table are then the same text. Text from a run is escaped for the format
it goes into, and a cell that a spreadsheet would take for a formula is made inert.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.columns import TableColumn, columns
from bench.analysis.preference import preference
from bench.analysis.summary import summary
from bench.analysis.text import clean_text, format_interval, format_number
from bench.analysis.validity import VERDICTS, reasons
from bench.api import RunView

__all__ = [
    "TextTable",
    "csv_table",
    "inert",
    "inert_frame",
    "latex_table",
    "markdown_table",
    "table_files",
]

_FORMULA = re.compile(r"^\s*[=+\-@|%]|^[\t\r\n]")
_NUMBER = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")


@dataclass(frozen=True)
class TextTable:
    """A table as text: what comes before its rows, each row, and what follows."""

    head: str
    rows: tuple[str, ...]
    foot: str = ""

    def __str__(self) -> str:
        return self.head + "".join(self.rows) + self.foot


def inert(value: object) -> object:
    """Return a cell no spreadsheet runs: text that could start a formula gets a leading ``'``.

    Numbers, and text that is a plain number, pass unchanged.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.match(value):
        return f"'{value}"
    return value


def inert_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose text cells and column names are all :func:`inert`."""
    safe = frame.copy()
    for name in safe.columns:
        if not (
            pd.api.types.is_numeric_dtype(safe[name]) or pd.api.types.is_bool_dtype(safe[name])
        ):
            safe[name] = safe[name].astype("object").map(inert)
    return safe.rename(columns={name: str(inert(str(name))) for name in safe.columns})


def csv_table(frame: pd.DataFrame) -> TextTable:
    r"""Return the frame at full precision, quoted as RFC 4180 says, lines ending in ``\n``."""
    safe = inert_frame(frame)

    def line(cells: Sequence[object]) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(cells)
        return buffer.getvalue()

    return TextTable(
        line(list(safe.columns)),
        tuple(
            line(["" if pd.isna(cell) else cell for cell in row])
            for row in safe.itertuples(index=False)
        ),
    )


def markdown(text: object) -> str:
    """Return text in which nothing is Markdown."""
    escaped = clean_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", escaped)


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "·": r"$\cdot$",
    "≈": r"$\approx$",
    '"': "''",
}


def _latex(text: object) -> str:
    return "".join(_LATEX.get(c, c) for c in clean_text(text))


def _places(frame: pd.DataFrame) -> dict[str, str]:
    """Return the columns that say what a row is about, with their headings."""
    several = {"dataset": "Dataset"} if frame["dataset"].nunique() > 1 else {}
    return several | {"direction": "Direction", "label": "Method"}


def _heading(column: TableColumn) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.title}{unit} {column.arrow}".strip()


def _parts(row: pd.Series, column: TableColumn) -> tuple[str, str, str]:
    """Return value, interval, and ``best``, ``tied`` or nothing."""
    name = column.name
    value = row[name]
    if pd.isna(value):
        return "–", "", ""
    interval = format_interval(float(value), row[f"{name}_low"], row[f"{name}_high"])
    group = row[f"{name}_group"]
    if bool(row[f"{name}_best"]):
        return format_number(value), interval, "best"
    return format_number(value), interval, "tied" if not pd.isna(group) and group == 1 else ""


def markdown_table(frame: pd.DataFrame, columns: Sequence[TableColumn]) -> TextTable:
    """Return a pipe table: the best in bold, what is tied with it marked ``≈``."""
    places = _places(frame)
    headings = [*places.values(), *(_heading(c) for c in columns), "Status"]
    head = "| " + " | ".join(markdown(h) for h in headings) + " |\n"
    head += "|" + ":--|" * len(places) + "--:|" * len(columns) + ":--|\n"
    rows = []
    for _, row in frame.iterrows():
        cells = [markdown(row[name]) for name in places]
        for column in columns:
            value, interval, mark = _parts(row, column)
            text = {"best": f"**{value}**", "tied": f"≈{value}"}.get(mark, value)
            cells.append(f"{text} {markdown(interval)}".strip())
        rows.append("| " + " | ".join([*cells, markdown(row["status"])]) + " |\n")
    return TextTable(head, tuple(rows))


def latex_table(frame: pd.DataFrame, columns: Sequence[TableColumn]) -> TextTable:
    r"""Return a ``booktabs`` tabular: the best in ``\textbf``, what is tied with it underlined."""
    places = _places(frame)
    headings = [*places.values(), *(_heading(c) for c in columns)]
    notes = [f"{c.title}: {c.extractor}" for c in columns if c.extractor]
    head = "% needs \\usepackage{booktabs}; bold: best, underlined: tied with the best\n"
    head += "".join(f"% {clean_text(note)}\n" for note in notes)
    head += f"\\begin{{tabular}}{{{'l' * len(places)}{'r' * len(columns)}}}\n\\toprule\n"
    head += " & ".join(_latex(h) for h in headings) + " \\\\\n\\midrule\n"
    rows = []
    for _, row in frame.iterrows():
        cells = [_latex(row[name]) for name in places]
        for column in columns:
            value, interval, mark = _parts(row, column)
            text = _latex(value)
            text = {"best": rf"\textbf{{{text}}}", "tied": rf"\underline{{{text}}}"}.get(mark, text)
            # Braces keep a bracket that opens a cell from being read as an argument.
            cells.append(f"{text} {{\\scriptsize {_latex(interval)}}}" if interval else text)
        rows.append(" & ".join(cells) + " \\\\\n")
    return TextTable(head, tuple(rows), "\\bottomrule\n\\end{tabular}\n")


def table_files(run: RunView) -> dict[str, str]:
    """Return the tables of a run as text, by the names of their files."""
    table = summary(run)
    headline = [column for column in columns(run) if column.headline]
    said = "; ".join([VERDICTS[run.verdict], *reasons(run)])
    asked = preference(run)
    voted = [
        one.table.assign(dataset=one.dataset, direction=one.direction, alpha=one.alpha)
        for one in asked
    ]
    ranked = [one.metrics.assign(dataset=one.dataset, direction=one.direction) for one in asked]
    people = {
        name: str(csv_table(pd.concat(parts)))
        for name, parts in (("preference.csv", voted), ("preference_metrics.csv", ranked))
        if parts
    }
    return people | {
        "summary.csv": str(csv_table(table)),
        "summary.md": f"{markdown_table(table, headline)}\nVerdict: {markdown(said)}\n",
        "summary.tex": f"% verdict: {clean_text(said)}\n{latex_table(table, headline)}",
        "measurements.csv": str(csv_table(run.measurements.drop(columns=["resampled", "draw"]))),
        "comparisons.csv": str(csv_table(run.comparisons)),
        "checks.csv": str(csv_table(run.checks)),
    }
