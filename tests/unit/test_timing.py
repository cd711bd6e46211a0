"""The time stage: what is timed, how often, and in what batches."""

from __future__ import annotations

import dataclasses
from time import monotonic
from typing import Any

import numpy as np
import pytest
import torch

from bench.execution.stages import time
from tests.trials import Bench, bench, keep, use

__all__ = ["bench"]


def test_timed_outputs_that_differ_are_noted(bench: Bench) -> None:
    calls = []

    def drifts(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        calls.append(1)
        return keep(images * (1.0 if len(calls) < 3 else 0.5), **rest)

    use(bench, drifts)
    bench.run(method="negative")
    assert any("timed outputs differ from the scored ones" in text for text in bench.warnings())


def test_timing_rows_say_what_was_timed(bench: Bench) -> None:
    result = bench.run(method="negative")
    modes = {(row["mode"], row["batch"]) for row in result.timings}
    assert modes == {("latency", 1), ("throughput", 3)}
    assert all(row["seconds"] > 0 for row in result.timings)
    assert {row["round"] for row in result.timings} == set(range(10))
    found = {row["metric"]: row for row in result.measurements if row["direction"] == "a2b"}
    latency = [r["seconds"] for r in result.timings if r["batch"] == 1 and r["direction"] == "a2b"]
    assert found["latency"]["value"] == pytest.approx(np.median(latency))
    assert found["latency"]["low"] <= found["latency"]["value"] <= found["latency"]["high"]
    assert found["latency"]["n"] == 10 and found["peak_memory"]["value"] > 0


def test_a_gpu_is_warmed_up_and_called_often(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = time.PACES["cuda"]
    assert gpu.calls * time.ROUNDS >= 100 and gpu.warm >= 1 and gpu.searched
    monkeypatch.setitem(time.PACES, "cpu", dataclasses.replace(gpu, warm=0.3, searched=False))
    calls: list[float] = []

    def counted(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        calls.append(monotonic())
        return keep(images, **rest)

    use(bench, counted)
    result = bench.run(method="negative")
    single = [r for r in result.timings if r["batch"] == 1 and r["direction"] == "a2b"]
    assert len(single) == 100 and {row["round"] for row in single} == set(range(10))
    assert len(calls) > 200 and calls[-1] - calls[0] > 0.6


def test_a_gpu_is_timed_in_its_best_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is scored keeps its batches; more images than there are inputs are repeated."""
    pace = dataclasses.replace(time.PACES["cpu"], searched=True)
    monkeypatch.setitem(time.PACES, "cpu", pace)
    monkeypatch.setattr(time, "best_batch", lambda call, patience: (call(2), 8)[1])
    seen: list[int] = []

    def counted(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        seen.append(len(images))
        return keep(images, **rest)

    use(bench, counted)
    result = bench.run(method="negative")
    assert seen[:2] == [3, 3]  # both directions, to be scored
    assert {row["batch"] for row in result.timings} == {1, 8}
    assert {row["images"] for row in result.timings if row["mode"] == "throughput"} == {8}
    peaks = [row["value"] for row in result.measurements if row["metric"] == "peak_memory"]
    assert max(peaks) == result.facts["peak_memory_mb"]
    assert bench.warnings() == []


@pytest.mark.parametrize(
    ("fixed", "each", "most", "share", "best"),
    [
        (1.0, 0.001, 512, 0.0, 512),  # starting costs: the more at once the better
        (0.0, 0.1, 512, 0.0, 1),  # nothing is gained by a second one
        (0.1, 0.1, 512, 0.0, 32),  # more would take too long
        (1.0, 0.001, 512, 0.1, 4),  # or too much memory
        (1.0, 0.001, 10, 0.0, 8),  # or there is not enough
    ],
)
def test_the_best_batch(fixed: float, each: float, most: int, share: float, best: int) -> None:
    tried = []

    def call(batch: int) -> tuple[float, float]:
        tried.append(batch)
        if batch > most:
            raise torch.OutOfMemoryError
        return fixed + each * batch, share * batch

    assert time.best_batch(call, 4.0) == best
    assert tried == [2**n for n in range(len(tried))]
    assert tried[-1] <= 4 * best


def test_other_errors_end_the_search() -> None:
    def call(batch: int) -> tuple[float, float]:
        if batch > 1:
            raise RuntimeError("shapes do not match")
        return 1.0, 0.0

    with pytest.raises(RuntimeError, match="shapes"):
        time.best_batch(call, 4.0)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize(("precision", "levels"), [("fp32", 1), ("bf16", 16)])
def test_bf16_may_round_otherwise_in_another_batch(
    bench: Bench, precision: str, levels: int, more: int
) -> None:
    calls: list[int] = []

    def drifts(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        calls.append(1)
        # Away from the nearer end of the scale: no picture is clamped.
        step = (levels + more) / 255 if len(calls) > 2 else 0.0
        return keep(torch.where(images > 0.5, images - step, images + step), **rest)

    use(bench, drifts)
    bench.run(method="negative", precision=precision)
    assert bool(bench.warnings()) == bool(more)
