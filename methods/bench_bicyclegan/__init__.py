"""BicycleGAN: paired, multimodal translation, the contrast to unpaired methods."""

from __future__ import annotations

from bench.api import MethodSpec, ModelSpec, hookimpl, models_in
from bench_bicyclegan.config import BicycleGANConfig

# Short trainings: whole images that are edited and not painted anew, a faster rate, and no
# dropout, which needs long ones.
_SHORT = {"load": None, "crop": None, "input_skip": True, "dropout": False, "lr": 1e-3}

SPEC = MethodSpec(
    name="bicyclegan",
    summary="Learns from pairs: many outputs for one input. Shows what pairs are worth.",
    implementation="bench_bicyclegan.method:BicycleGAN",
    config=BicycleGANConfig,
    presets={
        "demo": {**_SHORT, "ngf": 16, "nef": 16, "ndf": 16, "depth": 6, "n_blocks_e": 3},
        "quick": {**_SHORT, "ngf": 24, "nef": 24, "ndf": 24, "depth": 7, "lr": 5e-4},
        "paper": {},
    },
    # Published schedules end between 30 and 400 epochs; this is 200 + 200 of 400 pairs.
    budgets={"demo": "900it", "quick": "1500it", "paper": "80000it"},
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


@hookimpl
def bench_models() -> tuple[ModelSpec, ...]:
    """Bring what was trained of it."""
    return models_in(__name__, SPEC.name)
