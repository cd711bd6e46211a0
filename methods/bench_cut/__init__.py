"""CUT and FastCUT: unpaired, deterministic translation by contrast of patches."""

from __future__ import annotations

from bench.api import MethodSpec, ModelSpec, hookimpl, models_in
from bench_cut.config import CUTConfig, FastCUTConfig

# A minute of training cannot teach a generator to reproduce a picture and to change it. So
# short trainings start from the picture, and give contrast and discriminator weights between
# which neither wins at once.
_SHORT = {"load": None, "crop": None, "input_skip": True, "lr": 1e-3}
_DEMO = _SHORT | {"ngf": 8, "n_blocks": 3, "ndf": 12, "n_layers_d": 2}
_DEMO |= {"head_width": 64, "num_patches": 64}
_QUICK = _SHORT | {"ngf": 16, "n_blocks": 4, "ndf": 24, "n_layers_d": 3}
_QUICK |= {"head_width": 128, "num_patches": 128}
_CUT, _FASTCUT = {"lambda_gan": 0.5}, {"lambda_nce": 3.0}
_SOURCE = (
    "Park, Efros, Zhang & Zhu, Contrastive Learning for Unpaired Image-to-Image Translation, "
    "ECCV 2020"
)

SPECS = (
    MethodSpec(
        name="cut",
        summary="Unpaired translation by contrast of patches: one output for one input.",
        implementation="bench_cut.method:CUT",
        config=CUTConfig,
        presets={"demo": _DEMO | _CUT, "quick": _QUICK | _CUT, "paper": {}},
        # Published: 400 epochs; of the 1231 summer photographs.
        budgets={"demo": "350it", "quick": "800it", "paper": "492400it"},
        trained=True,
        multiple_of=4,
        source=_SOURCE,
    ),
    MethodSpec(
        name="fastcut",
        summary="CUT without identity images, its contrast heavier: half the work of a step.",
        implementation="bench_cut.method:FastCUT",
        config=FastCUTConfig,
        presets={"demo": _DEMO | _FASTCUT, "quick": _QUICK | _FASTCUT, "paper": {}},
        # Published: 200 epochs.
        budgets={"demo": "450it", "quick": "800it", "paper": "246200it"},
        trained=True,
        multiple_of=4,
        source=_SOURCE,
    ),
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """CUT and FastCUT."""
    return SPECS


@hookimpl
def bench_models() -> tuple[ModelSpec, ...]:
    """Bring what was trained of them."""
    return tuple(model for spec in SPECS for model in models_in(__name__, spec.name))
