"""MUNIT: multimodal unsupervised image-to-image translation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.api import MethodSpec, ModelSpec, hookimpl, models_in
from bench.nn.published import VGG16, VGG19_IN_A_PALETTE
from bench_munit.config import MUNITConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

CAFFE_VGG16 = "vgg16-00b39a1b.pth"
CAFFE_VGG16_URL = f"https://web.eecs.umich.edu/~justincj/models/{CAFFE_VGG16}"
TORCHVISION_VGG16 = replace(VGG16, used_for="VGG-16 of MUNIT's perceptual loss, torchvision's")
EMBEDDED_VGG19 = replace(
    VGG19_IN_A_PALETTE,
    used_for="VGG-19 of MUNIT's perceptual loss, caffe's in a palette of 256 values",
)
# Not among the spec's weights: a key of a fit must not hang on a file it does not use.

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
    "sample_every": 0,
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


@hookimpl
def bench_models() -> Sequence[ModelSpec]:
    """Bring what was trained of it."""
    return models_in(__name__, SPEC.name)
