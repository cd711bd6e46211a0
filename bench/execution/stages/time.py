"""The time stage: latency and throughput that can be believed.

Warm-up first, the device synchronised around every call, batch sizes and directions
interleaved in rounds, medians with their interquartile range, and a check that what was
timed is what was scored.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from bench.api import Direction, Event, Measurement
from bench.code import SHARED, code_hash
from bench.data.images import load_tensor, read_image, to_float, to_uint8
from bench.devices import (
    describe_device,
    device_id,
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
    from bench.api import Method
    from bench.execution.stages.fit import Fitted
    from bench.execution.stages.translate import Translated
    from bench.execution.workspace import Workspace

ROUNDS = 10
SECONDS_PER_DIRECTION = 8.0
"""Rounds stop early, but not before the third, once this time is spent."""

MIN_ROUNDS = 3
_WARM_SECONDS = {"cpu": 0.0, "cuda": 1.0}
"""Before the first round, after two calls: a GPU raises its clocks only when it has work."""
_LATENCY_CALLS = {"cpu": 1, "cuda": 10}
"""Of one image in a round: milliseconds each on a GPU, whose spread shows in many of them."""
_LEVELS = 1
"""Timed and scored pixels may differ by this much: another batch sums in another order."""


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
        The highest memory while it translated to be timed.
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
        ways = [
            (direction, kept["directions"][direction.key]) for direction in workspace.directions
        ]
        return Timed(
            {way: [Timing(**row) for row in rows["timings"]] for way, rows in ways},
            {way: [Measurement(**row) for row in rows["measurements"]] for way, rows in ways},
            kept["peak_memory_mb"],
            cached=True,
        )
    timings, measurements, peaks = {}, {}, []
    fitted.method()  # what loading takes is not what translating takes
    for direction in workspace.directions:
        reset_peak_memory(workspace.ctx.device)
        with _alone(workspace):
            timings[direction] = _time(workspace, fitted, direction)
        peaks.append(peak_memory_mb(workspace.ctx.device))
        measurements[direction] = _summaries(timings[direction], peaks[-1])
    timed = Timed(timings, measurements, max(peaks))
    with workspace.cache.put("time", mine) as building:
        directions = {
            way.key: {
                "timings": [asdict(one) for one in timings[way]],
                "measurements": [asdict(one) for one in measurements[way]],
            }
            for way in workspace.directions
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


def _call(
    workspace: Workspace,
    method: Method,
    images: torch.Tensor,
    direction: Direction,
    seeds: torch.Tensor,
) -> tuple[float, torch.Tensor]:
    """One timed translation: seconds, and its output."""
    synchronize(workspace.ctx.device)
    begun = time.perf_counter()
    out = translate_padded(
        method, workspace.spec.multiple_of, images, direction, samples=1, seeds=seeds
    )
    synchronize(workspace.ctx.device)
    return time.perf_counter() - begun, out


def _matches(
    workspace: Workspace, direction: Direction, ids: Sequence[str], out: torch.Tensor
) -> bool:
    folder = workspace.outputs(direction)
    for input_id, sample in zip(ids, to_uint8(out[:, 0]), strict=True):
        scored = read_image(folder / input_id / "0.png").astype(int)
        timed = sample.permute(1, 2, 0).cpu().numpy().astype(int)
        if np.abs(scored - timed).max() > _LEVELS:
            return False
    return True


def _warm_up(workspace: Workspace, *call: Any) -> float:
    """Translate until the device is warm; gives the seconds of the last call."""
    begun = time.perf_counter()
    for number in itertools.count(1):
        seconds, _ = _call(workspace, *call)
        warm = time.perf_counter() - begun >= _WARM_SECONDS[workspace.ctx.device.type]
        if number >= 2 and warm:  # the first also pays for what is set up once
            break
    return seconds


def _batches(single: float, largest: int) -> tuple[int, ...]:
    """Batch 1, and the largest that lets the least number of rounds end in time.

    Parameters
    ----------
    single
        Seconds that one image takes.
    largest
        No batch is larger.
    """
    affordable = int(SECONDS_PER_DIRECTION / (single * (MIN_ROUNDS + 1)))
    return tuple(sorted({1, max(1, min(largest, affordable))}))


def _time(workspace: Workspace, fitted: Fitted, direction: Direction) -> list[Timing]:
    job = workspace.job
    items = workspace.inputs(direction)
    largest = min(len(items), translate.batch_size(job) * job.samples)
    pool = items[: max(ROUNDS, largest)]
    images = to_float(load_tensor(pool, job.size).to(workspace.ctx.device))
    seeds = workspace.seeds(pool, direction)[:, :1]
    timings = []
    with translate.ready(workspace, fitted, direction) as method:
        single = _warm_up(workspace, method, images[:1], direction, seeds[:1])
        batches = _batches(single, largest)
        calls = _LATENCY_CALLS[workspace.ctx.device.type]
        spent = 0.0
        for number in range(-1, ROUNDS):  # round -1 warms up
            for batch in (*batches[:1] * calls, *batches[1:]):
                # Another input each round: a hidden cache would show as a speed-up.
                first = 0 if batch > 1 else max(number, 0) % len(pool)
                chosen = slice(first, first + batch)
                seconds, out = _call(workspace, method, images[chosen], direction, seeds[chosen])
                spent += seconds
                if number < 0:
                    ids = [item.id for item in pool[chosen]]
                    if not _matches(workspace, direction, ids, out):
                        message = f"{direction.name}: timed outputs differ from the scored ones"
                        workspace.emit(Event("warning", "time", message))
                    continue
                mode: Literal["latency", "throughput"] = "latency" if batch == 1 else "throughput"
                timings.append(Timing(mode, batch, number, seconds, images=batch))
            workspace.emit(Event("progress", "time", direction.name, number + 1, ROUNDS, "rounds"))
            if number + 1 >= MIN_ROUNDS and spent > SECONDS_PER_DIRECTION:
                break
    return timings


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
