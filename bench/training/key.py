"""The cache key of the fit stage.

It stands here and not beside its stage because a plan needs it before anything runs, and a plan
knows nothing of execution: a trial's name, and what it will cost, hang on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.code import code_hash, plugin_modules
from bench.plugins import make_config
from bench.storage.cache import key_of

if TYPE_CHECKING:
    from bench.api import MethodSpec

STAGE = "bench.execution.stages.fit"
JUDGE = (
    "bench.metrics.judge",
    "bench.metrics.kid",
    "bench.metrics.extractors.efficientnet",
)
"""What answers ``Context.judge``."""


def fit_key(
    spec: MethodSpec,
    *,
    config: Mapping[str, Any],
    given: str,
    data: str,
    size: int,
    seed: int,
    budget: str,
    precision: str,
    weights: str,
    pretrained: str,
    device: str,
) -> str:
    """Return the key of a fitted method: everything that its weights and outputs hang on.

    A method that is not trained has one, too: its code and its options, so that its cached
    translations end with them.

    Parameters
    ----------
    config
        The method's whole configuration.
    given
        The digest of pictures that were made elsewhere, else empty. Of these only what they are
        counts, not where they lie.
    data
        The fingerprint of the dataset.
    budget
        As text; empty where nothing is trained.
    weights, pretrained
        SHA-256 of trained weights that are loaded instead of training, and of the pretrained file
        that the method uses; empty where there is none.
    device
        As the user named it.
    """
    return key_of(
        stage="fit",
        method=spec.name,
        version=spec.version,
        code=_code(spec, config, trains=bool(budget)),
        config={} if given else dict(config),
        given=given,
        data=data,
        size=size,
        seed=seed,
        budget=budget,
        precision=precision,
        weights=weights,
        pretrained=pretrained,
        # How far a budget in seconds goes depends on where it is spent.
        device=device if budget.endswith("s") else "",
    )


def _code(spec: MethodSpec, config: Mapping[str, Any], *, trains: bool) -> str:
    """The hash of the method's code and of what it calls; empty when it has none to be found."""
    modules = [plugin_modules(spec.implementation)]
    try:
        code_hash(*modules)
    except BenchError:
        # Its worker will say what is wrong, and the other trials run.
        return ""
    if trains:
        modules.append(STAGE)
        if make_config("method", spec.name, spec.config, config).judged():
            modules += JUDGE
    return code_hash(*modules)
