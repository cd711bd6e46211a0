"""The fit stage: a method with its weights, trained or taken from the cache.

Its key is :func:`bench.training.key.fit_key`; the plan writes it into the job.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.api import BenchError, Budget, Event, Method, TrainedMethod
from bench.metrics.judge import Judge
from bench.plugins import load_weights, make_config, resolve
from bench.storage.files import link_or_copy, write_atomic, write_json
from bench.training.loop import LOSSES, seconds_spent

if TYPE_CHECKING:
    from bench.execution.workspace import Workspace

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Fitted:
    """What fitting gives.

    Parameters
    ----------
    method
        Gives the fitted method. It is made at the first call: a stage that is taken from the
        cache needs none.
    seconds, iterations, parameters
        What training took, over all attempts, and how many numbers were trained; None for a
        method that was not trained here.
    cached
        Whether the weights were taken from the cache.
    """

    method: Callable[[], Method]
    seconds: float | None = None
    iterations: int | None = None
    parameters: int | None = None
    cached: bool = False


def run(workspace: Workspace) -> Fitted:
    """Train the method, unless it is known; nothing is made of one that is not trained.

    Raises
    ------
    BenchError
        When the method does not keep what its spec promises, or as it says itself.
    """
    job, cached = workspace.job, workspace.cache
    method = cache(partial(_make, workspace))
    if job.weights is not None:
        workspace.emit(Event("log", "fit", f"loaded {job.pretrained}"))
    if not workspace.spec.trained or job.weights is not None:
        return Fitted(method)
    known = cached.get("fit", job.fit_key) is not None
    if not known:
        method()
    entry = cached.get("fit", job.fit_key)
    assert entry is not None
    facts = json.loads((entry / "fit.json").read_text("utf-8"))
    link_or_copy(entry / WEIGHTS, workspace.checkpoints / WEIGHTS)
    if (entry / LOSSES).exists():
        link_or_copy(entry / LOSSES, workspace.folder / LOSSES)
    return Fitted(method, facts["seconds"], facts["iterations"], facts["parameters"], known)


def _make(workspace: Workspace) -> Method:
    """The method as its weights file or the cache has it, else fitted now."""
    job, spec = workspace.job, workspace.spec
    ctx = replace(workspace.ctx, judge=Judge(workspace.ctx.weights_dir, job.offline))
    if job.weights is not None:
        return load_weights(spec, job.label, Path(job.weights), ctx, job.config)
    config = make_config("method", job.label, spec.config, job.config)
    method: object = resolve(spec.implementation)(config, ctx)
    name = type(method).__name__
    if not isinstance(method, Method):
        raise BenchError(
            f"{job.method} is declared a method, but {name} has not all of translate, state_dict "
            "and load_state_dict"
        )
    if spec.trained:
        if not isinstance(method, TrainedMethod):
            raise BenchError(
                f"{job.method} is declared trained, but {name} has no fit(data, budget)"
            )
        _restore_or_fit(workspace, method)
    return method


def _restore_or_fit(workspace: Workspace, method: TrainedMethod) -> None:
    from safetensors.torch import load_file, save

    job, work = workspace.job, workspace.checkpoints
    entry = workspace.cache.get("fit", job.fit_key)
    if entry is not None:
        method.load_state_dict(load_file(entry / WEIGHTS))
        return
    _own(work, job.fit_key)
    begun = time.monotonic()
    method.fit(workspace.train_data, Budget.parse(job.budget))
    # The loop counts over all attempts, where training was interrupted.
    seconds = max(time.monotonic() - begun, seconds_spent(work) or 0.0)
    state = {name: t.detach().cpu().contiguous() for name, t in method.state_dict().items()}
    curve = work / LOSSES
    facts = {
        "seconds": seconds,
        "iterations": _last_iteration(curve),
        "parameters": sum(tensor.numel() for tensor in state.values()),
    }
    with workspace.cache.put("fit", job.fit_key) as building:
        write_atomic(building / WEIGHTS, save(state))
        write_json(building / "fit.json", facts)
        if curve.exists():
            link_or_copy(curve, building / LOSSES)


def _own(work: Path, key: str) -> None:
    """Empty the checkpoint folder unless it belongs to this very fit."""
    work.mkdir(parents=True, exist_ok=True)
    mark = work / "KEY"
    if mark.exists() and mark.read_text("utf-8") == key:
        return
    shutil.rmtree(work)
    write_atomic(mark, key)


def _last_iteration(curve: Path) -> int | None:
    if not curve.exists():
        return None
    lines = curve.read_text("utf-8").splitlines()
    return int(json.loads(lines[-1])["iteration"]) + 1 if lines else None
