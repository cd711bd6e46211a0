"""CycleGAN: unpaired, deterministic translation with cycle consistency."""

from __future__ import annotations

from bench.api import MethodSpec, ModelSpec, hookimpl, models_in
from bench_cyclegan.config import CycleGANConfig

# A minute of training cannot teach a generator to reproduce a picture and to change it. So
# short trainings start from the picture, and hold on to it less.
_SHORT = {
    "load": None,
    "crop": None,
    "input_skip": True,
    "lr": 1e-3,
    "lambda_a": 1.5,
    "lambda_b": 1.5,
    "lambda_identity": 0.2,
}

SPEC = MethodSpec(
    name="cyclegan",
    summary="Unpaired translation with cycle consistency: one output for one input.",
    implementation="bench_cyclegan.method:CycleGAN",
    config=CycleGANConfig,
    presets={
        # Without blurs a hundred iterations leave the grid of the transposed convolutions.
        "demo": {**_SHORT, "ngf": 16, "n_blocks": 3, "ndf": 24, "n_layers_d": 2, "antialias": True},
        "quick": {**_SHORT, "ngf": 24, "n_blocks": 4, "ndf": 32, "n_layers_d": 3},
        "paper": {},
    },
    # Published: 200 epochs of the 1231 summer photographs.
    budgets={"demo": "150it", "quick": "800it", "paper": "246200it"},
    trained=True,
    multiple_of=4,
    source="Zhu, Park, Isola & Efros, Unpaired Image-to-Image Translation using "
    "Cycle-Consistent Adversarial Networks, ICCV 2017",
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """CycleGAN."""
    return (SPEC,)


@hookimpl
def bench_models() -> tuple[ModelSpec, ...]:
    """Bring what was trained of it."""
    return models_in(__name__, SPEC.name)
