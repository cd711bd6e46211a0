"""Small networks of every method with a step of its own, and what trains them."""

from __future__ import annotations

import pytest
import torch

from bench.api import TrainData
from bench_bicyclegan.config import BicycleGANConfig
from bench_bicyclegan.method import BicycleGAN, BicycleGANTrainer
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cut.method import CUT, FastCUT
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT
from bench_munit.trainer import MUNITTrainer

SIDE = 64
_MARKS = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
)
DEVICES = ["cpu", pytest.param("cuda", marks=_MARKS)]
"""For tests that a GPU must pass: on the CPU they show that they can be run."""
METHODS = ["munit", "cyclegan", "cut", "bicyclegan"]
_RESNET = {"ngf": 4, "n_blocks": 1, "ndf": 4, "load": 68, "crop": SIDE}
_CUT = _RESNET | {"head_width": 4, "num_patches": 9}
_MUNIT = {"gen_dim": 4, "mlp_dim": 4, "n_downsample": 1, "n_res": 1, "dis_dim": 4}
_BICYCLE = {"ngf": 4, "depth": 5, "nef": 4, "ndf": 4, "load": None, "crop": SIDE}
_MADE = {
    "munit": (MUNIT, MUNITConfig, _MUNIT | {"dis_num_scales": 2, "content_jitter": 0.4}),
    "cyclegan": (CycleGAN, CycleGANConfig, _RESNET | {"pool_size": 2}),
    "cut": (CUT, CUTConfig, _CUT),
    "fastcut": (FastCUT, FastCUTConfig, _CUT),
    "bicyclegan": (BicycleGAN, BicycleGANConfig, _BICYCLE | {"n_blocks_e": 1, "n_scales_d": 1}),
}


def pictures(count=5, side=SIDE):
    """Noise, as pairs: which methods without pairs do not see."""
    draws = torch.Generator().manual_seed(0)
    a, b = (
        torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=draws)
        for _ in "ab"
    )
    return TrainData(a, b, ("a", "b"), paired=True)


def method_of(name, ctx, *, small=True, **options):
    model, config, sizes = _MADE[name]
    return model(config(**(sizes if small else {}) | options), ctx)


def trainer_of(name, ctx, *, small=True, data=None, **options):
    """Return a trainer, tiny or of published size, and how many tensors it draws beside images."""
    method, data = method_of(name, ctx, small=small, **options), data or pictures()
    if name == "munit":
        drawn = 1 + (method.config.content_jitter > 0)
        return MUNITTrainer(method.config, ctx, *method.generators.values(), data), drawn
    if name == "bicyclegan":
        return BicycleGANTrainer(method.config, ctx, method.networks, data), 1
    drawn = 2 if name == "cyclegan" else len(method.config.layers)
    return method.trainer(ctx, method.generators, data), drawn
