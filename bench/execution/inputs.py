"""What people compare outputs with, left in the run folder where the trials share it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data.images import Pixels, load_item, read_image, write_png
from bench.execution.stages.translate import decodes
from bench.storage.files import write_json

if TYPE_CHECKING:
    from bench.execution.workspace import Workspace


def keep_inputs(workspace: Workspace) -> None:
    """Write the inputs as the methods saw them, and their true translations.

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
    if not decodes(path) or not np.array_equal(read_image(path), pixels):
        write_png(path, pixels)
