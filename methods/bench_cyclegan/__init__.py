"""CycleGAN: unpaired, deterministic translation with cycle consistency."""

from __future__ import annotations

from bench.api import MethodSpec, hookimpl
from bench_cyclegan.config import CycleGANConfig

_PHOTO = {"load": None, "crop": None}

SPEC = MethodSpec(
    name="cyclegan",
    summary="Unpaired translation with cycle consistency: one output for one input.",
    implementation="bench_cyclegan.method:CycleGAN",
    config=CycleGANConfig,
    presets={
        "demo": {**_PHOTO, "ngf": 16, "ndf": 16, "n_blocks": 3},
        "quick": {**_PHOTO, "ngf": 32, "ndf": 32, "n_blocks": 6},
        "paper": {},
    },
    # Published: 200 epochs of the 1231 summer photographs.
    budgets={"demo": "1000it", "quick": "2000it", "paper": "246200it"},
    trained=True,
    multiple_of=4,
    source="Zhu, Park, Isola & Efros, Unpaired Image-to-Image Translation using "
    "Cycle-Consistent Adversarial Networks, ICCV 2017",
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """CycleGAN."""
    return (SPEC,)
