"""What people were asked about a run, and what they said: ``RUN/votes``.

``ballots.json`` holds the questions with the names behind their pictures, ``votes.jsonl`` one
answer a line, appended and on the disk before the next question is shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from bench.api import BenchError
from bench.storage.files import read_json_lines, write_json
from bench.storage.locks import locked

Answer = Literal["left", "right", "tie"]
Kind = Literal["pair", "same", "static"]

FOLDER = "votes"
BALLOTS, VOTES = "ballots.json", "votes.jsonl"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Side:
    """One picture of a ballot: whose it is, and its file relative to the run folder.

    An empty `path` is a field of noise made from the ballot's id.
    """

    label: str
    path: str


@dataclass(frozen=True)
class Ballot:
    """One question: which of two pictures is the better translation of the input.

    Parameters
    ----------
    id
        Unique in the run; tells nothing of the labels.
    kind
        ``pair`` compares two methods. ``same`` shows one picture twice and ``static`` a real
        picture beside noise: catch trials, whose answers are known.
    target
        What people call the target domain.
    input_path
        The input's file, relative to the run folder.
    left, right
        The two pictures.
    """

    id: str
    kind: Kind
    dataset: str
    direction: str
    target: str
    input_id: str
    input_path: str
    left: Side
    right: Side


@dataclass(frozen=True)
class Vote:
    """One answer of one person.

    Parameters
    ----------
    ballot
        The id of the question.
    voter
        Who answered; as people write it.
    answer
        The better side, or ``tie``.
    seconds
        From the moment the pictures were shown.
    time
        When, in UTC, as ISO 8601.
    """

    ballot: str
    voter: str
    answer: Answer
    seconds: float
    time: str


def write_ballots(run: Path, ballots: Sequence[Ballot]) -> None:
    """Write the questions of a run, whole or not at all."""
    write_json(run / FOLDER / BALLOTS, [asdict(ballot) for ballot in ballots])


def read_ballots(run: Path) -> list[Ballot]:
    """Return the questions of a run; none where nobody was asked.

    Raises
    ------
    BenchError
        When the file is damaged.
    """
    file = run / FOLDER / BALLOTS
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text("utf-8"))
        return [
            Ballot(**{**row, "left": Side(**row["left"]), "right": Side(**row["right"])})
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchError(
            f"{file} is damaged ({type(error).__name__}): put it back, or remove the folder "
            f"{file.parent} to ask anew"
        ) from None


def vote_of(row: object, ballots: Mapping[str, Ballot]) -> Vote:
    """Return a vote from what a page or a file says; nothing of it is trusted.

    Raises
    ------
    BenchError
        One line on what is wrong with it.
    """
    if not isinstance(row, Mapping):
        raise BenchError("a vote is an object with ballot, voter, answer and seconds")
    ballot, voter, answer = (row.get(name) for name in ("ballot", "voter", "answer"))
    seconds, moment = row.get("seconds", 0.0), row.get("time", "")
    if ballot not in ballots:
        raise BenchError(f"ballot {str(ballot)[:40]!r} is none of this run")
    if answer not in get_args(Answer):
        raise BenchError(f"answer {str(answer)[:40]!r} is unknown: left, right or tie")
    name = " ".join(str(voter or "").split())[:_LONGEST_NAME]
    if not name or not name.isprintable():
        raise BenchError("a vote needs the name of its voter")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise BenchError(f"seconds {str(seconds)[:40]!r} is no time")
    stamp = str(moment)[:40] if str(moment).isprintable() else ""
    return Vote(str(ballot), name, cast("Answer", answer), float(seconds), stamp)


def append_votes(run: Path, votes: Iterable[Vote]) -> None:
    """Append votes, each on the disk when this returns.

    A line that a crash cut short is closed first, so that it spoils no line after it.
    """
    folder = run / FOLDER
    with locked(folder), (folder / VOTES).open("a+b") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        for vote in votes:
            file.write(json.dumps(asdict(vote)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_votes(run: Path, ballots: Mapping[str, Ballot]) -> list[Vote]:
    """Return the valid votes of a run, the last of each voter on each ballot."""
    file = run / FOLDER / VOTES
    found: dict[tuple[str, str], Vote] = {}
    for row in _lines(file):
        try:
            vote = vote_of(row, ballots)
        except BenchError:
            continue  # cut short by a crash, or of ballots that are gone
        found[vote.voter, vote.ballot] = vote
    return list(found.values())


def _lines(file: Path) -> list[Mapping[str, Any]]:
    return read_json_lines(file) if file.exists() else []
