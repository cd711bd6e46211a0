"""MUNIT: multimodal unsupervised image-to-image translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import MethodSpec, hookimpl
from bench_munit.config import MUNITConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

_SMALL = {"gen_dim": 16, "mlp_dim": 64, "n_res": 2, "dis_dim": 16, "dis_num_scales": 2}

SPEC = MethodSpec(
    name="munit",
    summary="Content and style codes taken apart: many translations of one image (Huang 2018)",
    implementation="bench_munit.method:MUNIT",
    config=MUNITConfig,
    presets={
        "demo": {**_SMALL, "crop_size": 64, "lr": 1e-3, "lr_steps": 4},
        "quick": {**_SMALL, "gen_dim": 24, "crop_size": 128, "lr": 5e-4, "lr_steps": 4},
        "paper": {},
    },
    budgets={"demo": "600it", "quick": "1000it", "paper": "1000000it"},
    trained=True,
    multimodal=True,
    multiple_of=4,
    source="https://arxiv.org/abs/1804.04732",
)


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    """Offer MUNIT."""
    return [SPEC]
