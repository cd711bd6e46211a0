"""The time stage: latency and throughput that can be believed.

Warm-up first, the device synchronised around every call, batch sizes and directions
interleaved in rounds, medians with their interquartile range, and a check that what was
timed is what was scored. On a GPU throughput is that of the best batch, which is searched for;
what is scored keeps its own.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from bench.api import Direction, Event, Measurement
from bench.code import SHARED, code_hash
from bench.data.images import load_tensor, read_image, to_float, to_uint8
from bench.devices import (
    describe_device,
    device_id,
    is_out_of_memory,
    memory_mb,
    peak_memory_mb,
    reset_peak_memory,
    synchronize,
)
from bench.execution.stages import translate
from bench.nn.padding import translate_padded
from bench.storage.cache import key_of
from bench.storage.files import write_json
from bench.storage.locks import locked

if TYPE_CHECKING:
    from bench.api import Method, Precision
    from bench.execution.stages.fit import Fitted
    from bench.execution.stages.translate import Translated
    from bench.execution.workspace import Workspace

ROUNDS, MIN_ROUNDS = 10, 3


@dataclass(frozen=True)
class Pace:
    """How a kind of device is timed.

    Parameters
    ----------
    warm
        Seconds of work before the first round, after two calls.
    calls
        Of one image, in a round.
    seconds
        For one direction: rounds stop early, but not before the third, once they are spent.
    patience
        No batch takes more seconds.
    searched
        Whether the batch for throughput is searched for.
    """

    warm: float
    calls: int
    seconds: float
    patience: float
    searched: bool


PACES = {
    "cpu": Pace(warm=0.0, calls=1, seconds=5.0, patience=2.0, searched=False),
    # Clocks rise only with work, a call takes milliseconds, and its spread shows in many.
    "cuda": Pace(warm=1.0, calls=10, seconds=60.0, patience=10.0, searched=True),
}
SHARE, MOST = 0.5, 512
"""No batch takes more of the memory, or has more images."""
_GAIN = 1.02
"""A batch is better when it gives so many times the images a second."""
_LEVELS: Mapping[Precision, int] = {"fp32": 1, "tf32": 2, "bf16": 16}
"""Timed and scored pixels may differ by this much: another batch sums in another order, and the
roundings of a whole network lie between."""


@dataclass(frozen=True)
class Timing:
    """One timed call: `images` at once took `seconds`."""

    mode: Literal["latency", "throughput"]
    batch: int
    round: int
    seconds: float
    images: int


@dataclass(frozen=True)
class Timed:
    """What timing gives; nothing where pictures were made elsewhere.

    Parameters
    ----------
    timings, measurements
        By direction, in the order of ``Workspace.directions``.
    peak_memory_mb
        The highest memory while it translated in the batches that are scored.
    cached
        Whether all of it was taken from the cache.
    """

    timings: Mapping[Direction, Sequence[Timing]] = field(default_factory=dict)
    measurements: Mapping[Direction, Sequence[Measurement]] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    cached: bool = False


def key(workspace: Workspace, translated: Translated) -> str:
    """Return what the speed of a trial hangs on."""
    return key_of(
        stage="time",
        translate=list(translated.keys),
        code=code_hash(__name__, follow=(*SHARED, "bench.devices")),
        hardware=describe_device(workspace.ctx.device),
    )


def run(workspace: Workspace, fitted: Fitted, translated: Translated) -> Timed:
    """Time the fitted method in all its directions."""
    if workspace.spec.precomputed:
        return Timed()  # whoever made the pictures knows
    mine = key(workspace, translated)
    entry = workspace.cache.get("time", mine)
    if entry is not None:
        kept = json.loads((entry / "time.json").read_text("utf-8"))
        # Kept by key: the names of the domains may be others than they were.
        rows_of = [
            (direction, kept["directions"][direction.key]) for direction in workspace.directions
        ]
        return Timed(
            {direction: [Timing(**row) for row in rows["timings"]] for direction, rows in rows_of},
            {
                direction: [Measurement(**row) for row in rows["measurements"]]
                for direction, rows in rows_of
            },
            kept["peak_memory_mb"],
            cached=True,
        )
    timings, measurements, peaks = {}, {}, []
    fitted.method()  # what loading takes is not what translating takes
    for direction in workspace.directions:
        with _alone(workspace):
            timings[direction], peak = _time(workspace, fitted, direction)
        peaks.append(peak)
        measurements[direction] = _summaries(timings[direction], peak)
    timed = Timed(timings, measurements, max(peaks))
    with workspace.cache.put("time", mine) as building:
        directions = {
            direction.key: {
                "timings": [asdict(one) for one in timings[direction]],
                "measurements": [asdict(one) for one in measurements[direction]],
            }
            for direction in workspace.directions
        }
        kept = {"directions": directions, "peak_memory_mb": timed.peak_memory_mb}
        write_json(building / "time.json", kept)
    return timed


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """While timing, no other trial is timed on the same GPU, whichever run it is of."""
    device = workspace.ctx.device
    if device.type == "cpu":  # what else runs there nobody can know
        yield
    else:
        with locked(workspace.cache.root / "timing" / device_id(device)):
            yield


class _Caller:
    """Translates images of one direction, and takes the time.

    Parameters
    ----------
    method
        What is timed.
    pool
        How many different images there are; larger batches repeat them.
    """

    def __init__(
        self, workspace: Workspace, method: Method, direction: Direction, pool: int
    ) -> None:
        self.workspace, self.method, self.direction = workspace, method, direction
        self.items = workspace.inputs(direction)[:pool]
        self.images = to_float(load_tensor(self.items, workspace.job.size).to(self.device))
        self.seeds = workspace.seeds(self.items, direction)[:, :1]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.workspace.ctx.device

    def __call__(self, batch: int, first: int = 0, *, check: bool = False) -> float:
        """Return the seconds that `batch` images from `first` on take; look at them if asked."""
        chosen = torch.arange(first, first + batch) % len(self.items)
        images, seeds = self.images[chosen.to(self.device)], self.seeds[chosen]
        synchronize(self.device)
        begun = time.perf_counter()
        out = translate_padded(
            self.method,
            self.workspace.spec.multiple_of,
            images,
            self.direction,
            samples=1,
            seeds=seeds,
        )
        synchronize(self.device)
        seconds = time.perf_counter() - begun
        if check and not self._matches(out[: len(self.items)]):
            message = f"{self.direction.name}: timed outputs differ from the scored ones"
            self.workspace.emit(Event("warning", "time", message))
        return seconds

    def _matches(self, out: torch.Tensor) -> bool:
        """Whether outputs of the first items are those that were scored."""
        folder = self.workspace.outputs(self.direction)
        timed = to_uint8(out[:, 0]).permute(0, 2, 3, 1).cpu().numpy().astype(int)
        levels = _LEVELS[self.workspace.ctx.precision]
        scored = (read_image(folder / item.id / "0.png").astype(int) for item in self.items)
        pairs = zip(timed, scored, strict=False)  # fewer outputs than items
        return all(np.abs(one - other).max() <= levels for one, other in pairs)

    def warm_up(self, least: float) -> float:
        """Translate for so many seconds; gives those of the last call."""
        begun = time.perf_counter()
        for number in itertools.count(1):
            seconds = self(1)
            if number >= 2 and time.perf_counter() - begun >= least:
                break  # the first also pays for what is set up once
        return seconds

    def with_peak(self, batch: int) -> tuple[float, float]:
        """Return the seconds of a batch that has been met before, and its share of the memory."""
        reset_peak_memory(self.device)
        self(batch)
        return self(batch), peak_memory_mb(self.device) / memory_mb(self.device)


def best_batch(call: Callable[[int], tuple[float, float]], patience: float) -> int:
    """Return the batch of 1, 2, 4, … that gives the most images a second.

    Larger ones are tried until memory or patience would end, or two in a row were no better.

    Parameters
    ----------
    call
        From a batch to the seconds it takes, and its share of the memory.
    patience
        The most seconds that a batch may take.
    """
    best, rate, batch, worse = 1, 0.0, 1, 0
    while batch <= MOST and worse < 2:
        try:
            seconds, share = call(batch)
        except (RuntimeError, MemoryError) as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
            break
        if batch / seconds > _GAIN * rate:
            best, rate, worse = batch, batch / seconds, 0
        else:
            worse += 1
        if 2 * share > SHARE or 2 * seconds > patience:
            break
        batch *= 2
    return best


def _time(workspace: Workspace, fitted: Fitted, direction: Direction) -> tuple[list[Timing], float]:
    """Return the timings of a direction, and the peak memory in MB of the scored batches."""
    job, pace = workspace.job, PACES[workspace.ctx.device.type]
    largest = min(len(workspace.inputs(direction)), translate.batch_size(job) * job.samples)
    timings = []
    with translate.ready(workspace, fitted, direction) as method:
        call = _Caller(workspace, method, direction, max(ROUNDS * pace.calls, largest))
        reset_peak_memory(call.device)
        affordable = int(pace.patience / call.warm_up(pace.warm))
        batches = sorted({1, max(1, min(largest, affordable))})
        for batch in batches:
            call(batch, check=True)
        peak = peak_memory_mb(call.device)
        if pace.searched:
            batches = sorted({1, best_batch(call.with_peak, pace.patience)})
            call(batches[-1], check=True)
        spent = 0.0
        for number in range(ROUNDS):
            for turn, batch in enumerate((*batches[:1] * pace.calls, *batches[1:])):
                # Another input each time: a hidden cache would show as a speed-up.
                first = 0 if batch > 1 else number * pace.calls + turn
                seconds = call(batch, first)
                spent += seconds
                mode: Literal["latency", "throughput"] = "latency" if batch == 1 else "throughput"
                timings.append(Timing(mode, batch, number, seconds, images=batch))
            workspace.emit(Event("progress", "time", direction.name, number + 1, ROUNDS, "rounds"))
            if number + 1 >= MIN_ROUNDS and spent > pace.seconds:
                break
    return timings, peak


def _summaries(timings: Sequence[Timing], memory: float) -> list[Measurement]:
    """Latency, throughput and memory of one direction."""
    single = [one.seconds for one in timings if one.batch == 1]
    largest = max(one.batch for one in timings)
    rates = [one.images / one.seconds for one in timings if one.batch == largest]
    return [
        _summary("latency", "s", False, single),
        _summary("throughput", "images/s", True, rates),
        Measurement("peak_memory", "resource", memory, "MB", higher_is_better=False, n=1),
    ]


def _summary(metric: str, unit: str, higher: bool, values: Sequence[float]) -> Measurement:
    low, middle, high = np.percentile(values, [25, 50, 75]).tolist()
    return Measurement(
        metric,
        "throughput",
        middle,
        unit,
        higher_is_better=higher,
        n=len(values),
        low=low,
        high=high,
        interval="interquartile range of rounds",
    )
