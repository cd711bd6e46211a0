"""BicycleGAN: paired, multimodal translation, the contrast to unpaired methods."""

from __future__ import annotations

from bench.api import MethodSpec, hookimpl
from bench_bicyclegan.config import BicycleGANConfig

_WHOLE = {"load": None, "crop": None}

SPEC = MethodSpec(
    name="bicyclegan",
    summary="Learns from pairs: many outputs for one input. Shows what pairs are worth.",
    implementation="bench_bicyclegan.method:BicycleGAN",
    config=BicycleGANConfig,
    presets={
        "demo": {**_WHOLE, "ngf": 16, "nef": 16, "ndf": 16, "depth": 6, "n_blocks_e": 3},
        "quick": {**_WHOLE, "ngf": 32, "nef": 32, "ndf": 32, "depth": 7},
        "paper": {},
    },
    # Published schedules end between 30 and 400 epochs; this is 200 + 200 of 400 pairs.
    budgets={"demo": "600it", "quick": "2000it", "paper": "80000it"},
    trained=True,
    multimodal=True,
    paired=True,
    source="Zhu, Zhang, Pathak, Darrell, Efros, Wang & Shechtman, Toward Multimodal "
    "Image-to-Image Translation, NeurIPS 2017",
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """BicycleGAN."""
    return (SPEC,)
