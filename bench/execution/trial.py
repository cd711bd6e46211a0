"""One trial: fit, translate, score, time. Knows nothing of screens or clusters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import numpy as np

from bench.api import Event, TrialResult
from bench.data.images import Pixels, load_item, read_image, write_png
from bench.execution.results import trial_result
from bench.execution.stages import fit, score, time, translate
from bench.execution.workspace import Workspace
from bench.storage.files import write_json


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
    _keep_what_is_compared_with(workspace)
    return trial_result(workspace, fitted, translated, scored, timed, seconds)


def _keep_what_is_compared_with(workspace: Workspace) -> None:
    """Leave the inputs as the methods saw them, and their true translations, in the run folder.

    ``audit/<dataset>/<direction>.json`` names the training images that an input is identical to.
    """
    dataset, size = workspace.dataset, workspace.job.size
    train: dict[str, list[list[str]]] = {}
    for domain in ("a", "b"):
        for item in dataset.split("train", domain):
            train.setdefault(item.digest, []).append([domain, item.id])
    for direction in workspace.directions:
        items = workspace.inputs(direction)
        inputs, truths = (workspace.beside(part, direction) for part in ("inputs", "truths"))
        for item in items:
            _keep(inputs / f"{item.id}.png", load_item(item, size))
            for k, true in enumerate(dataset.truth(item, direction)):
                _keep(truths / item.id / f"{k}.png", load_item(true, size))
        audit = workspace.beside("audit", direction)
        twins = {item.id: train[item.digest] for item in items if item.digest in train}
        write_json(audit.with_name(f"{audit.name}.json"), twins)


def _keep(path: Path, pixels: Pixels) -> None:
    """Write a picture unless it is there; an earlier attempt may have left another size."""
    if not translate.decodes(path) or not np.array_equal(read_image(path), pixels):
        write_png(path, pixels)
