"""The score stage: what the metrics say of the pictures that lie in the trial's folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import (
    BenchError,
    Direction,
    Event,
    ImageItem,
    LayeredDataset,
    Measurement,
    MetricSpec,
    Picture,
)
from bench.code import SHARED, code_hash, plugin_modules
from bench.data.images import by_threads, load_item, pixel_digest, read_image
from bench.metrics.context import ScoringData
from bench.metrics.manifest import manifest
from bench.metrics.score import available, score
from bench.storage.cache import key_of
from bench.storage.files import write_json

if TYPE_CHECKING:
    from bench.execution.stages.translate import Translated
    from bench.execution.workspace import Workspace

SCORED = "scored.json"
"""The manifest of a trial's scores, by direction."""
_MEASURED = "measurements.json"


@dataclass(frozen=True)
class Scored:
    """What scoring gives.

    Parameters
    ----------
    measurements
        By direction, in the order of ``Workspace.directions``.
    cached
        Whether all of them were taken from the cache.
    """

    measurements: Mapping[Direction, Sequence[Measurement]]
    cached: bool


def code(workspace: Workspace) -> str:
    """Return the hash of the code behind the numbers: of this stage, the metrics, the networks."""
    specs = metrics(workspace)
    named = {name for spec in specs for name in spec.extractors}
    known = workspace.registry.extractors
    implementations = [spec.implementation for spec in specs]
    implementations += [known[name].implementation for name in sorted(named & known.keys())]
    return code_hash(
        __name__,
        *map(plugin_modules, implementations),
        follow=(*SHARED, "bench.metrics"),
    )


def key(workspace: Workspace, direction: Direction, translated: str) -> str:
    """Return what the measurements of a direction hang on.

    Parameters
    ----------
    translated
        The key of the outputs.
    """
    dataset, items = workspace.dataset, workspace.inputs(direction)
    specs, ctx = metrics(workspace), workspace.ctx
    networks = available(
        specs,
        workspace.registry.extractors,
        weights_dir=ctx.weights_dir,
        offline=ctx.offline,
        options=workspace.job.extractors,
    )
    layered = isinstance(dataset, LayeredDataset)
    plugin = plugin_modules(workspace.registry.dataset(workspace.job.dataset).implementation)
    return key_of(
        stage="score",
        translate=translated,
        repeats=workspace.job.repeats,
        code=code(workspace),
        metrics=[_declared(spec) for spec in specs],
        extractors=[[one.metric, one.extractor, one.digest] for one in networks],
        inputs=_content(items),
        truths=[_content(dataset.truth(item, direction)) for item in items],
        compared=[
            _content(dataset.split("test", direction.target)),
            _content(dataset.split("train", direction.target)),
            _content(dataset.split("train", direction.source)),
        ],
        **_options(workspace),
        # What each pixel shows is known to the dataset's code alone.
        layers=code_hash(plugin) if layered else "",
    )


def metrics(workspace: Workspace) -> list[MetricSpec]:
    """Return what is measured."""
    return workspace.registry.measured(workspace.job.metrics)


def run(workspace: Workspace, translated: Translated) -> Scored:
    """Measure the outputs of every direction, and leave on record what the numbers were made from.

    Raises
    ------
    BenchError
        When a metric gives anything but measurements that are finite.
    """
    known, records = [], {}
    found: dict[Direction, Sequence[Measurement]] = {}
    for direction, outputs in zip(workspace.directions, translated.keys, strict=True):
        mine = key(workspace, direction, outputs)
        entry = workspace.cache.get("score", mine)
        known.append(entry is not None)
        if entry is None:
            workspace.emit(Event("stage", "score", direction.name))
            found[direction], record = _score(workspace, direction)
            with workspace.cache.put("score", mine) as building:
                write_json(building / _MEASURED, [asdict(one) for one in found[direction]])
                write_json(building / SCORED, record)
        else:
            rows = json.loads((entry / _MEASURED).read_text("utf-8"))
            record = json.loads((entry / SCORED).read_text("utf-8"))
            found[direction] = [_whole(Measurement(**row)) for row in rows]
        records[direction.name] = record
    write_json(workspace.folder / SCORED, records)
    return Scored(found, all(known))


def measure(
    workspace: Workspace, data: ScoringData, *, features: Path
) -> tuple[list[Measurement], dict[str, str]]:
    """Return what the metrics say of pictures, and the hashes of the networks they asked.

    Parameters
    ----------
    features
        The folder that keeps features.
    """
    networks: dict[str, str] = {}
    found = score(
        data,
        [spec.name for spec in metrics(workspace)],
        workspace.registry,
        device=workspace.ctx.device,
        cache=features,
        emit=workspace.emit,
        weights_dir=workspace.ctx.weights_dir,
        offline=workspace.ctx.offline,
        metric_options=workspace.job.metric_options,
        extractors=workspace.job.extractors,
        networks=networks,
    )
    return [_checked(one) for one in found], networks


def pictures(workspace: Workspace, direction: Direction) -> ScoringData:
    """Return the pictures of a direction: outputs read back, inputs, what they are compared to."""
    dataset, job, size = workspace.dataset, workspace.job, workspace.job.size
    items, folder = workspace.inputs(direction), workspace.outputs(direction)
    files = [(item.id, folder / item.id / f"{k}.png") for item in items for k in range(job.samples)]
    read = iter(by_threads(_file_picture, files))
    outputs = {item.id: [next(read) for _ in range(job.samples)] * job.repeats for item in items}
    seen = by_threads(partial(_item_picture, size=size), items)
    truths = {
        item.id: by_threads(partial(_item_picture, size=size), dataset.truth(item, direction))
        for item in items
    }
    layers: dict[str, Any] = {}
    if isinstance(dataset, LayeredDataset):
        layers["layers"] = {item.id: partial(dataset.layers, item) for item in items}
        layers["classes"] = dataset.classes
    trained_on = {item.digest for domain in ("a", "b") for item in dataset.split("train", domain)}
    return ScoringData(
        direction=direction,
        domains=dataset.domains,
        outputs=outputs,
        inputs={picture.id: picture for picture in seen},
        reference=workspace.pictures("test", direction.target),
        reference_train=workspace.pictures("train", direction.target),
        source_train=workspace.pictures("train", direction.source),
        truths={input_id: true for input_id, true in truths.items() if true},
        contaminated=frozenset(item.id for item in items if item.digest in trained_on),
        **layers,
    )


def _score(workspace: Workspace, direction: Direction) -> tuple[list[Measurement], dict[str, Any]]:
    """The measurements of a direction, and the manifest of what they were made from."""
    data = pictures(workspace, direction)
    found, networks = measure(workspace, data, features=workspace.cache.root / "features")
    # Pictures made elsewhere have no seeds that we know of.
    items = [] if workspace.spec.precomputed else workspace.inputs(direction)
    record = manifest(
        data,
        samples=workspace.job.samples,
        size=workspace.job.size,
        seeds={item.id: workspace.seeds([item], direction)[0].tolist() for item in items},
        metrics=[spec.name for spec in metrics(workspace)],
        networks=networks,
        code=code(workspace),
    )
    return found, record


def _options(workspace: Workspace) -> dict[str, Any]:
    """Options of what measures, for a key; where there are none it is as if they did not exist."""
    job, names = workspace.job, {spec.name for spec in metrics(workspace)}
    options = {name: values for name, values in job.metric_options.items() if name in names}
    found = {"metric_options": options, "extractor_options": job.extractors}
    return {name: values for name, values in found.items() if values}


def _declared(spec: MetricSpec) -> list[Any]:
    """What a metric's spec puts into its measurements."""
    gives = [[column.name, column.unit, column.higher_is_better] for column in spec.gives]
    return [spec.name, spec.kind, spec.unit, spec.higher_is_better, list(spec.needs), gives]


def _content(items: Sequence[ImageItem]) -> list[Any]:
    """What pictures are, and what is known of them."""
    return [
        [item.id, item.digest, sorted((name, repr(value)) for name, value in item.factors.items())]
        for item in items
    ]


def _checked(measurement: Measurement) -> Measurement:
    if not isinstance(measurement, Measurement):
        raise BenchError(f"a metric gave a {type(measurement).__name__}, not a Measurement")
    if not all(map(math.isfinite, (measurement.value, *measurement.resampled))):
        raise BenchError(f"metric {measurement.metric} is not finite")
    return _whole(measurement)


def _whole(measurement: Measurement) -> Measurement:
    """The same measurement with its values of single outputs as tuples, however they came."""
    values: Iterable[Any] = measurement.per_sample
    return replace(measurement, per_sample=tuple((name, k, value) for name, k, value in values))


def _file_picture(named: tuple[str, Path]) -> Picture:
    input_id, path = named
    return Picture(input_id, pixel_digest(read_image(path)), partial(read_image, path))


def _item_picture(item: ImageItem, size: int) -> Picture:
    digest = pixel_digest(load_item(item, size))
    return Picture(item.id, digest, partial(load_item, item, size), item.factors)
