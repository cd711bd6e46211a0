"""How fast Seasons renders: images a minute on the cores there are.

``pytest tests/speed/test_seasons_speed.py --benchmark-enable`` prints the rate.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bench_seasons.config import SeasonsConfig
from bench_seasons.dataset import Seasons
from bench_seasons.render import looks_of, render


@pytest.mark.parametrize("size", [64, 128, 256])
def test_one_picture(benchmark: Any, size: int) -> None:
    looks = looks_of("winter", 0, 3)[:1]
    pixels = benchmark(render, 0, 3, looks, size)
    assert pixels.shape == (1, size, size, 3)


def test_dataset(benchmark: Any, tmp_path: Path) -> None:
    """Training pictures at 128², with all cores, as a user waits for them."""
    count = 60
    rate = cost = 0.0
    # The kinds of tree and the mountains are made once a process, and would be half of it.
    render(0, 0, looks_of("winter", 0, 0)[:1], 128)

    def prepare() -> None:
        nonlocal rate, cost
        dataset = Seasons(
            SeasonsConfig(size=128, train=count, test=1, seed=int(time.time_ns() % 2**31))
        )
        begun, worked = time.perf_counter(), time.process_time()
        dataset.prepare(tmp_path, offline=True, progress=lambda line: None)
        rate = 60 * 2 * count / (time.perf_counter() - begun)
        cost = (time.process_time() - worked) / (2 * count)

    benchmark.pedantic(prepare, rounds=1, warmup_rounds=0)
    benchmark.extra_info["images_per_minute"] = round(rate)
    benchmark.extra_info["cpu_ms_per_image"] = round(1000 * cost)
    # Processor time, since others may have the cores; an idle machine takes a third of this.
    assert cost < 0.25
