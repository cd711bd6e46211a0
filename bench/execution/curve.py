"""The learning curve of a trial: its stages once more, on the weights it had on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from bench.api import Event
from bench.execution.stages import fit, score, translate
from bench.execution.workspace import Workspace

if TYPE_CHECKING:
    from bench.execution.stages.fit import Fitted
    from bench.execution.stages.score import Scored
    from bench.training.loop import Kept


def run(workspace: Workspace, fitted: Fitted, scored: Scored) -> Iterator[tuple[Kept, Scored]]:
    """Give the scores on the way, and last those of the end; none where nothing was kept."""
    for kept in fitted.kept:
        there = _workspace(workspace, kept.iteration)
        there.emit(Event("log", "curve", f"scoring after {kept.iteration:,} iterations"))
        method = cache(partial(fit.restored, there, kept))
        yield kept, score.run(there, translate.run(there, fit.Fitted(method)))
    if fitted.kept:
        yield fitted.end, scored


def _workspace(workspace: Workspace, iteration: int) -> Workspace:
    """The same surroundings with a folder and keys of their own."""
    job = workspace.job
    there = replace(
        job, trial=f"{job.trial}/after-{iteration}it", fit_key=fit.key_at(job, iteration)
    )
    return workspace.of(there)
