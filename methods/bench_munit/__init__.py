"""MUNIT: multimodal unsupervised image-to-image translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import MethodSpec, hookimpl
from bench_munit.config import MUNITConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

# A few hundred iterations on a CPU instead of a million. Small networks and a high rate; one
# halving instead of two, so that the content code keeps enough detail for a small picture; and
# generators that start alike: with separate starts a first translation is often a negative,
# because nothing yet ties what is bright in one content code to what is bright in the other.
_SMALL = {
    "gen_dim": 16,
    "mlp_dim": 64,
    "n_downsample": 1,
    "n_res": 2,
    "dis_dim": 16,
    "dis_num_scales": 2,
    "lr": 1e-3,
    "lr_steps": 4,
    "same_start": True,
}

SPEC = MethodSpec(
    name="munit",
    summary="Content and style codes taken apart: many translations of one image (Huang 2018)",
    implementation="bench_munit.method:MUNIT",
    config=MUNITConfig,
    presets={
        "demo": {**_SMALL, "crop_size": 64},
        "quick": {**_SMALL, "crop_size": 128, "dis_num_scales": 3},
        "paper": {},
    },
    budgets={"demo": "700it", "quick": "700it", "paper": "1000000it"},
    trained=True,
    multimodal=True,
    multiple_of=4,
    source="https://arxiv.org/abs/1804.04732",
)


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    """Offer MUNIT."""
    return [SPEC]
