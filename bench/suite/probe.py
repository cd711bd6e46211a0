"""How fast a device computes, found out in seconds: rates that bound what counted work will take.

Three things cost time: arithmetic, memory that is read and written, and operators that are started.
Of each a good and a bad case is measured. Work takes no less than the dearest of the three in the
good case, and about as much as all three together in the bad one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from bench.devices import synchronize
from bench.nn.precision import float32
from bench.suite.counting import Work
from bench.suite.estimate import Range

_SECONDS = 0.3
"""Each case is tried for so long, at least."""
_ROUNDS = 5


@dataclass(frozen=True)
class Rates:
    """Rates of a device, each from a bad case to a good one.

    Parameters
    ----------
    flops, bytes, operators
        A second.
    """

    flops: Range
    bytes: Range
    operators: Range

    def seconds(self, work: Work) -> Range:
        """Return how long work will take."""
        good = (
            work.flops / self.flops.high,
            work.bytes / self.bytes.high,
            work.operators / self.operators.high,
        )
        bad = (
            work.flops / self.flops.low,
            work.bytes / self.bytes.low,
            work.operators / self.operators.low,
        )
        return Range(max(good), sum(bad))


def probe(device: torch.device, precision: str) -> Rates:
    """Measure a device; it takes a few seconds.

    Parameters
    ----------
    precision
        ``fp32``, ``tf32`` or ``bf16``.
    """
    kind = torch.bfloat16 if precision == "bf16" else torch.float32

    def convolution(channels: int, side: int) -> tuple[Callable[[], object], float]:
        x = torch.ones(1, channels, side, side, device=device, dtype=kind, requires_grad=True)
        kernel = torch.ones(channels, channels, 3, 3, device=device, dtype=kind, requires_grad=True)
        flops = 3 * 2.0 * channels**2 * 9 * side**2  # forward, and both gradients
        return lambda: torch.autograd.backward(F.conv2d(x, kernel, padding=1).sum()), flops

    def addition(count: int) -> tuple[Callable[[], object], float]:
        x, y = torch.ones(2, count, device=device)
        return lambda: torch.add(x, y, out=x), 12.0 * count

    def starts(*, graded: bool) -> tuple[Callable[[], object], float]:
        x = torch.ones(1, device=device, requires_grad=graded)

        def run() -> None:
            y = x
            for _ in range(100):
                y = y + 1
            if graded:
                torch.autograd.backward(y)

        return run, 200.0 if graded else 100.0

    small, large = (24, 256) if device.type == "cpu" else (64, 512)
    with float32("tf32" if precision == "tf32" else "fp32"):
        flops = _between(device, convolution(small, 32), convolution(large, 32))
    return Rates(
        flops,
        _between(device, addition(1 << 25), addition(1 << 16 if device.type == "cpu" else 1 << 22)),
        _between(device, starts(graded=True), starts(graded=False)),
    )


def _between(device: torch.device, *cases: tuple[Callable[[], object], float]) -> Range:
    """The lowest and the highest rate of several cases, each a call and what it does."""
    rates = [rate for run, done in cases for rate in _rates(device, run, done)]
    return Range(min(rates), max(rates))


def _rates(device: torch.device, run: Callable[[], object], done: float) -> list[float]:
    """A low and a high rate: quartiles over rounds, so that one interruption decides nothing."""
    run()
    synchronize(device)
    begun = time.perf_counter()
    run()
    synchronize(device)
    calls = max(1, round(_SECONDS / _ROUNDS / max(time.perf_counter() - begun, 1e-9)))
    rates = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        for _ in range(calls):
            run()
        synchronize(device)
        rates.append(calls * done / (time.perf_counter() - begun))
    low, _, high = statistics.quantiles(rates, n=4)
    return [low, high]
