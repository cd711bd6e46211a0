"""What the files of common programs are called, and which of them are outputs.

pytorch-CycleGAN and CUT write ``NAME_fake_B.png`` beside ``NAME_real_A.png``, or both into folders
``fake_B`` and ``real_A``; MUNIT's ``test.py`` writes ``output000_01.jpg`` beside ``input000.jpg``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.api import Direction

_PART = r"(?P<part>fake|real|rec|idt)(?:_(?P<domain>[AB]))?"
_MARKED = re.compile(rf"(?P<name>.+)_{_PART}(?:_(?P<sample>\d+))?")
_FOLDER = re.compile(_PART)
_NUMBERED = re.compile(r"(?P<name>.+)_(?P<sample>\d+)")
_SHOWN = re.compile(r"(?P<what>input|output)(?P<number>\d+)(?:_(?P<sample>\d+))?")


@dataclass(frozen=True)
class Said:
    """What a file's name says.

    Parameters
    ----------
    name, sample
        The input's name, and which of its samples the file is.
    output
        Whether it is one; programs write inputs and reconstructions, too.
    """

    name: str
    sample: int = 0
    output: bool = True


def shown(file: Path) -> Said | None:
    """Return what a number in place of a name says: ``input000``, ``output000_01``; else None."""
    if found := _SHOWN.fullmatch(file.stem):
        return Said(found["number"], int(found["sample"] or 0), found["what"] == "output")
    return None


def fakes(files: Sequence[Path], direction: Direction) -> str:
    """Return the letter of the domain that outputs are marked with; the only one that is there."""
    marks = (
        found
        for file in files
        for found in (_MARKED.fullmatch(file.stem), _FOLDER.fullmatch(file.parent.name))
    )
    letters = {found["domain"] for found in marks if found and found["part"] == "fake"} - {None}
    target = direction.target.upper()
    return letters.pop() if len(letters) == 1 else target


def said(file: Path, known: Collection[str], letter: str) -> Said | None:
    """Return what a file's name says of known inputs, None where it names none.

    Parameters
    ----------
    letter
        Of the domain whose ``fake`` pictures are the outputs.
    """
    folder = _FOLDER.fullmatch(file.parent.name)
    output = folder is None or _is_output(folder, letter)
    if file.stem in known:
        return Said(file.stem, 0, output)
    if (found := _MARKED.fullmatch(file.stem)) and found["name"] in known:
        return Said(found["name"], int(found["sample"] or 0), _is_output(found, letter))
    if (found := _NUMBERED.fullmatch(file.stem)) and found["name"] in known:
        return Said(found["name"], int(found["sample"]), output)
    return None


def _is_output(found: re.Match[str], letter: str) -> bool:
    return found["part"] == "fake" and found["domain"] in (None, letter)
