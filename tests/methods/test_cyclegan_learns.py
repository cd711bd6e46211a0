"""CycleGAN on real photographs: a short training brings its outputs nearer to the target."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bench
from bench.api import A2B, Budget, Context, TrainData
from bench.data.images import load_tensor, to_float
from bench.data.opening import build_dataset
from bench.plugins import load_plugins
from bench_cyclegan import SPEC
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN

SIZE = 64
CONFIG = {**SPEC.presets["demo"], "ngf": 8, "n_blocks": 1, "ndf": 8}


@pytest.mark.nightly
def test_training_on_photographs_improves_kid_over_its_own_start(
    yosemite_root: Path, tmp_path: Path
) -> None:
    spec = load_plugins().dataset("yosemite")
    dataset = build_dataset(spec, {"train": 40, "test": 40}, yosemite_root)
    dataset.prepare(tmp_path, offline=True, progress=lambda _: None)
    train = [load_tensor(dataset.split("train", domain), SIZE) for domain in ("a", "b")]
    inputs, real = (
        to_float(load_tensor(dataset.split("test", domain), SIZE)) for domain in ("a", "b")
    )
    method = CycleGAN(CycleGANConfig(**CONFIG), Context(torch.device("cpu"), seed=1))

    def kid() -> float:
        seeds = torch.zeros(len(inputs), 1, dtype=torch.int64)
        outputs = method.translate(inputs, A2B, samples=1, seeds=seeds)[:, 0]
        found = bench.score(
            outputs, real, metrics=["kid"], cache=tmp_path / "features", offline=True
        )
        return float(found["value"].iloc[0])

    start = kid()
    method.fit(TrainData(*train, ("summer", "winter")), Budget(iterations=80))
    assert kid() < 0.5 * start
