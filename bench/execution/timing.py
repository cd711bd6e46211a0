"""The time stage: latency and throughput that can be believed.

Warm-up first, the device synchronised around every call, batch sizes and directions
interleaved in rounds, medians with their interquartile range, and a check that what was
timed is what was scored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.api import Event
from bench.data.images import load_tensor, read_image, to_float, to_uint8
from bench.devices import peak_memory_mb, synchronize
from bench.translator import translate_padded

if TYPE_CHECKING:
    from bench.api import Direction, Method
    from bench.execution.trial import Trial

ROUNDS = 10
SECONDS_PER_DIRECTION = 8.0
"""Rounds stop early, but not before the third, once this time is spent."""

MIN_ROUNDS = 3
_LEVELS = 1
"""Timed and scored pixels may differ by this much: another batch sums in another order."""


def _call(
    trial: Trial, method: Method, images: torch.Tensor, direction: Direction, seeds: torch.Tensor
) -> tuple[float, torch.Tensor]:
    """One timed translation: seconds, and its output."""
    synchronize(trial.ctx.device)
    begun = time.perf_counter()
    out = translate_padded(
        method, trial.spec.multiple_of, images, direction, samples=1, seeds=seeds
    )
    synchronize(trial.ctx.device)
    return time.perf_counter() - begun, out


def _matches(trial: Trial, direction: Direction, ids: list[str], out: torch.Tensor) -> bool:
    for input_id, sample in zip(ids, to_uint8(out[:, 0]), strict=True):
        scored = read_image(trial.images_folder(direction) / input_id / "0.png").astype(int)
        timed = sample.permute(1, 2, 0).cpu().numpy().astype(int)
        if np.abs(scored - timed).max() > _LEVELS:
            return False
    return True


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


def _time_direction(trial: Trial, direction: Direction) -> list[dict[str, Any]]:
    items = trial.inputs(direction)
    largest = min(len(items), trial.batch_size * trial.job.samples)
    pool = items[: max(ROUNDS, largest)]
    images = to_float(load_tensor(pool, trial.job.size).to(trial.ctx.device))
    seeds = trial.seeds(pool, direction)[:, :1]
    rows = []
    with trial.ready_for(direction) as method:
        for _ in range(2):  # the first call also pays for what is set up once
            single, _out = _call(trial, method, images[:1], direction, seeds[:1])
        batches = _batches(single, largest)
        spent = 0.0
        for number in range(-1, ROUNDS):  # round -1 warms up
            for batch in batches:
                # Another input each round: a hidden cache would show as a speed-up.
                first = 0 if batch > 1 else max(number, 0) % len(pool)
                chosen = slice(first, first + batch)
                seconds, out = _call(trial, method, images[chosen], direction, seeds[chosen])
                spent += seconds
                if number < 0:
                    ids = [item.id for item in pool[chosen]]
                    if not _matches(trial, direction, ids, out):
                        message = f"{direction.name}: timed outputs differ from the scored ones"
                        trial.emit(Event("warning", "time", message))
                    continue
                rows.append(
                    {
                        "direction": direction.name,
                        "mode": "latency" if batch == 1 else "throughput",
                        "batch": batch,
                        "round": number,
                        "seconds": seconds,
                        "images": batch,
                    }
                )
            trial.emit(Event("progress", "time", direction.name, number + 1, ROUNDS, "rounds"))
            if number + 1 >= MIN_ROUNDS and spent > SECONDS_PER_DIRECTION:
                break
    return rows


def _summary(
    direction: str, metric: str, unit: str, higher: bool, values: list[float]
) -> dict[str, Any]:
    low, middle, high = np.percentile(values, [25, 50, 75]).tolist()
    return {
        "direction": direction,
        "metric": metric,
        "kind": "throughput",
        "value": middle,
        "unit": unit,
        "higher_is_better": higher,
        "n": len(values),
        "low": low,
        "high": high,
        "interval": "interquartile range of rounds",
        "extractor": None,
        "subset": "all",
    }


def time_method(trial: Trial) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Time a fitted method in all its directions.

    Returns
    -------
    timings, measurements
        Rows of the two tables, each with its ``direction``.
    """
    timings: list[dict[str, Any]] = []
    measurements: list[dict[str, Any]] = []
    for direction in trial.directions:
        rows = _time_direction(trial, direction)
        timings += rows
        single = [row["seconds"] for row in rows if row["batch"] == 1]
        largest = max(row["batch"] for row in rows)
        rates = [row["images"] / row["seconds"] for row in rows if row["batch"] == largest]
        memory = _summary(
            direction.name, "peak_memory", "MB", False, [peak_memory_mb(trial.ctx.device)]
        )
        measurements += [
            _summary(direction.name, "latency", "s", False, single),
            _summary(direction.name, "throughput", "images/s", True, rates),
            memory | {"kind": "resource", "low": None, "high": None, "interval": None},
        ]
    return timings, measurements
