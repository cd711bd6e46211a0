"""Which questions are asked of a run: pairs of methods in balance, and catch trials among them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from bench.api import BenchError, Direction
from bench.storage.votes import Ballot, Kind, Side

if TYPE_CHECKING:
    import pandas as pd

    from bench.api import RunView

T = TypeVar("T")

CATCH_SHARE = 0.15
"""Share of catch trials among all ballots, half of either kind."""


def make_ballots(
    run: RunView, *, count: int, seed: int = 0, labels: Sequence[str] | None = None
) -> list[Ballot]:
    """Return the questions of a sitting, in the order in which they are asked.

    Every pair of methods is asked about equally often (to within one) in every direction, on
    inputs drawn without replacement; which method stands on which side, and which of its
    samples, is drawn. The same run, seed and labels give the same ballots.

    Parameters
    ----------
    count
        Ballots in all, catch trials included.
    seed
        Of every draw.
    labels
        Whose pictures; None: every ranked method, and the untouched input where it is there.

    Raises
    ------
    BenchError
        When fewer than two of the labels have pictures of the same inputs.
    """
    rng = random.Random(f"ballots {seed}")
    chosen = _labels(run, labels)
    pictures = run.samples[run.samples["label"].isin(chosen) & run.samples["path"].notna()]
    pictures = pictures.drop_duplicates(["dataset", "direction", "label", "input_id", "path"])
    pools = [
        _Pool(str(dataset), str(direction), part, run, rng)
        for (dataset, direction), part in pictures.groupby(["dataset", "direction"], sort=False)
    ]
    pools = [pool for pool in pools if pool.pairs]
    if not pools:
        raise BenchError(
            f"{run.path} has no two methods with pictures of the same inputs: there is nothing "
            "to choose between"
        )
    catches = round(count * CATCH_SHARE) if count > 1 else 0
    kinds: list[Kind] = ["pair"] * (count - catches)
    kinds += ["same" if i % 2 else "static" for i in range(catches)]
    rng.shuffle(kinds)
    drawn = itertools.cycle(pools)
    found = []
    for number, kind in enumerate(kinds):
        ballot = next(drawn).draw(kind, f"{number:04d}-{rng.getrandbits(32):08x}")
        found.append(ballot)
    return found


def _labels(run: RunView, asked: Sequence[str] | None) -> list[str]:
    there = [str(label) for label in dict.fromkeys(run.samples["label"])]
    if asked is not None:
        for label in asked:
            if label not in there:
                raise BenchError(
                    f"{label!r} has no pictures in {run.path}: {', '.join(there)} have"
                )
        return list(asked)
    methods = dict(zip(run.trials["label"], run.trials["method"], strict=True))
    anchors = run.declared.anchors
    return [
        label
        for label in there
        if methods[label] not in anchors or anchors[methods[label]].role == "untouched"
    ]


class _Pool:
    """The pictures of one direction, and the draws from them."""

    def __init__(
        self, dataset: str, direction: str, part: pd.DataFrame, run: RunView, rng: random.Random
    ) -> None:
        self.dataset, self.direction, self.rng = dataset, direction, rng
        self.target = _target(direction)
        self.files: dict[tuple[str, str], list[str]] = {}
        self.inputs: dict[str, str] = {}
        for row in part.itertuples(index=False):
            self.files.setdefault((str(row.label), str(row.input_id)), []).append(str(row.path))
            self.inputs[str(row.input_id)] = str(row.input_path)
        labels = list(dict.fromkeys(label for label, _ in self.files))
        shared = {
            pair: [i for i in self.inputs if all((label, i) in self.files for label in pair)]
            for pair in itertools.combinations(labels, 2)
        }
        self.pairs = [pair for pair, inputs in shared.items() if inputs]
        self._shared = shared
        self._next_pair = self._rounds(self.pairs)
        self._next_input = {pair: self._rounds(shared[pair]) for pair in self.pairs}
        others = run.samples[
            (run.samples["dataset"] == dataset) & (run.samples["direction"] != direction)
        ]
        # The inputs of the other direction are real pictures of this one's target domain.
        self.real = [str(p) for p in dict.fromkeys(others["input_path"])] or list(
            self.inputs.values()
        )

    def _rounds(self, things: Sequence[T]) -> Iterator[T]:
        """All things in a new order each time round."""
        while things:
            yield from self.rng.sample(things, len(things))

    def draw(self, kind: Kind, name: str) -> Ballot:
        pair = next(self._next_pair)
        key = next(self._next_input[pair])
        if kind == "pair":
            sides = [Side(label, self.rng.choice(self.files[label, key])) for label in pair]
        elif kind == "same":
            one = Side(pair[0], self.rng.choice(self.files[pair[0], key]))
            sides = [one, one]
        else:
            sides = [Side("real", self.rng.choice(self.real)), Side("static", "")]
        self.rng.shuffle(sides)
        return Ballot(
            name, kind, self.dataset, self.direction, self.target, key, self.inputs[key], *sides
        )


def _target(direction: str) -> str:
    """The name of the target domain: what stands after the 2 of ``summer2winter``."""
    known = (Direction.parse("a2b", ("a", "b")), Direction.parse("b2a", ("a", "b")))
    if direction in {one.name for one in known}:
        return direction[-1]
    return direction.rpartition("2")[2] or direction
