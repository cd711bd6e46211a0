"""How cost grows: with images, samples, and what a page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.devices import peak_memory_mb, reset_peak_memory
from bench.metrics import kid
from bench.metrics.fid import fid, grams
from bench.metrics.networks import squared_distances
from bench_html.render import render
from tests import networks
from tests.factories import Maker, make_run
from tests.speed.test_steps import told

CPU = torch.device("cpu")
TEST_IMAGES = 309
"""Of the larger test split of Yosemite."""
COUNTS = [TEST_IMAGES, 3 * TEST_IMAGES, 10 * TEST_IMAGES]


def measured(benchmark: Any, of: str, count: int, run: Any) -> None:
    """Time a call and its peak memory above what there was."""
    told(benchmark, "growth", of=of, count=count)
    benchmark.group = f"growth: {of}"
    before = memory()
    benchmark.pedantic(run, rounds=1, warmup_rounds=0)
    benchmark.extra_info["peak_mb"] = peak_memory_mb(CPU) - before


def memory() -> float:
    """Return what the process holds now, MB, and let its peak begin anew."""
    reset_peak_memory(CPU)
    return peak_memory_mb(CPU)


@pytest.mark.nightly
@pytest.mark.parametrize("count", COUNTS)
def test_features_of_images(benchmark: Any, count: int) -> None:
    network = networks.build("efficientnet-lite0")
    images = torch.zeros((count, 3, 64, 64), dtype=torch.uint8)
    batches = images.split(32)
    measured(
        benchmark,
        "features of images of 64 px",
        count,
        lambda: [network.describe(batch) for batch in batches],
    )


@pytest.mark.nightly
@pytest.mark.parametrize("count", COUNTS)
def test_kid_and_fid_of_features(benchmark: Any, count: int) -> None:
    rng = np.random.default_rng(0)
    x, y = (np.maximum(rng.normal(size=(count, 1280)), 0).astype(np.float32) for _ in "xy")

    def score() -> None:
        g = grams(x, y)
        fid(g)
        kid.kid_interval(*(kid.kernel(products, g.dimension) for products in (g.xx, g.yy, g.xy)))

    measured(benchmark, "KID with its interval, and FID, of features", count, score)


@pytest.mark.nightly
@pytest.mark.parametrize("count", [2, 5, 10, 20])
def test_perceptual_distances_of_samples(benchmark: Any, count: int) -> None:
    network = networks.build("st-lpips-alex")
    inputs = [torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8) for _ in range(30)]
    measured(
        benchmark,
        "all pairs of the samples of 30 inputs, LPIPS, 64 px",
        count,
        lambda: [squared_distances(network.embed(samples)) for samples in inputs],
    )


@pytest.mark.nightly
@pytest.mark.parametrize(("methods", "inputs"), [(2, 50), (5, 120), (20, 500)])
def test_a_report(benchmark: Any, tmp_path: Path, methods: int, inputs: int) -> None:
    makers = [Maker(f"method{i}", 0.1 + 0.01 * i, 0.5, 0.1, 0.01) for i in range(methods)]
    run = make_run(tmp_path, methods=makers, samples=10, inputs=inputs, share_pictures=True)
    out = tmp_path / "page"
    measured(
        benchmark,
        "the page of a run, ten samples an input; pictures are methods by inputs by directions",
        methods * inputs * 2,
        lambda: render(run, out),
    )
    whole = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    benchmark.extra_info |= {
        "page_mb": (out / "index.html").stat().st_size / 1e6,
        "folder_mb": whole / 1e6,
    }
