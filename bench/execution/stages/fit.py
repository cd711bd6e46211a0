"""The fit stage: a method with its weights, trained or taken from the cache.

Its key is :func:`bench.training.key.fit_key`; the plan writes it into the job.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError, Budget, Diverged, Event, Method, TrainedMethod
from bench.devices import peak_memory_mb, reset_peak_memory
from bench.metrics.judge import Judge
from bench.plugins import make_method
from bench.storage.cache import key_of
from bench.storage.files import link_or_copy, read_json_lines, write_atomic, write_json
from bench.training.loop import (
    CHECKPOINT,
    LOSSES,
    Kept,
    cores_of,
    kept_path,
    kept_weights,
    seconds_spent,
)

if TYPE_CHECKING:
    from bench.execution.workspace import Workspace
    from bench.storage.jobs import Job

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
    kept
        Weights on the way to it, by iteration, to be scored too.
    cores
        What it was trained on.
    peak_memory_mb
        The highest memory while it was trained, in its last attempt; None where nobody knows.
    """

    method: Callable[[], Method]
    seconds: float | None = None
    iterations: int | None = None
    parameters: int | None = None
    cached: bool = False
    kept: tuple[Kept, ...] = ()
    cores: int = 1
    peak_memory_mb: float | None = None

    @property
    def end(self) -> Kept:
        """Where training ended, as one more point on its way."""
        return Kept(Path(), self.iterations or 0, self.seconds or 0.0, self.cores)


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
        begins = "loaded" if job.loaded else "training begins with"
        workspace.emit(Event("log", "fit", f"{begins} {job.pretrained}"))
    if not workspace.spec.trained or job.loaded:
        return Fitted(method)
    known = _facts(workspace) is not None
    if not known:
        method()
    entry = cached.get("fit", job.fit_key)
    assert entry is not None
    facts = json.loads((entry / "fit.json").read_text("utf-8"))
    link_or_copy(entry / WEIGHTS, workspace.checkpoints / WEIGHTS)
    if (entry / LOSSES).exists():
        link_or_copy(entry / LOSSES, workspace.folder / LOSSES)
    kept = (_kept(workspace, at) for at in _points(workspace, facts))
    return Fitted(method, cached=known, kept=tuple(filter(None, kept)), **facts)


def restored(workspace: Workspace, kept: Kept) -> Method:
    """Return the method with weights that it had on the way."""
    from safetensors.torch import load_file

    job, ctx = workspace.job, workspace.ctx
    method = make_method(workspace.spec, job.label, job.config, ctx, job.weights)
    method.load_state_dict(load_file(kept.path))
    return method


def key_at(job: Job, iteration: int) -> str:
    """Return the key of the weights that a fit has after an iteration."""
    return key_of(fit=job.fit_key, iteration=iteration)


def _points(workspace: Workspace, facts: Mapping[str, Any]) -> list[int]:
    """The points on the way that are to be scored and that training passed."""
    end = facts["iterations"]
    return [at for at in workspace.job.score_at if end is None or at < end]


def _kept(workspace: Workspace, iteration: int) -> Kept | None:
    entry = workspace.cache.get("kept", key_at(workspace.job, iteration))
    return None if entry is None else kept_weights(entry / WEIGHTS)


def _facts(workspace: Workspace) -> dict[str, Any] | None:
    """What is known of a fit that is in the cache with all points on its way; else None."""
    entry = workspace.cache.get("fit", workspace.job.fit_key)
    if entry is None:
        return None
    facts: dict[str, Any] = json.loads((entry / "fit.json").read_text("utf-8"))
    return facts if all(_kept(workspace, at) for at in _points(workspace, facts)) else None


def _make(workspace: Workspace) -> Method:
    """The method as its weights file or the cache has it, else fitted now."""
    job, spec = workspace.job, workspace.spec
    judge = Judge(workspace.ctx.weights_dir, job.offline)
    ctx = replace(workspace.ctx, judge=judge, keep_at=job.score_at)
    method = make_method(spec, job.label, job.config, ctx, job.weights)
    if spec.trained and not job.loaded:
        if not isinstance(method, TrainedMethod):
            raise BenchError(
                f"{job.method} is declared trained, but {type(method).__name__} has no fit(data, "
                "budget)"
            )
        _restore_or_fit(workspace, method)
    return method


def _restore_or_fit(workspace: Workspace, method: TrainedMethod) -> None:
    from safetensors.torch import load_file, save

    job, work = workspace.job, workspace.checkpoints
    if _facts(workspace) is not None:
        entry = workspace.cache.get("fit", job.fit_key)
        assert entry is not None
        method.load_state_dict(load_file(entry / WEIGHTS))
        return
    _own(work, job)
    begun = time.monotonic()
    reset_peak_memory(workspace.ctx.device)
    budget = Budget.parse(job.budget)
    method.fit(workspace.train_data, budget)
    # The loop counts over all attempts, where training was interrupted.
    seconds = max(time.monotonic() - begun, seconds_spent(work) or 0.0)
    state = {name: t.detach().cpu().contiguous() for name, t in method.state_dict().items()}
    if bad := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise Diverged(f"the weights that training gave are not finite: {bad[0]}")
    curve = work / LOSSES
    facts = {
        "seconds": seconds,
        "iterations": _iterations(curve, budget),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "cores": cores_of(workspace.ctx.device),
        "peak_memory_mb": peak_memory_mb(workspace.ctx.device),
    }
    with workspace.cache.put("fit", job.fit_key) as building:
        domains = json.dumps(workspace.train_data.domains)
        write_atomic(building / WEIGHTS, save(state, {"domains": domains}))
        write_json(building / "fit.json", facts)
        if curve.exists():
            link_or_copy(curve, building / LOSSES)
    for at in _points(workspace, facts):
        if not (file := kept_path(work, at)).exists():
            raise BenchError(
                f"{job.method} keeps no weights on the way: leave --score-at out, or give "
                "run_training weights=self.state_dict"
            )
        with workspace.cache.put("kept", key_at(job, at)) as building:
            link_or_copy(file, building / WEIGHTS)


def _own(work: Path, job: Job) -> None:
    """Empty the checkpoint folder unless it belongs to this very fit, and kept all on its way."""
    work.mkdir(parents=True, exist_ok=True)
    mark = work / "KEY"
    told = mark.read_bytes().decode("ascii", "replace").split() if mark.exists() else []
    asked = {*map(str, job.score_at)}
    if told[:1] == [job.fit_key] and asked <= {*told[1:]} and _all_readable(work):
        return
    shutil.rmtree(work)
    write_atomic(mark, " ".join([job.fit_key, *map(str, job.score_at)]))


def _all_readable(work: Path) -> bool:
    """Whether a training can go on here without leaving anything wrong in the cache.

    Of a damaged curve nobody could tell how far training had come; weights that were kept on the
    way go into the cache as they are.
    """
    trained, curve = (work / CHECKPOINT).exists(), work / LOSSES
    if trained and curve.exists() and not read_json_lines(curve):
        return False
    try:
        for file in kept_path(work, 0).parent.glob("*.safetensors"):
            kept_weights(file)
    except BenchError:
        return False
    return True


def _iterations(curve: Path, budget: Budget) -> int | None:
    """How many iterations a training took that has a curve; another's nobody knows."""
    if not curve.exists():
        return None
    if budget.iterations is not None:  # whatever a fault has left of the curve
        return budget.iterations
    rows = read_json_lines(curve)
    return int(rows[-1]["iteration"]) + 1 if rows else None
