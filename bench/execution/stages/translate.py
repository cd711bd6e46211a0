"""The translate stage: every test input in every direction, as PNG."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench.api import BenchError, Direction, Event, ExemplarMethod, ImageItem, Method
from bench.code import code_hash
from bench.data.images import (
    by_threads,
    load_item,
    load_tensor,
    png_writer,
    read_image,
    to_float,
    to_uint8,
    write_png,
)
from bench.devices import is_out_of_memory
from bench.nn.padding import translate_padded
from bench.storage.cache import key_of, link_tree
from bench.storage.files import link_or_copy, write_atomic

if TYPE_CHECKING:
    from bench.execution.stages.fit import Fitted
    from bench.execution.workspace import Workspace
    from bench.storage.jobs import Job

_BATCH_PIXELS = 16 * 128 * 128
"""Pixels (times samples) translated at once; small enough for a CPU, enough for a GPU."""


@dataclass(frozen=True)
class Translated:
    """What translating gives: pictures in the trial's folder, and the key of each direction.

    Parameters
    ----------
    keys
        In the order of ``Workspace.directions``.
    cached
        Whether all pictures were taken from the cache.
    """

    keys: tuple[str, ...]
    cached: bool


def key(workspace: Workspace, direction: Direction) -> str:
    """Return what the outputs of a direction hang on."""
    return key_of(
        stage="translate",
        fit=workspace.job.fit_key,
        code=code_hash(__name__),
        direction=direction.key,
        multiple_of=workspace.spec.multiple_of,
        inputs=[[item.id, item.digest] for item in workspace.inputs(direction)],
        samples=workspace.job.samples,
    )


def run(workspace: Workspace, fitted: Fitted) -> Translated:
    """Make the outputs of every direction, and leave them in the trial's folder.

    Raises
    ------
    BenchError
        When the method does not keep what its spec promises, or its outputs are no images.
    """
    keys, known = [], []
    for direction in workspace.directions:
        keys.append(key(workspace, direction))
        folder = workspace.outputs(direction)
        entry = workspace.cache.get("translate", keys[-1])
        known.append(entry is not None)
        if entry is not None:
            shutil.rmtree(folder, ignore_errors=True)
            link_tree(entry, folder)
            continue
        if workspace.spec.precomputed:
            _take_given(workspace, direction)
        else:
            _translate(workspace, fitted, direction, keys[-1])
        with workspace.cache.put("translate", keys[-1]) as building:
            for item in workspace.inputs(direction):
                for name in _files(item, workspace.job):
                    link_or_copy(folder / name, building / name)
    return Translated(tuple(keys), all(known))


def batch_size(job: Job) -> int:
    """Return how many inputs are translated at once: by size and samples, never by what is free."""
    return max(1, _BATCH_PIXELS // (job.size**2 * job.samples))


@contextmanager
def ready(workspace: Workspace, fitted: Fitted, direction: Direction) -> Iterator[Method]:
    """Give the method, with its exemplars set where it needs any."""
    method = fitted.method()
    if workspace.spec.exemplar:
        if not isinstance(method, ExemplarMethod):
            raise BenchError(
                f"{workspace.job.method} is declared to take exemplars, but "
                f"{type(method).__name__} has no use_exemplars(images, direction)"
            )
        method.use_exemplars(workspace.train_data.of(direction.target), direction)
    # A method that follows gradients when it translates enables them itself.
    with torch.no_grad():
        yield method


def translate_items(
    workspace: Workspace, method: Method, items: Sequence[ImageItem], direction: Direction
) -> torch.Tensor:
    """Translate items: uint8 ``(B, samples, 3, H, W)``; in smaller parts when memory ends."""
    job = workspace.job
    images = to_float(load_tensor(items, job.size).to(workspace.ctx.device))
    seeds = workspace.seeds(items, direction)
    batch, samples = len(items), job.samples
    while True:
        try:
            rows = [
                [
                    translate_padded(
                        method,
                        workspace.spec.multiple_of,
                        some,
                        direction,
                        samples=part.shape[1],
                        seeds=part,
                    )
                    for part in torch.split(drawn, samples, 1)
                ]
                for some, drawn in zip(
                    torch.split(images, batch), torch.split(seeds, batch), strict=True
                )
            ]
            outputs = torch.cat([torch.cat(row, 1) for row in rows])
            _check_range(outputs, job.method)
            return to_uint8(outputs)
        except (RuntimeError, MemoryError) as error:
            if batch == samples == 1 or not is_out_of_memory(error):
                raise
            if batch > 1:
                batch = (batch + 1) // 2
                message = f"out of memory: batch reduced to {batch}"
            else:
                samples = (samples + 1) // 2
                message = f"out of memory: samples at once reduced to {samples}"
            workspace.emit(Event("warning", "translate", message))


def _translate(workspace: Workspace, fitted: Fitted, direction: Direction, key: str) -> None:
    job, items, folder = workspace.job, workspace.inputs(direction), workspace.outputs(direction)
    mark = workspace.checkpoints / f"translate-{direction.key}.KEY"
    resuming = mark.exists() and mark.read_bytes() == key.encode()
    if not resuming:
        # Before the mark: no picture of another key may ever lie beside it.
        shutil.rmtree(folder, ignore_errors=True)
        write_atomic(mark, key)
    with ready(workspace, fitted, direction) as method, png_writer() as write:
        chunk = batch_size(job)
        for first in range(0, len(items), chunk):
            part = items[first : first + chunk]
            # Whole chunks only: an image must meet the neighbours it would have met.
            files = [folder / name for item in part for name in _files(item, job)]
            if not resuming or not all(by_threads(decodes, files)):
                outputs = translate_items(workspace, method, part, direction)
                pictures = outputs.flatten(0, 1).permute(0, 2, 3, 1).cpu().numpy()
                for file, pixels in zip(files, pictures, strict=True):
                    write(file, pixels)
            done = min(first + chunk, len(items))
            workspace.emit(
                Event("progress", "translate", direction.name, done, len(items), "images")
            )


def _take_given(workspace: Workspace, direction: Direction) -> None:
    """Copy pictures made elsewhere to where a method's own would be, as PNG."""
    folder = workspace.outputs(direction)
    shutil.rmtree(folder, ignore_errors=True)
    for input_id, outputs in workspace.precomputed.outputs[direction.key].items():
        for k, output in enumerate(outputs):
            write_png(folder / input_id / f"{k}.png", load_item(output, None))


def _files(item: ImageItem, job: Job) -> list[str]:
    """The outputs of one input, below the folder of the direction."""
    return [f"{item.id}/{k}.png" for k in range(job.samples)]


def decodes(path: Path) -> bool:
    """Return whether a picture written before is there and whole."""
    try:
        read_image(path)
    except BenchError:
        return False
    return True


def _check_range(outputs: torch.Tensor, method: str) -> None:
    """Refuse what would be clamped without a word, as a method that forgot its ``[0, 1]`` gives."""
    low, high = float(outputs.min()), float(outputs.max())
    if low < -1e-3 or high > 1 + 1e-3:  # NaN passes: it is refused by name a line later
        raise BenchError(
            f"{method} gave values from {low:.3g} to {high:.3g}: images lie between 0 and 1"
        )
