"""Pictures made elsewhere: what a :class:`bench.api.PrecomputedMethod` found against what is asked.

A comparison needs every input, and as many samples of each as of the others. Whatever falls
short of that is listed, file by file; it is passed over only when the user says so, and the
number of inputs that are left is then told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.api import BenchError, Dataset, Direction, ImageItem, PrecomputedMethod
from bench.data.encoding import Encoding, usual_encoding
from bench.data.opening import select
from bench.storage.cache import key_of

_LOOKED_AT = 16
"""Real pictures that are looked at for how they are encoded."""


class NothingToScore(BenchError):
    """None of the pictures found belongs to an input that is asked for."""


@dataclass(frozen=True)
class Precomputed:
    """Pictures of a method that can be scored.

    Parameters
    ----------
    outputs
        Direction key to input id to samples, the same number everywhere.
    samples
        That number.
    problems
        What was passed over, a line each.
    shortfall
        What is missing of what was asked, in one phrase; empty: nothing.
    encoding
        How the files are encoded, where real pictures are encoded otherwise; else None.
    """

    outputs: Mapping[str, Mapping[str, Sequence[ImageItem]]]
    samples: int
    problems: tuple[str, ...]
    shortfall: str
    encoding: Encoding | None = None

    @property
    def remark(self) -> str:
        """What is to be said beside every score of them; empty: nothing."""
        coded = f"{self.encoding}, unlike real pictures" if self.encoding else ""
        return "; ".join(text for text in (self.shortfall, coded) if text)

    @property
    def digest(self) -> str:
        """What the pictures are, and which inputs they belong to; not where they lie."""
        return key_of(
            given={
                direction: {key: [item.digest for item in items] for key, items in outputs.items()}
                for direction, outputs in self.outputs.items()
            }
        )


def match_precomputed(
    method: PrecomputedMethod,
    label: str,
    dataset: Dataset,
    directions: Sequence[Direction],
    *,
    size: int,
    samples: int,
    test_limit: int | None,
    allow_missing: bool,
) -> Precomputed:
    """Return the pictures of a method that a comparison can use, an equal number for each input.

    Parameters
    ----------
    samples
        At most so many for each input.
    test_limit
        As in a suite: other test inputs need no picture, and may have one.
    allow_missing
        Pass over what is at fault instead of refusing it.

    Raises
    ------
    BenchError
        When something is at fault (a note on the error for each file or input), or nothing
        is left; :class:`NothingToScore` where nothing belongs to these inputs at all.
    """
    inputs = {direction: dataset.split("test", direction.source) for direction in directions}
    found = method.find(inputs, size)
    problems = list(found.problems)
    asked = {
        direction: [item.id for item in select(inputs[direction], test_limit)]
        for direction in directions
    }
    counts = Counter(
        min(len(items), samples)
        for direction, outputs in found.outputs.items()
        for key, items in outputs.items()
        if items and key in asked[direction]
    )
    if not counts:
        message = f"{label}: no picture belongs to an input that is asked for"
        raise _listed(message, problems, NothingToScore)
    usual = max(counts, key=lambda count: (counts[count], count))
    kept: dict[str, dict[str, Sequence[ImageItem]]] = {}
    short = []
    for direction in directions:
        mine = found.outputs.get(direction, {})
        kept[direction.key] = {}
        for key in asked[direction]:
            items = mine.get(key)
            if items is None and mine:
                problems.append(f"{direction.name}: input {key} has no picture: make one")
            elif items and min(len(items), samples) != usual:
                problems.append(
                    f"{direction.name}: input {key} has {len(items)} samples, most have {usual}: "
                    "give all the same number"
                )
            if items and len(items) >= usual:
                kept[direction.key][key] = items[:usual]
        if len(kept[direction.key]) < len(asked[direction]):
            of = f"{len(kept[direction.key])} of {len(asked[direction])} inputs"
            short.append(f"{direction.name}: n is {of}")
    if problems and not allow_missing:
        raise _listed(f"{label}: pictures are missing or at fault", problems)
    there = {direction: outputs for direction, outputs in kept.items() if outputs}
    if not there:
        raise _listed(f"{label}: no input is left to score", problems)
    return Precomputed(
        there, usual, tuple(problems), "; ".join(short), _other_encoding(there, dataset, directions)
    )


def _other_encoding(
    outputs: Mapping[str, Mapping[str, Sequence[ImageItem]]],
    dataset: Dataset,
    directions: Sequence[Direction],
) -> Encoding | None:
    """The outputs' encoding where it differs from that of a target's real test pictures."""
    for direction in directions:
        made = outputs.get(direction.key, {})
        mine = usual_encoding(item.path for items in made.values() for item in items)
        real = select(dataset.split("test", direction.target), _LOOKED_AT)
        if mine and mine.differs(usual_encoding(item.path for item in real)):
            return mine
    return None


def _listed(
    message: str, problems: Sequence[str], kind: type[BenchError] = BenchError
) -> BenchError:
    """An error with a note for each problem."""
    listed = f" ({len(problems)} listed below)" if problems else ""
    error = kind(f"{message}{listed}: mend this, or go on without with --allow-missing")
    for problem in problems:
        error.add_note(problem)
    return error
