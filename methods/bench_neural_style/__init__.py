"""Neural style transfer (Gatys, Ecker & Bethge 2016) as a plugin."""

from __future__ import annotations

from bench.api import MethodSpec, hookimpl
from bench_neural_style.config import WEIGHTS, NeuralStyleConfig

SPEC = MethodSpec(
    name="neural_style",
    summary="Gatys style transfer: pixels optimised towards an exemplar's style.",
    implementation="bench_neural_style.method:NeuralStyle",
    config=NeuralStyleConfig,
    presets={
        "demo": {"recipe": "fast", "iterations": 12},
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
