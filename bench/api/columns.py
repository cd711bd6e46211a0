"""What a metric declares of its measurements, and a baseline of what they must say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Aspect = Literal["", "target", "scene", "real"]
"""A question of every translation: taken for the target, still this scene, looks real."""


@dataclass(frozen=True)
class Alarm:
    """Says when a measurement is reason to look at a method's pictures.

    Parameters
    ----------
    title
        What is then said of the method: ``comes close to training images``.
    watched
        What was looked for, in words: ``copies of training images``.
    above, below
        It is raised when the whole interval lies above, or below, this number.
    invalid
        A run in which it is raised of a method that is no baseline is invalid.
    """

    title: str
    watched: str
    above: float | None = None
    below: float | None = None
    invalid: bool = False

    def raised(self, low: float, high: float) -> str:
        """Return how an interval raises it, ``above 0.05``; empty where it does not."""
        if self.above is not None and low > self.above:
            return f"above {self.above:g}"
        return f"below {self.below:g}" if self.below is not None and high < self.below else ""


@dataclass(frozen=True)
class Column:
    """Declares one measurement: what a table and a page need to know to show it.

    A name that ends in ``_*`` declares all names with that beginning, for parts that only the
    dataset knows (``season_error_*`` for ``season_error_sky``); a ``*`` in its title and meaning
    stands for that part.

    Parameters
    ----------
    name
        The ``metric`` of the measurements it is about, lower case, ``[a-z0-9_]``.
    title, meaning
        What people call it, and what it says in half a sentence. No title: the name, with
        spaces.
    unit, higher_is_better
        None: neither side is better, so nobody is ranked by it.
    headline
        Its place in short tables, smallest first; None: in long tables only.
    short
        A heading of at most nine characters for terminals; empty: not shown there.
    question, answer
        The title of the tile that names the winner on the page (``Fastest``), and what a winner
        has (``most images per second``); empty: no tile. Tiles stand in the order in which they
        are declared.
    beside
        The measurement in whose cell it is shown as a note, as a floor beside its score.
    aspect, bar
        Which of the three questions of a translation it answers: is it taken for the ``target``,
        is it still this ``scene``, does it look ``real``; and what says yes: ``halfway`` from the
        baseline of role ``untouched`` to that of role ``real`` (either may be the better end), or
        no worse than ``untouched``. A question is answered yes when all its columns say so.
    alarm
        When the page shows a method's pictures because of it; None: never.
    side
        The shorter side in pixels that pictures were reduced to; 0: they were not.
    """

    name: str
    title: str = ""
    meaning: str = ""
    unit: str = ""
    higher_is_better: bool | None = None
    headline: int | None = None
    short: str = ""
    question: str = ""
    answer: str = ""
    beside: str = ""
    aspect: Aspect = ""
    bar: Literal["", "halfway", "untouched"] = ""
    alarm: Alarm | None = None
    side: int = 0

    def named(self, name: str) -> Column | None:
        """Return the declaration of a measurement of that name; None where it is not meant."""
        if name == self.name:
            return self
        begin = self.name.removesuffix("*")
        if begin == self.name or not name.startswith(begin) or name == begin:
            return None
        part = name.removeprefix(begin).replace("_", " ")
        return replace(
            self,
            name=name,
            title=self.title.replace("*", part),
            meaning=self.meaning.replace("*", part),
        )


def find_column(columns: Iterable[Column], name: str) -> Column | None:
    """Return what is declared of a measurement; a declaration of just that name comes first."""
    found = [(column.name, named) for column in columns if (named := column.named(name))]
    found.sort(key=lambda pair: (pair[0] != name, -len(pair[0])))
    return found[0][1] if found else None


SPEED_COLUMNS: tuple[Column, ...] = (
    Column(
        "latency",
        title="Latency",
        meaning="seconds for one image, one at a time",
        unit="s",
        higher_is_better=False,
        headline=60,
        short="s/image",
    ),
    Column(
        "throughput",
        title="Throughput",
        meaning="images per second at the best batch size",
        unit="images/s",
        higher_is_better=True,
        headline=70,
        short="img/s",
        question="Fastest",
        answer="most images per second",
    ),
    Column(
        "peak_memory",
        title="Memory",
        meaning="largest memory in use while translating",
        unit="MB",
        higher_is_better=False,
        headline=80,
    ),
    Column(
        "fit_memory",
        title="Memory to train",
        meaning="largest memory in use while training",
        unit="MB",
        higher_is_better=False,
    ),
)
"""What the suite itself measures of every method that translates, as metrics declare theirs."""


@dataclass(frozen=True)
class Rule:
    """What a metric must say about a baseline, known before anything is measured.

    Parameters
    ----------
    metric
        The measurement it is about.
    relation
        ``equals``, ``below`` or ``above``.
    other
        A number, or the name of another baseline.
    because
        Why it must be so; a run in which it is not is invalid.
    """

    metric: str
    relation: Literal["equals", "below", "above"]
    other: float | str
    because: str
