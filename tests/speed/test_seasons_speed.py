"""How fast Seasons renders: images a minute on the cores there are.

``pytest -s tests/speed/test_seasons_speed.py --benchmark-enable`` prints the rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_seasons import factory
from bench_seasons.config import SeasonsConfig
from bench_seasons.look import MODES
from bench_seasons.render import looks_of, render


@pytest.mark.parametrize("size", [64, 128, 256])
def test_one_picture(benchmark: Any, size: int) -> None:
    looks = looks_of("winter", 0, 3)[:1]
    pixels = benchmark(render, 0, 3, looks, size)
    assert pixels.shape == (1, size, size, 3)


@pytest.mark.slow
def test_dataset(benchmark: Any, tmp_path: Path) -> None:
    """Training pictures at 128², as a user waits for them: a process on every core.

    Without ``--benchmark-enable`` a few, to see that the processes fill every row.
    """
    count = 500 if benchmark.enabled else 60
    config = SeasonsConfig(size=128, train=count, test=1)

    def fill() -> list[str]:
        return factory.render_all(tmp_path, config, lambda line: None)

    names = benchmark.pedantic(fill, rounds=1, warmup_rounds=0)
    for name in names:
        rows = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        assert rows.reshape(len(rows), -1).std(1).min() > 1, f"{name} has an empty picture"
    if benchmark.enabled:
        rate = 60 * (2 * count + 2 * (1 + len(MODES))) / benchmark.stats.stats.mean
        benchmark.extra_info["images_per_minute"] = round(rate)
        print(f"\n  {rate:,.0f} images of 128² a minute")
