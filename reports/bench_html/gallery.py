"""The pictures of a run as the page's script wants them: compact, and safe to link.

A path from the tables becomes a link only when it stays inside the run folder; anything
else (``javascript:``, ``../../…``, a file that is gone) is shown as a missing picture.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.analysis.pictures import inside, truths_of
from bench.api import BenchError
from bench.data.images import read_image
from bench_html.alike import distinct
from bench_html.thumbs import make_strips, plan

if TYPE_CHECKING:
    from bench.api import RunView

_SKIPPED_KEYS = {"__proto__"}


@dataclass
class _Cell:
    """All samples of one input by one trial."""

    paths: dict[int, str] = field(default_factory=dict)
    values: dict[str, dict[int, float]] = field(default_factory=dict)


@dataclass
class _Series:
    """One trial in one direction."""

    trial: str
    label: str
    method: str
    seed: int
    cells: dict[str, _Cell] = field(default_factory=dict)


@dataclass
class _Direction:
    """One direction of one dataset."""

    dataset: str
    name: str
    inputs: dict[str, str] = field(default_factory=dict)
    truths: dict[str, list[str]] = field(default_factory=dict)
    series: dict[str, _Series] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """What the page shows, as JSON, and where the first pictures lie.

    `files` names the first output of (direction, series, input), by index; series -1 is the
    input itself. Pictures that are not there are left out.
    """

    description: dict[str, Any]
    files: dict[tuple[int, int, int], Path]


def build(run: RunView, out: Path, anchors: Mapping[str, bool]) -> Gallery:
    """Write the thumbnails and describe the gallery.

    Parameters
    ----------
    out
        The report's folder; thumbnails go into ``thumbs/`` beneath it.
    anchors
        For each label, whether it is an anchor.

    Returns
    -------
    Gallery
        Its description has ``size``, ``metrics``, and ``directions`` (each with its dataset,
        name, inputs, series and cells). A cell says how many of its pictures are different
        (``d``) and, where there are true translations, which of them is nearest to each picture
        (``near``).
    """
    directions, metrics = _collect(run)
    strips = [strip for direction in directions for strip in _strips(run.path, direction)]
    chosen = plan(strips)
    made = iter(make_strips(strips, out / "thumbs", chosen))
    seeds: dict[str, set[int]] = {}
    for direction in directions:
        for series in direction.series.values():
            seeds.setdefault(series.label, set()).add(series.seed)
    several = any(len(found) > 1 for found in seeds.values())
    description = []
    for direction in directions:
        inputs = _inputs(run.path, out, direction, made)
        rows = [
            {
                "trial": series.trial,
                "label": series.label,
                "name": f"{series.label} · seed {series.seed}" if several else series.label,
                "anchor": anchors.get(series.label, False),
                "cells": [
                    _cell(
                        run.path,
                        out,
                        series.cells.get(input_id),
                        next(made),
                        metrics,
                        direction.truths.get(input_id),
                    )
                    for input_id in direction.inputs
                ],
            }
            for series in direction.series.values()
        ]
        description.append(
            {"dataset": direction.dataset, "name": direction.name, "inputs": inputs, "series": rows}
        )
    return Gallery(
        {"size": chosen.size, "metrics": metrics, "directions": description},
        _firsts(run.path, directions),
    )


def _strips(root: Path, direction: _Direction) -> list[list[Path]]:
    """Return the pictures of every strip: inputs, truths, then each trial's cells."""
    strips = [_files(root, _Cell({0: path})) for path in direction.inputs.values()]
    strips += [[root / path for path in paths] for paths in direction.truths.values()]
    for series in direction.series.values():
        strips += [_files(root, series.cells.get(input_id)) for input_id in direction.inputs]
    return strips


def _inputs(
    root: Path, out: Path, direction: _Direction, made: Iterator[tuple[str, int]]
) -> list[dict[str, Any]]:
    """Describe the inputs and their truths, whose strips come next in `made`."""
    inputs: list[dict[str, Any]] = [
        {"id": input_id, "strip": next(made)[0], "full": _link(root, out, path)}
        for input_id, path in direction.inputs.items()
    ]
    for item in inputs:
        if paths := direction.truths.get(str(item["id"])):
            strip, count = next(made)
            full = [_link(root, out, path) for path in paths]
            item["truth"] = {"strip": strip, "in": count, "full": full, "n": len(paths)}
    return inputs


def _firsts(root: Path, directions: Sequence[_Direction]) -> dict[tuple[int, int, int], Path]:
    """Return where the first picture of each direction, series and input lies."""
    return {
        (d, s, i): found[0]
        for d, direction in enumerate(directions)
        for s, cells in enumerate(
            [{i: _Cell({0: path}) for i, path in direction.inputs.items()}]
            + [series.cells for series in direction.series.values()],
            -1,
        )
        for i, input_id in enumerate(direction.inputs)
        if (found := _files(root, cells.get(input_id)))
    }


def _collect(run: RunView) -> tuple[list[_Direction], list[str]]:
    """Return the directions with all their pictures, and the metrics that have values by picture.

    Inputs and trials keep the order of the table, not that of the sample numbers; headline
    metrics come first, for the first is shown below the pictures.
    """
    directions: dict[tuple[str, str], _Direction] = {}
    metrics: dict[str, None] = {}
    for row in run.samples.drop_duplicates(
        ["dataset", "direction", "trial", "input_id"]
    ).itertuples():
        key = str(row.dataset), str(row.direction)
        direction = directions.setdefault(key, _Direction(*key))
        direction.inputs.setdefault(str(row.input_id), _text(row.input_path))
        series = direction.series.setdefault(
            str(row.trial),
            _Series(str(row.trial), str(row.label), str(row.method), int(cast("int", row.seed))),
        )
        series.cells.setdefault(str(row.input_id), _Cell())
    frame = run.samples.sort_values(["sample"], kind="stable")
    columns = ["dataset", "direction", "trial", "input_id", "sample", "path", "metric", "value"]
    for dataset, name, trial, input_id, sample, path, metric, value in frame[columns].itertuples(
        index=False
    ):
        cell = directions[str(dataset), str(name)].series[str(trial)].cells[str(input_id)]
        cell.paths.setdefault(int(sample), _text(path))
        known = _text(metric)
        if known and known not in _SKIPPED_KEYS and value == value and not math.isinf(value):
            metrics.setdefault(known)
            cell.values.setdefault(known, {})[int(sample)] = float(value)
    for direction in directions.values():
        found = {i: truths_of(run.path, path) for i, path in direction.inputs.items()}
        direction.truths = {i: paths for i, paths in found.items() if paths}
    # Directions of one dataset stand together, whatever order its trials ended in.
    order = list(dict.fromkeys(direction.dataset for direction in directions.values()))
    return sorted(directions.values(), key=lambda d: order.index(d.dataset)), _by_headline(
        run, metrics
    )


def _by_headline(run: RunView, metrics: Iterable[str]) -> list[str]:
    """Return metrics with those of short tables first, in the order in which they stand there."""

    def place(metric: str) -> float:
        column = run.declared.column(metric)
        return float("inf") if column is None or column.headline is None else column.headline

    return sorted(metrics, key=place)


def _nearest(root: Path, outputs: Sequence[str], truths: Sequence[str]) -> list[int]:
    """Return for each output the index of the truth whose pixels differ least, seen from afar."""
    real = np.stack([_small(root / path) for path in truths])
    found = []
    for path in outputs:
        try:
            found.append(int(np.abs(real - _small(root / path)).mean((1, 2, 3)).argmin()))
        except (BenchError, OSError):
            found.append(0)
    return found


def _small(path: Path) -> npt.NDArray[np.float32]:
    image = Image.fromarray(read_image(path)).resize((32, 32), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def _cell(
    root: Path,
    out: Path,
    cell: _Cell | None,
    made: tuple[str, int],
    metrics: list[str],
    truths: Sequence[str] | None,
) -> dict[str, Any] | None:
    if cell is None:
        return None
    # A deterministic method may keep one picture and name it for every sample.
    linked = {sample: _link(root, out, path) for sample, path in cell.paths.items()}
    samples = [sample for sample, link in linked.items() if link]
    values = {}
    for index, metric in enumerate(metrics):
        if metric in cell.values:
            numbers = cell.values[metric]
            values[str(index)] = [_short(numbers.get(s)) for s in samples]
    links = [linked[sample] for sample in samples]
    folder = links[0].rsplit("/", 1)[0] if links and links[0] else ""
    described: dict[str, Any] = {"strip": made[0], "in": made[1], "n": len(links), "v": values}
    if len(samples) > 1:
        described["d"] = distinct([root / cell.paths[sample] for sample in samples])
    if truths and len(truths) > 1 and samples:
        described["near"] = _nearest(root, [cell.paths[sample] for sample in samples], truths)
    if folder and links == [f"{folder}/{sample}.png" for sample in range(len(links))]:
        # The usual layout: the folder and a count say it all.
        return described | {"base": folder}
    return described | {"full": links}


def _files(root: Path, cell: _Cell | None) -> list[Path]:
    """Return the pictures of a cell that are there."""
    paths = cell.paths.values() if cell else ()
    return [root / path for path in paths if inside(root, path)]


def _link(root: Path, out: Path, path: str) -> str:
    """Return a relative URL from the page to a picture; empty where it may not be linked."""
    if not inside(root, path):
        return ""
    # The leading ./ keeps a colon in a folder's name from being read as a scheme.
    return "./" + quote(Path(os.path.relpath(root / path, out)).as_posix(), safe="/")


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
