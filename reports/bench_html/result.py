"""The result of one dataset in ten seconds: sentences, and a tile for each question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.columns import TableColumn, leading
from bench.analysis.questions import ASPECTS, answers, in_order
from bench.analysis.ranking import (
    easier_direction,
    hardly_changes,
    no_better_than_nothing,
    winners,
)
from bench.analysis.text import clean_text, format_interval, format_number, join_names


@dataclass(frozen=True)
class Answer:
    """Who wins on one question in one direction: one name, or several that are tied."""

    direction: str
    names: tuple[str, ...]
    value: str
    unit: str
    interval: str


@dataclass(frozen=True)
class Question:
    """A tile: what is asked, by which number, and the answer for each direction."""

    title: str
    meaning: str
    answers: tuple[Answer, ...]


def questions(table: pd.DataFrame, known: Sequence[TableColumn]) -> list[Question]:
    """Return the questions that a dataset's columns declare and can answer.

    Parameters
    ----------
    table
        The rows of the summary that are about the dataset.
    known
        Its columns, in the order in which they ask.
    """
    result = []
    for column in known:
        if not column.question or not column.plain:
            continue
        answers = []
        for direction, rows in table.groupby("direction", sort=False):
            first = winners(rows, column)
            if first.empty or _nobody(first, column):
                continue
            best = first.iloc[0]
            ends = (float(best[f"{column.name}{end}"]) for end in ("", "_low", "_high"))
            answers.append(
                Answer(
                    str(direction),
                    tuple(str(name) for name in first["label"]),
                    format_number(best[column.name]),
                    column.unit,
                    format_interval(*ends),
                )
            )
        if answers:
            where = f" on {column.hardware}" if column.hardware else ""
            side = "highest" if column.higher_is_better else "lowest"
            meaning = column.answer or f"{side} {column.title}: {column.meaning}".rstrip(": ")
            result.append(Question(f"{column.question}{where}", meaning, tuple(answers)))
    return result


def _nobody(first: pd.DataFrame, column: TableColumn) -> bool:
    """Return whether even the most varied gives one answer only."""
    return column.kind == "diversity" and float(first[column.name].iloc[0]) == 0


def sentences(table: pd.DataFrame, known: Sequence[TableColumn]) -> list[str]:
    """Return the result in a few sentences; what is tied is said to be tied.

    Parameters
    ----------
    table, known
        As for :func:`questions`; the columns in table order.
    """
    said: list[str] = []
    quality = leading(known, "quality")
    # What answers a question of its own is no measure of change from 0 on.
    change = leading([column for column in known if not column.aspect], "content")
    said += _answered(table, known)
    if quality is not None:
        if not said:
            said += _best(table, quality)
        said += _nothing_gained(table, quality)
    if change is not None and not change.higher_is_better:
        for names, directions in _by_names(hardly_changes(table, change)):
            verb, their = ("changes", "its") if len(names) == 1 else ("change", "their")
            said.append(
                f"{join_names(names)} hardly {verb} {their} inputs {_where(directions, table)}: by "
                "less than a tenth of what separates them from unrelated real pictures."
            )
    if quality is not None:
        said += _easier(table, quality)
    return [clean_text(sentence) for sentence in said]


def _answered(table: pd.DataFrame, known: Sequence[TableColumn]) -> list[str]:
    """Say which of the three questions each method passes, the best translations first."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for direction, part in table.groupby("direction", sort=False):
        rows = in_order(part, known)
        said = answers(rows, known)
        mine = zip(rows["label"], rows["anchor"], said.to_dict("records"), strict=True)
        for label, anchor, row in mine:
            if anchor or any(pd.isna(answer) for answer in row.values()):
                continue
            good = [words for name, (words, _) in ASPECTS.items() if row[name]]
            bad = [words for name, (_, words) in ASPECTS.items() if not row[name]]
            words = (join_names(good), join_names(bad))
            found.setdefault(words, {}).setdefault(str(direction), []).append(str(label))
    lines = []
    for (kept, lost), by_direction in found.items():
        for names, directions in _by_names(by_direction):
            who, where = join_names(names), _where(directions, table)
            each = "each " if len(names) > 1 else ""
            if kept and lost:
                lines.append(f"{who} {each}{kept}, but {lost}, {where}.")
            elif kept:
                lines.append(f"{who} {each}{kept}, {where}.")
            else:
                lines.append(f"{who} {each}{lost}, {where}.")
    return lines


def _best(table: pd.DataFrame, quality: TableColumn) -> Iterable[str]:
    """Say who wins."""
    found = {
        str(direction): sorted(str(n) for n in winners(rows, quality)["label"])
        for direction, rows in table.groupby("direction", sort=False)
    }
    asked = quality.question[:1].lower() + quality.question[1:]
    for names, directions in _by_names(found):
        alone = len(names) == 1
        if asked:
            praise = f"{'gives' if alone else 'give'} the {asked} pictures"
        else:
            praise = f"{'is' if alone else 'are'} best by {quality.title}"
        tie = f"; {quality.title} does not tell them apart"
        yield f"{join_names(names)} {praise} {_where(directions, table)}{'' if alone else tie}."


def _nothing_gained(table: pd.DataFrame, quality: TableColumn) -> Iterable[str]:
    """Say who is not shown to be better than doing nothing."""
    for names, directions in _by_names(no_better_than_nothing(table, quality)):
        verb = "is" if len(names) == 1 else "are"
        yield (
            f"By {quality.title}, {join_names(names)} {verb} not shown to be better than the "
            f"untouched input, {_where(directions, table)}."
        )


def _easier(table: pd.DataFrame, quality: TableColumn) -> Iterable[str]:
    """Say which direction is easier."""
    easier = easier_direction(table, quality)
    decided = {direction: names for direction, names in easier.items() if direction}
    total = sum(len(names) for names in easier.values())
    if len(decided) > 1:
        yield "Methods disagree on which direction is easier."
    elif decided and 2 * len(easy := max(decided.values())) > total:
        yield f"{max(decided)} is easier, for {len(easy)} of {total} methods."
    elif total:
        yield "Neither direction is clearly easier: most intervals overlap."


def _where(directions: Sequence[str], table: pd.DataFrame) -> str:
    """Return the directions a sentence is about."""
    both = len(directions) == 2 and table["direction"].nunique() == 2
    return "in both directions" if both else f"for {join_names(directions)}"


def _by_names(found: Mapping[str, Sequence[str]]) -> Iterable[tuple[tuple[str, ...], list[str]]]:
    """Return methods with the directions in which just these were found."""
    directions: dict[tuple[str, ...], list[str]] = {}
    for direction, names in found.items():
        if names:
            directions.setdefault(tuple(names), []).append(direction)
    return directions.items()
