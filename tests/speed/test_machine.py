"""What the machine can do at best, and scoring against the same numbers one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.devices import describe_device
from bench.metrics.files import ALEXNET
from bench.suite.probe import probe
from tests.speed.compare_scoring import prepare, run_side, write_trunk
from tests.speed.test_steps import told

CPU = torch.device("cpu")
INPUTS, SAMPLES, SIDE = 100, 10, 128


@pytest.mark.nightly
def test_the_machine(benchmark: Any) -> None:
    rates = benchmark.pedantic(probe, args=(CPU, "fp32"), rounds=1)
    told(
        benchmark,
        "machine",
        machine=describe_device(CPU),
        flops_fp32=rates.flops.high,
        flops_bf16=probe(CPU, "bf16").flops.high,
        bytes=rates.bytes.high,
    )


@pytest.fixture(scope="module")
def outputs(yosemite_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring")
    prepare(yosemite_root, folder, size=SIDE, samples=SAMPLES, limit=INPUTS)
    write_trunk(folder / ALEXNET.name)
    return folder


@pytest.mark.nightly
@pytest.mark.parametrize("side", ["ours", "one by one"])
def test_scoring(benchmark: Any, outputs: Path, side: str) -> None:
    benchmark.group = "scoring"
    found = benchmark.pedantic(run_side, args=(side, outputs), rounds=1)
    images = 2 * INPUTS * SAMPLES
    told(benchmark, "scoring", side_of=side, took=found["seconds"], images=images, side=SIDE)
