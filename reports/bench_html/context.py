"""What the page says in words and tables: plain values for the template.

Nothing here is markup; the template escapes every value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.columns import TableColumn, present
from bench.analysis.preference import preference
from bench.analysis.text import clean_text, format_interval, format_number, format_p, join_names
from bench.analysis.validity import VERDICTS, reasons
from bench_html import findings
from bench_html.numbers import shown_columns, table_groups
from bench_html.provenance import provenance
from bench_html.result import questions, sentences

if TYPE_CHECKING:
    from bench.api import RunView
    from bench_html.figures import Figure
    from bench_html.findings import Finding

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


def page_context(
    run: RunView,
    table: pd.DataFrame,
    known: Sequence[TableColumn],
    drawn: Sequence[Figure],
    pictures: Mapping[str, Any],
    found: Sequence[Finding],
    twice: Mapping[str, tuple[list[dict[str, str]], str]],
) -> dict[str, Any]:
    """Return everything the template shows, except data for scripts.

    Parameters
    ----------
    run, table, known
        The run, its summary and its columns.
    drawn, pictures, found
        Its figures, its gallery's description, and what was found in the pictures.
    twice
        For each dataset the pairs of pictures that are in it twice, and their sheet's name.
    """
    datasets = [str(name) for name in dict.fromkeys(table["dataset"])]
    views = [
        {"index": number}
        | _dataset(
            run,
            name,
            table[table["dataset"] == name],
            known,
            [figure for figure in drawn if figure.dataset == name],
            [facts for facts in pictures["directions"] if facts["dataset"] == name],
            [(at, finding) for at, finding in enumerate(found) if finding.dataset == name],
            twice[name],
        )
        for number, name in enumerate(datasets)
    ]
    people = _people(run)
    groups = {column.group for column in known}
    return provenance(run) | {
        "title": join_names(datasets) or "run",
        "datasets": views,
        "several": len(datasets) > 1,
        "people": people,
        "sections": {section for view in views for section in view["sections"]},
        "has_pictures": any(view["has_pictures"] for view in views),
        "looked_for": findings.looked_for(run),
        "verdict": (run.verdict, VERDICTS[run.verdict]),
        "checks": _checks(run),
        "warning": _warning(run),
        "column_groups": [group for group in _GROUP_WORDS if group in groups],
        "group_words": _GROUP_WORDS,
        "meanings": [column for column in known if column.meaning],
    }


def _dataset(
    run: RunView,
    name: str,
    table: pd.DataFrame,
    known: Sequence[TableColumn],
    drawn: Sequence[Figure],
    directions: Sequence[Mapping[str, Any]],
    found: Sequence[tuple[int, Finding]],
    twice: tuple[list[dict[str, str]], str],
) -> dict[str, Any]:
    """Return what the page says of one dataset."""
    pairs, near = twice
    mine = present(known, table)
    asked = {metric: place for place, metric in enumerate(run.declared.columns)}
    cells = [cell for facts in directions for rows in facts["series"] for cell in rows["cells"]]
    return {
        "name": name,
        "directions": [str(d) for d in dict.fromkeys(table["direction"]) if d],
        "counts": _counts(table),
        "sentences": sentences(table, mine),
        "questions": questions(table, sorted(mine, key=lambda c: asked.get(c.metric, -1))),
        "columns": shown_columns(mine),
        "groups": (groups := table_groups(table, mine)),
        "asked": any(row["answers"] for group in groups for row in group["rows"]),
        "scaled": any(column.side for column in mine),
        "extractors": sorted({column.extractor for column in mine if column.extractor}),
        "comparisons": _comparisons(run.comparisons, name, [c for c in mine if c.headline]),
        "drawn": drawn,
        "sections": {figure.section for figure in drawn},
        "has_pictures": any(cell and cell["n"] for cell in cells),
        "answers": findings.answers(directions),
        "findings": [(at, finding) for at, finding in found if not finding.expected],
        "expected": [(at, finding) for at, finding in found if finding.expected],
        "pairs": pairs,
        "near": near,
    }


def _people(run: RunView) -> list[dict[str, Any]]:
    """Return what people prefer, ready to show."""
    return [
        {
            "place": " · ".join((one.dataset, one.direction)),
            "voters": len(one.voters),
            "votes": int(one.table["votes"].sum()) // 2,
            "alpha": "" if one.alpha is None else format_number(one.alpha),
            "careless": join_names(one.careless),
            "rows": [
                (
                    row["label"],
                    format_number(row["strength"]),
                    _interval(row, "strength"),
                    row["votes"],
                )
                for row in one.table.to_dict("records")
            ],
            "metrics": [
                (row["title"], format_number(row["tau"]), _interval(row, "tau"), row["n"])
                for row in one.metrics.to_dict("records")
            ],
        }
        for one in preference(run)
    ]


def _interval(row: Mapping[Any, Any], name: str) -> str:
    return format_interval(row[name], row["low"], row["high"])


def _warning(run: RunView) -> str:
    """Return what has to be said before any number of an invalid run."""
    if run.verdict != "invalid":
        return ""
    return clean_text(f"This run is invalid, its numbers prove nothing. {reasons(run)[0]}.")


def _checks(run: RunView) -> list[dict[str, Any]]:
    """Return the checks; `passed` is None where it could not be checked."""
    return [
        {str(key): value for key, value in row.items()}
        | {"passed": None if pd.isna(row["passed"]) else bool(row["passed"])}
        for row in run.checks.to_dict("records")
    ]


def _comparisons(
    frame: pd.DataFrame, dataset: str, headline: Sequence[TableColumn]
) -> list[dict[str, Any]]:
    """Return the pairs of methods that were compared on the same inputs, the surest first."""
    titles = {column.metric: column.title for column in headline}
    rows = frame[(frame["dataset"] == dataset) & frame["metric"].isin(titles)]
    rows = rows.sort_values("p_adjusted", kind="stable")
    return [
        {
            "direction": row["direction"],
            "metric": titles[row["metric"]],
            "a": row["label_a"],
            "b": row["label_b"],
            "difference": format_number(row["difference"]),
            "interval": format_interval(row["difference"], row["low"], row["high"]),
            "p": format_p(row["p_adjusted"]),
            "n": int(row["n"]),
        }
        for row in rows.to_dict("records")
    ]


def _counts(table: pd.DataFrame) -> str:
    """Return ``3 methods and 2 anchors, 1 without numbers``."""
    rows = table.drop_duplicates("label")
    gave = rows["seeds"] > 0
    anchors = int((rows["anchor"].astype(bool) & gave).sum())
    parts = [(int(gave.sum()) - anchors, "method"), (anchors, "anchor")]
    said = " and ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in parts if n)
    missing = len(rows) - int(gave.sum())
    return ", ".join(filter(None, [said, f"{missing} without numbers" if missing else ""]))
