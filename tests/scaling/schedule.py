"""The schedule of a study on many GPUs, simulated by the rules of the launchers.

Trials run in the order of the plan, each in a worker process of its own on a GPU of its own; what
is timed is alone on its GPU; a trial that fails is a row and is not tried again; one whose machine
is taken away goes back to its place in the queue, and on from its last checkpoint. One process, the
run, is told of what has ended, gives out what comes next, and then writes the tables, unless it
did so a short while ago.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from bench.execution.dispatch import POLL_SECONDS
from bench.execution.runner import TABLES_REST
from bench.training.loop import CHECKPOINT_SECONDS

STAGES = ("fit", "translate", "score", "time")
KEPT = {"fit", "translate"}
"""Stages that are taken up where they stopped; the others begin anew."""
LOSSES = {
    "start": "workers that begin",
    "again": "work that a preemption threw away",
    "failed": "work of trials that failed",
    "timing": "waiting for another's timing on the same GPU",
    "run": "waiting for the run, which writes its tables",
    "tail": "nothing left to begin, while the last trials run",
}


@dataclass(frozen=True)
class Trial:
    """A trial that ran once: whose it was, and the seconds of its worker's start and its stages."""

    label: str
    seed: int
    start: float
    stages: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return self.start + sum(self.stages.values())


@dataclass(frozen=True)
class Scenario:
    """Where a study runs.

    Parameters
    ----------
    gpus, share
        How many GPUs, and how many trials each of them has at once.
    fails
        The share of trials that fail, somewhere on their way.
    preempted
        How often a GPU is taken away in an hour.
    """

    gpus: int
    share: int = 1
    fails: float = 0.0
    preempted: float = 0.0


@dataclass
class Outcome:
    """How it went: seconds of slots, by what they were spent on; all of them are in one."""

    makespan: float = 0.0
    work: float = 0.0
    lost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LOSSES, 0.0))
    ended: list[tuple[float, str]] = field(default_factory=list)
    failures: int = 0
    preemptions: int = 0

    @property
    def utilisation(self) -> float:
        return self.work / (self.work + sum(self.lost.values()))

    @property
    def breaks_first(self) -> str:
        """What most of the lost time went to."""
        return max(self.lost, key=lambda name: self.lost[name])

    def seeds_done(self, at: float) -> Counter[str]:
        """Return how many trials of each method had ended by then."""
        return Counter(label for when, label in self.ended if when <= at)


def study(recorded: Sequence[Trial], count: int, *, fit: float = 1.0) -> list[Trial]:
    """Return a study of `count` trials at least, seed by seed, from recorded ones.

    Parameters
    ----------
    fit
        Trainings are so many times as long.
    """
    methods = list(dict.fromkeys(trial.label for trial in recorded))
    runs = {label: [trial for trial in recorded if trial.label == label] for label in methods}
    trials = []
    for seed in range(-(-count // len(methods))):
        for label in methods:
            one = runs[label][seed % len(runs[label])]
            stages = {**one.stages, "fit": one.stages["fit"] * fit}
            trials.append(Trial(label, seed, one.start, stages))
    return trials


def simulate(
    trials: Sequence[Trial],
    scenario: Scenario,
    *,
    tables: Callable[[int], float] = lambda ended: 0.0,
    poll: float = POLL_SECONDS,
    rest: float = TABLES_REST,
    seed: int = 0,
) -> Outcome:
    """Run a study in no time.

    Parameters
    ----------
    tables
        Seconds that the run needs to write its tables, from the number of trials that have ended.
    poll
        Seconds between two looks at what has ended.
    rest
        The tables are left alone for so many times what writing them took.
    """
    return _Simulation(trials, scenario, tables, poll, rest, seed).run()


class _Simulation:
    def __init__(
        self,
        trials: Sequence[Trial],
        scenario: Scenario,
        tables: Callable[[int], float],
        poll: float,
        rest: float,
        seed: int,
    ) -> None:
        self.trials, self.scenario, self.tables, self.poll = trials, scenario, tables, poll
        self.rest, self.due = rest, 0.0
        self.env = simpy.Environment()
        self.outcome = Outcome()
        self.draws = [random.Random(f"{seed}/{index}") for index in range(len(trials))]
        self.left = [dict(trial.stages) for trial in trials]
        self.done = [0.0] * len(trials)
        self.end = [self._fate(index) for index in range(len(trials))]
        self.waiting = list(range(len(trials)))
        self.timing = [simpy.Resource(self.env) for _ in range(scenario.gpus)]
        # Slot k is on GPU k modulo their number; free ones, and since when they are.
        self.free = dict.fromkeys(range(scenario.gpus * scenario.share), 0.0)
        self.told: list[tuple[int, bool]] = []
        self.bell = self.env.event()

    def run(self) -> Outcome:
        self.env.process(self._run())
        self.env.run()
        for since in self.free.values():
            self.outcome.lost["tail"] += self.outcome.makespan - since
        return self.outcome

    def _fate(self, index: int) -> float:
        """Seconds of work after which a trial fails."""
        draws = self.draws[index]
        fails, at = draws.random() < self.scenario.fails, draws.random()
        return at * sum(self.trials[index].stages.values()) if fails else float("inf")

    def _run(self) -> Iterator[Any]:
        """The process that the user started; see :class:`bench.execution.dispatch.Dispatch`."""
        self._begin()
        while len(self.outcome.ended) < len(self.trials):
            if not self.told:
                yield self.bell
            yield self.env.timeout(self.poll)
            told, self.told, self.bell = self.told, [], self.env.event()
            for index, over in told:
                if not over:
                    heapq.heappush(self.waiting, index)
            self._begin()
            for index, over in told:
                if over:
                    self.outcome.ended.append((self.env.now, self.trials[index].label))
                    if self.env.now >= self.due:
                        yield self.env.process(self._write())
        yield self.env.process(self._write())
        self.outcome.makespan = self.env.now

    def _write(self) -> Iterator[Any]:
        took = self.tables(len(self.outcome.ended))
        yield self.env.timeout(took)
        self.due = self.env.now + self.rest * took

    def _begin(self) -> None:
        """Give free slots the first trials that wait."""
        for slot in sorted(self.free):
            if not self.waiting:
                return
            self.outcome.lost["run"] += self.env.now - self.free.pop(slot)
            self.env.process(self._trial(heapq.heappop(self.waiting), slot))

    def _trial(self, index: int, slot: int) -> Iterator[Any]:
        """A worker process: from its start to its end, or to the moment its GPU is taken away."""
        rate, lost = self.scenario.preempted / 3600, self.outcome.lost
        # As long as the machine is left to it.
        clock = self.draws[index].expovariate(rate) if rate else float("inf")
        spent = min(self.trials[index].start, clock)
        yield self.env.timeout(spent)
        lost["start"] += spent
        clock -= spent
        for stage in STAGES:
            if clock <= 0 or self.end[index] <= 0:
                break
            if stage == "time":
                since = self.env.now
                with self.timing[slot % self.scenario.gpus].request() as alone:
                    yield alone
                    lost["timing"] += self.env.now - since
                    spent = yield from self._work(index, stage, clock)
            else:
                spent = yield from self._work(index, stage, clock)
            clock -= spent
        self._tell(index, slot)

    def _work(self, index: int, stage: str, clock: float) -> Generator[Any, Any, float]:
        """Work on a stage until it is done, the trial fails or time is up; gives the seconds."""
        left = self.left[index]
        spent = min(left[stage], clock, self.end[index])
        yield self.env.timeout(spent)
        self.end[index] -= spent
        again = 0.0
        if spent < left[stage] and self.end[index] > 0:  # taken away in the middle
            kept = self.draws[index].uniform(0, CHECKPOINT_SECONDS) if stage in KEPT else spent
            again = min(spent, kept)
        left[stage] -= spent - again
        self.done[index] += spent - again
        self.outcome.lost["again"] += again
        return spent

    def _tell(self, index: int, slot: int) -> None:
        """Say that a worker process has ended, and put down what its work was good for."""
        failed, over = self.end[index] <= 0, not any(self.left[index].values())
        if failed:
            self.outcome.failures += 1
            self.outcome.lost["failed"] += self.done[index]
        elif over:
            self.outcome.work += self.done[index]
        else:
            self.outcome.preemptions += 1
        self.free[slot] = self.env.now
        self.told.append((index, failed or over))
        if not self.bell.triggered:
            self.bell.succeed()
