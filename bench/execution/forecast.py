"""What a whole study will cost before anything of it has run.

A stage that was measured on this machine takes as long as it took; of any other its operations are
counted, and a probe of the device says between which bounds they will take.
"""

from __future__ import annotations

import heapq
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from bench.api import BenchError, Budget, Domain, Split
from bench.execution.stages.time import MIN_ROUNDS, PACES, ROUNDS, Pace
from bench.execution.stages.translate import batch_size
from bench.metrics.networks import Chosen, choose
from bench.plugins import Registry
from bench.storage.jobs import Job
from bench.suite.counting import Counted, Work, count_method, count_network, kept
from bench.suite.estimate import STAGES, Range, is_fitted, measured
from bench.suite.plan import Plan
from bench.suite.probe import Rates, probe
from bench.suite.schema import Prices

SPLITS: tuple[Split, ...] = ("train", "test")
DOMAINS: tuple[Domain, ...] = ("a", "b")
START = "start"
"""Not a stage: a worker process begins, and reads what it needs."""
_PNG = Range(0.5, 3.0)
"""Bytes that a pixel takes: a smooth picture well compressed, and noise."""
_CHECKPOINT = Range(1.0, 8.0)
"""Times the weights that a trained method leaves: these alone, and with its discriminators
and the two moments of Adam."""


@dataclass(frozen=True)
class Forecast:
    """What one trial will cost.

    Parameters
    ----------
    stages
        Seconds of each stage, and of starting the worker.
    counted
        The stages whose time was counted, not measured.
    disk
        Bytes.
    unknown
        Why nothing can be said of it; empty: something can.
    """

    stages: Mapping[str, Range] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    disk: Range = field(default_factory=Range)
    unknown: str = ""

    @property
    def seconds(self) -> Range:
        """All of it."""
        return sum(self.stages.values(), Range())

    @property
    def source(self) -> str:
        """Where it comes from, in a word or two."""
        measured = {stage for stage in STAGES if self.stages.get(stage, Range()).high}
        names = ["measured"] * bool(measured - self.counted) + ["counted"] * bool(self.counted)
        return self.unknown or " and ".join(names) or "nothing to do"


@dataclass(frozen=True)
class Study:
    """What all trials of a plan will cost together.

    Parameters
    ----------
    trials
        By id; skipped ones are not among them.
    workers
        How many run at once.
    gpu
        Whether they compute on one GPU each.
    rates
        What the probe found; None: nothing had to be counted.
    """

    trials: Mapping[str, Forecast]
    workers: int
    gpu: bool
    rates: Rates | None

    @property
    def known(self) -> list[Forecast]:
        """Those of which something can be said."""
        return [one for one in self.trials.values() if not one.unknown]

    @property
    def stages(self) -> dict[str, Range]:
        """Seconds of each stage over all trials."""
        return {
            name: sum((one.stages.get(name, Range()) for one in self.known), Range())
            for name in (START, *STAGES)
        }

    @property
    def dominant(self) -> str:
        """The stage that takes most of the time."""
        return max(self.stages, key=lambda name: self.stages[name].middle)

    @property
    def work(self) -> Range:
        """Seconds of all trials, one after the other."""
        return sum(self.stages.values(), Range())

    @property
    def elapsed(self) -> Range:
        """Seconds from the first trial's start to the last one's end, `workers` at a time."""
        lows, highs = zip(*((t.seconds.low, t.seconds.high) for t in self.known), strict=True)
        return Range(_makespan(lows, self.workers), _makespan(highs, self.workers))

    @property
    def disk(self) -> Range:
        """Bytes of the run folder and of what the cache holds besides."""
        return sum((one.disk for one in self.known), Range())

    def cost(self, prices: Prices) -> Range:
        """Return what it costs, its disk for a month included.

        Raises
        ------
        BenchError
            When the price of what it computes on is not known.
        """
        needed = "gpu_hour" if self.gpu else "cpu_hour"
        hour: float | None = getattr(prices, needed)
        if hour is None:
            raise BenchError(f"--cost needs {needed} under [rates] in the suite file")
        return self.work * (hour / 3600) + self.disk * (prices.gb_month / 1e9)


def _makespan(durations: Sequence[float], workers: int) -> float:
    """When the last of some tasks ends that `workers` take in their order."""
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def _timing(one: float, pace: Pace, most: int) -> float:
    """Seconds that timing one direction takes where an output takes `one`.

    Rounds of single pictures and of a batch of at most so many, until they or their time are spent;
    and before them what warms up and what is checked.
    """
    batch = max(1, min(most, int(pace.patience / max(one, 1e-9))))
    turn = one * (pace.calls + (batch if batch > 1 else 0))
    rounds = min(ROUNDS * turn, max(MIN_ROUNDS * turn, pace.seconds + turn))
    return rounds + pace.warm + one * (3 + batch)


def forecast(plan: Plan, registry: Registry, cache: Path, workers: int) -> Study:
    """Return what the trials of a plan will cost.

    What has to be counted takes seconds for each method the first time, and the probe some more.
    """
    teller = _Teller(registry, cache)
    jobs = [job for job in plan.jobs if not job.skip]
    trials = {job.trial: teller.tell(plan, job) for job in jobs}
    gpu = bool(jobs) and teller.device_of(jobs[0]) == "cuda"
    return Study(trials, workers, gpu, teller.probed)


def _counted_network(network: Chosen, size: int) -> Work:
    """What a picture costs in a network; nothing where it is too small for it."""
    try:
        return count_network(network, size)
    except Exception:  # whatever a network makes of it; the score stage will say it
        return Work()


class _Teller:
    """What is found out once for many trials."""

    def __init__(self, registry: Registry, cache: Path) -> None:
        self.registry, self.cache = registry, cache
        self._methods: dict[str, Counted | str] = {}
        self._networks: dict[tuple[str, int], Work] = {}
        self._seen: set[str] = set()
        self.probed: Rates | None = None
        """What the probe found, once something had to be counted."""

    def device_of(self, job: Job) -> str:
        """``cpu`` or ``cuda``; a cluster's GPU need not be here."""
        from bench.devices import choose_device

        named = job.device.partition(":")[0]
        return choose_device("auto").type if named == "auto" else named

    def rates(self, job: Job) -> Rates:
        """Return those of the device that trials compute on: one for all trials of a suite."""
        from bench.devices import choose_device

        if self.probed is None:
            self.probed = probe(choose_device(job.device), job.precision)
        return self.probed

    @cached_property
    def start(self) -> Range:
        """Seconds that a worker process takes to begin."""
        begun = time.perf_counter()
        program = "import bench.execution.worker, bench.execution.trial, torch"
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        return Range(seconds, seconds)

    def tell(self, plan: Plan, job: Job) -> Forecast:
        """Return the forecast of one trial."""
        data = plan.dataset_of(job)
        images, outputs = sum(data.inputs.values()), sum(data.inputs.values()) * job.samples
        known = measured(job, images, self.cache)
        points = 1 + len(job.score_at)  # each is translated and scored as the end is
        missing = [stage for stage in STAGES if stage not in known]
        trained = not is_fitted(job, self.cache)
        first = job.dataset_label not in self._seen
        self._seen.add(job.dataset_label)
        try:
            if missing:
                self.rates(job)  # a device that is not here says so before anything is counted
            made = self._counted(job, trains="fit" in missing) if missing or trained else Counted()
            ways: dict[str, Callable[[], Range]] = {
                "fit": partial(self._fit, job, made),
                "translate": lambda: self.rates(job).seconds(made.output * outputs),
                "score": partial(self._score, plan, job, outputs, first=first),
                "time": partial(self._time, plan, job, made),
            }
            stages = {stage: known[stage] if stage in known else ways[stage]() for stage in STAGES}
        except BenchError as error:
            return Forecast(unknown=f"unknown until it has run once here: {error}")
        for stage in ("translate", "score"):
            stages[stage] *= points
        pixels = 3.0 * job.size**2 * outputs if not job.given else 0.0
        disk = _PNG * (pixels / 3) + (_CHECKPOINT * made.weights if trained else Range())
        return Forecast({START: self.start, **stages}, frozenset(missing), disk)

    def _counted(self, job: Job, *, trains: bool) -> Counted:
        """What a method computes; raises `BenchError` where that cannot be counted."""
        spec = self.registry.method(job.method)
        if spec.precomputed:
            return Counted()
        parts = {
            "config": job.config,
            "size": job.size,
            "samples": min(job.samples, 2),
            "weights": job.pretrained,
            "trains": trains,
        }
        name = repr((job.method, sorted(parts.items())))
        if name not in self._methods:
            count = partial(count_method, job, spec, trains=trains)
            try:
                self._methods[name] = kept(self.cache, count, parts, spec.implementation)
            except Exception as error:  # whatever a plugin's code makes of it
                lines = str(error).strip().splitlines() or [""]
                self._methods[name] = f"{type(error).__name__}: {lines[0][:80]}"
        if isinstance(found := self._methods[name], str):
            raise BenchError(found)
        return found

    def _fit(self, job: Job, counted: Counted) -> Range:
        return self.rates(job).seconds(counted.step * (Budget.parse(job.budget).iterations or 0))

    def _time(self, plan: Plan, job: Job, counted: Counted) -> Range:
        inputs = plan.dataset_of(job).inputs
        one, pace = self.rates(job).seconds(counted.output), PACES[self.device_of(job)]
        most = min(max(inputs.values()), batch_size(job) * job.samples)
        ends = [_timing(seconds, pace, most) for seconds in (one.low, one.high)]
        return Range(min(ends), max(ends)) * len(inputs)

    def _score(self, plan: Plan, job: Job, outputs: int, *, first: bool) -> Range:
        """Each picture once through each network; real ones for the first trial of a dataset."""
        data = plan.dataset_of(job)
        real = sum(len(data.dataset.split(part, domain)) for part in SPLITS for domain in DOMAINS)
        pictures = outputs + (real if first else 0)
        work, asked = Work(), set()
        for spec in self.registry.measured(job.metrics):
            if not spec.extractors or (spec.side and not 2 * spec.side <= job.size):
                continue
            try:
                network = choose(
                    spec.extractors,
                    self.registry.extractors,
                    weights_dir=Path(job.weights_dir) if job.weights_dir else None,
                    offline=True,
                    options=job.extractors,
                )
            except BenchError:  # left out when the trial is scored, too
                continue
            seen = (network.name, spec.side)
            if seen not in self._networks:
                self._networks[seen] = _counted_network(network, job.size)
            if seen not in asked:
                asked.add(seen)
                work += self._networks[seen] * pictures
        return self.rates(job).seconds(work)
