"""One trial: fit, translate, score, time. Knows nothing of screens or clusters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from bench.api import Event, TrialResult
from bench.execution import curve
from bench.execution.inputs import keep_inputs
from bench.execution.results import trial_result
from bench.execution.stages import fit, score, time, translate
from bench.execution.workspace import Workspace


def run_trial(workspace: Workspace) -> TrialResult:
    """Run what is not in the cache; gives every row of the trial.

    Raises
    ------
    Exception
        Whatever went wrong in a stage; what the stages before it gave is in the cache.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        workspace.emit(Event("stage", name, "begin"))
        begun = monotonic()
        yield
        seconds[name] = monotonic() - begun
        workspace.emit(Event("stage", name, "end"))

    with stage("fit"):
        fitted = fit.run(workspace)
    with stage("translate"):
        translated = translate.run(workspace, fitted)
    with stage("score"):
        scored = score.run(workspace, translated)
    with stage("time"):
        timed = time.run(workspace, fitted, translated)
    keep_inputs(workspace)
    points = curve.run(workspace, fitted, scored)
    return trial_result(workspace, fitted, translated, scored, timed, seconds, points)
