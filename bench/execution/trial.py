"""One trial: fit, translate, score, time. Knows nothing of screens or clusters.

Each stage has a key made of everything that may change its result. A stage whose key is in
the cache is taken from there; otherwise it is run, and kept when it ended well.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.api import (
    BenchError,
    Budget,
    Context,
    Dataset,
    Direction,
    Domain,
    Event,
    ImageItem,
    LayeredDataset,
    Measurement,
    Method,
    MethodSpec,
    MetricSpec,
    Picture,
    Split,
    TrainData,
)
from bench.data.given import Stock, take_stock
from bench.data.images import (
    Pixels,
    load_item,
    load_tensor,
    pixel_digest,
    read_image,
    to_float,
    to_uint8,
    write_png,
)
from bench.data.job import Job, open_dataset, select
from bench.devices import (
    choose_device,
    choose_precision,
    describe_device,
    is_out_of_memory,
    peak_memory_mb,
)
from bench.execution.timing import time_method
from bench.metrics.judge import Judge
from bench.plugins import Registry, code_hash, load_weights, make_config, resolve
from bench.storage.cache import Cache, key_of, link_tree
from bench.storage.files import link_or_copy, write_atomic, write_json
from bench.training.loop import seconds_spent
from bench.training.precision import apply_float32_policy
from bench.training.seeding import derive_seed
from bench.translator import translate_padded

if TYPE_CHECKING:
    from bench.metrics.context import ScoringData

Emit = Callable[[Event], None]
Row = dict[str, Any]

SCORED = "scored.json"
"""The manifest of a trial's scores, by direction."""

_BATCH_PIXELS = 16 * 128 * 128
"""Pixels (times samples) translated at once; small enough for a CPU, enough for a GPU."""


def contaminated(dataset: Dataset) -> frozenset[str]:
    """Digests of training images; a test image with one of them is not clean."""
    return frozenset(
        item.digest for domain in ("a", "b") for item in dataset.split("train", domain)
    )


@dataclass
class Outcome:
    """What a trial gives: what ``trials`` says of it beside `Job.columns`, and other rows."""

    trial: Row
    measurements: list[Row] = field(default_factory=list)
    samples: list[Row] = field(default_factory=list)
    timings: list[Row] = field(default_factory=list)


class Trial:
    """Runs the four stages of one job inside its folder ``<run>/trials/<trial>``.

    Parameters
    ----------
    job
        What to do.
    run
        The run folder.
    registry
        The plugins.
    emit
        Takes events.
    decoded
        Whole splits that were decoded before; for trials of one dataset and size.
    """

    def __init__(
        self,
        job: Job,
        run: Path,
        registry: Registry,
        emit: Emit,
        *,
        decoded: dict[tuple[Split, Domain], torch.Tensor] | None = None,
    ) -> None:
        self.job = job
        self.run_folder = run
        self.folder = run / "trials" / job.trial
        self.registry = registry
        self.emit = emit
        self.cache = Cache(Path(job.cache))
        self.spec: MethodSpec = registry.method(job.method)
        device = choose_device(job.device)
        weights_dir = Path(job.weights_dir) if job.weights_dir else None
        self.ctx = Context(
            device=device,
            precision=choose_precision(job.precision, device),
            seed=derive_seed("trial", job.seed),
            weights_dir=weights_dir,
            offline=job.offline,
            work_dir=self.folder / "checkpoints",
            emit=emit,
            judge=Judge(weights_dir, job.offline),
        )
        apply_float32_policy(self.ctx)
        self.row: Row = {"device": str(device), "precision": self.ctx.precision}
        self.cached: list[str] = []
        self._pixels = {} if decoded is None else decoded

    # ------------------------------------------------------------------ data

    @cached_property
    def dataset(self) -> Dataset:
        """The opened dataset; refuses one that is not what was planned."""
        job = self.job
        spec = self.registry.dataset(job.dataset)
        log = partial(_log, self.emit)
        dataset = open_dataset(
            spec, job.dataset_config, self.cache.root, offline=job.offline, progress=log
        )
        if (found := dataset.fingerprint()) != job.fingerprint:
            raise BenchError(
                f"dataset {job.dataset} changed while the run was under way "
                f"({found[:8]} instead of {job.fingerprint[:8]}): start the run again"
            )
        return dataset

    @property
    def directions(self) -> list[Direction]:
        """The directions, by the domains' names."""
        return [Direction.parse(text, self.dataset.domains) for text in self.job.directions]

    def inputs(self, direction: Direction) -> list[ImageItem]:
        """The test inputs of a direction; of pictures made elsewhere those that have one."""
        items = select(self.dataset.split("test", direction.source), self.job.test_limit)
        if self.spec.precomputed:
            there = self.stock.outputs[direction.key]
            return [item for item in items if item.id in there]
        return items

    @cached_property
    def stock(self) -> Stock:
        """Pictures made elsewhere; refuses others than were planned."""
        job = self.job
        config = make_config("method", job.label, self.spec.config, job.config)
        stock = take_stock(
            resolve(self.spec.implementation)(config),
            job.label,
            self.dataset,
            self.directions,
            size=job.size,
            samples=job.samples,
            test_limit=job.test_limit,
            allow_missing=job.allow_missing,
        )
        if stock.digest != job.given:
            raise BenchError(
                f"the pictures of {job.label} changed while the run was under way: "
                "start the run again"
            )
        return stock

    def pixels(self, split: Split, domain: Domain) -> torch.Tensor:
        """A whole split as uint8 ``(N, 3, size, size)`` on the CPU, decoded once."""
        if (split, domain) not in self._pixels:
            items = self.dataset.split(split, domain)
            self._pixels[split, domain] = load_tensor(items, self.job.size)
        return self._pixels[split, domain]

    def pictures(self, split: Split, domain: Domain) -> list[Picture]:
        """The same split for scoring."""
        pixels = self.pixels(split, domain).permute(0, 2, 3, 1).contiguous().numpy()
        return [
            Picture(item.id, pixel_digest(array), partial(_itself, array), item.factors)
            for item, array in zip(self.dataset.split(split, domain), pixels, strict=True)
        ]

    @cached_property
    def train_data(self) -> TrainData:
        """Both train splits on the device."""
        tensors = [self.pixels("train", domain).to(self.ctx.device) for domain in ("a", "b")]
        paired = self.spec.paired and self.dataset.paired
        return TrainData(tensors[0], tensors[1], self.dataset.domains, paired)

    # ------------------------------------------------------------------- fit

    @cached_property
    def method(self) -> Method:
        """The fitted method; made only when a stage needs it."""
        job = self.job
        if job.weights is not None:
            return load_weights(self.spec, job.label, Path(job.weights), self.ctx, job.config)
        config = make_config("method", job.label, self.spec.config, job.config)
        method: Method = resolve(self.spec.implementation)(config, self.ctx)
        if self.spec.trained:
            self._restore_or_fit(method)
        return method

    def _restore_or_fit(self, method: Method) -> None:
        from safetensors.torch import load_file, save

        entry = self.cache.get("fit", self.job.fit_key)
        if entry is not None:
            method.load_state_dict(load_file(entry / "weights.safetensors"))
            return
        self._own_work_dir()
        begun = time.monotonic()
        method.fit(self.train_data, Budget.parse(self.job.budget))  # type: ignore[attr-defined]
        state = {name: t.detach().cpu().contiguous() for name, t in method.state_dict().items()}
        curve = self.ctx.work_dir / "losses.jsonl" if self.ctx.work_dir else None
        facts = {
            "seconds": self._seconds_fitted(time.monotonic() - begun),
            "iterations": _last_iteration(curve),
            "parameters": sum(tensor.numel() for tensor in state.values()),
        }
        with self.cache.put("fit", self.job.fit_key) as building:
            write_atomic(building / "weights.safetensors", save(state))
            write_json(building / "fit.json", facts)
            if curve is not None and curve.exists():
                link_or_copy(curve, building / "losses.jsonl")

    def _seconds_fitted(self, this_time: float) -> float:
        """What training took, over all attempts where it was interrupted."""
        work = self.ctx.work_dir
        counted = seconds_spent(work) if work is not None else None
        return max(this_time, counted or 0.0)

    def _own_work_dir(self) -> None:
        """Empty the checkpoint folder unless it belongs to this very fit."""
        work = self.ctx.work_dir
        assert work is not None
        work.mkdir(parents=True, exist_ok=True)
        mark = work / "KEY"
        if mark.exists() and mark.read_text("utf-8") == self.job.fit_key:
            return
        shutil.rmtree(work)
        write_atomic(mark, self.job.fit_key)

    def _fit(self) -> None:
        if not self.spec.trained or self.job.weights is not None:
            return
        known = self.cache.get("fit", self.job.fit_key) is not None
        if not known:
            _ = self.method
        entry = self.cache.get("fit", self.job.fit_key)
        assert entry is not None
        facts = json.loads((entry / "fit.json").read_text("utf-8"))
        link_or_copy(
            entry / "weights.safetensors", self.folder / "checkpoints" / "weights.safetensors"
        )
        if (entry / "losses.jsonl").exists():
            link_or_copy(entry / "losses.jsonl", self.folder / "losses.jsonl")
        self.row |= {
            "fit_seconds": facts["seconds"],
            "iterations": facts["iterations"],
            "parameters": facts["parameters"],
        }
        self._mark_cached("fit", known)

    # -------------------------------------------------------------- translate

    def _translate_key(self, direction: Direction) -> str:
        return key_of(
            stage="translate",
            fit=self.job.fit_key,
            code=code_hash("bench.execution.trial", "bench.translator"),
            direction=direction.key,
            multiple_of=self.spec.multiple_of,
            inputs=[[item.id, item.digest] for item in self.inputs(direction)],
            samples=self.job.samples,
        )

    def images_folder(self, direction: Direction) -> Path:
        """Where the outputs of a direction lie: ``<input id>/<sample>.png``."""
        return self.folder / "images" / direction.name

    def _translate(self) -> None:
        known = []
        for direction in self.directions:
            key = self._translate_key(direction)
            entry = self.cache.get("translate", key)
            known.append(entry is not None)
            if entry is None:
                self._translate_direction(direction, key)
                with self.cache.put("translate", key) as building:
                    for name in self._output_names(direction):
                        link_or_copy(self.images_folder(direction) / name, building / name)
            else:
                shutil.rmtree(self.images_folder(direction), ignore_errors=True)
                link_tree(entry, self.images_folder(direction))
        self._mark_cached("translate", all(known))

    def _output_names(self, direction: Direction) -> list[str]:
        return [
            f"{item.id}/{k}.png" for item in self.inputs(direction) for k in range(self.job.samples)
        ]

    def _take_given(self, direction: Direction) -> None:
        """Copy pictures made elsewhere to where a method's own would be, as PNG."""
        folder = self.images_folder(direction)
        shutil.rmtree(folder, ignore_errors=True)
        for key, outputs in self.stock.outputs[direction.key].items():
            for k, output in enumerate(outputs):
                write_png(folder / key / f"{k}.png", load_item(output, None))

    def _translate_direction(self, direction: Direction, key: str) -> None:
        if self.spec.precomputed:
            self._take_given(direction)
            return
        items = self.inputs(direction)
        folder = self.images_folder(direction)
        mark = self.folder / "checkpoints" / f"translate-{direction.key}.KEY"
        resuming = mark.exists() and mark.read_text("utf-8") == key
        if not resuming:
            # Before the mark: no picture of another key may ever lie beside it.
            shutil.rmtree(folder, ignore_errors=True)
            write_atomic(mark, key)
        with self.ready_for(direction) as method:
            chunk = self.batch_size
            for first in range(0, len(items), chunk):
                part = items[first : first + chunk]
                # Whole chunks only: an image must meet the neighbours it would have met.
                done = resuming and all(
                    _decodes(folder / item.id / f"{k}.png")
                    for item in part
                    for k in range(self.job.samples)
                )
                if not done:
                    outputs = self.translate_items(method, part, direction)
                    for item, samples in zip(part, outputs, strict=True):
                        for k, sample in enumerate(samples):
                            pixels = sample.permute(1, 2, 0).cpu().numpy()
                            write_png(folder / item.id / f"{k}.png", pixels)
                finished = min(first + chunk, len(items))
                self.emit(
                    Event("progress", "translate", direction.name, finished, len(items), "images")
                )

    @property
    def batch_size(self) -> int:
        """Inputs translated at once; fixed by size and samples, never by what is free."""
        return max(1, _BATCH_PIXELS // (self.job.size**2 * self.job.samples))

    @contextmanager
    def ready_for(self, direction: Direction) -> Iterator[Method]:
        """The method, with its exemplars set where it needs any."""
        method = self.method
        if self.spec.exemplar:
            pool = self.train_data.of(direction.target)
            method.use_exemplars(pool, direction)  # type: ignore[attr-defined]
        # A method that follows gradients when it translates enables them itself.
        with torch.no_grad():
            yield method

    def seeds(self, items: Sequence[ImageItem], direction: Direction) -> torch.Tensor:
        """Style seeds ``(B, samples)`` from (trial seed, direction, image id, sample)."""
        return torch.tensor(
            [
                [
                    derive_seed(self.job.seed, direction.key, item.id, k)
                    for k in range(self.job.samples)
                ]
                for item in items
            ],
            dtype=torch.int64,
        )

    def translate_items(
        self, method: Method, items: Sequence[ImageItem], direction: Direction
    ) -> torch.Tensor:
        """Translate items: uint8 ``(B, samples, 3, H, W)``; halves the batch when memory ends."""
        images = to_float(load_tensor(items, self.job.size).to(self.ctx.device))
        seeds = self.seeds(items, direction)
        batch = len(items)
        while True:
            try:
                parts = [
                    translate_padded(
                        method,
                        self.spec.multiple_of,
                        images[i : i + batch],
                        direction,
                        samples=self.job.samples,
                        seeds=seeds[i : i + batch],
                    )
                    for i in range(0, len(items), batch)
                ]
                outputs = torch.cat(parts)
                _check_range(outputs, self.job.method)
                return to_uint8(outputs)
            except (RuntimeError, MemoryError) as error:
                if batch == 1 or not is_out_of_memory(error):
                    raise
                batch = (batch + 1) // 2
                self.emit(Event("warning", "translate", f"out of memory: batch reduced to {batch}"))

    # ------------------------------------------------------------------ score

    @property
    def metrics(self) -> list[MetricSpec]:
        """What is measured."""
        return [
            spec
            for name, spec in self.registry.metrics.items()
            if (spec.default if self.job.metrics is None else name in self.job.metrics)
        ]

    def scoring_code(self) -> str:
        """Hash of the sources behind the numbers."""
        networks = self.registry.extractors
        asked = {name for spec in self.metrics for name in spec.extractors} & networks.keys()
        named = [spec.implementation for spec in self.metrics]
        named += [networks[name].implementation for name in asked]
        implementations = {one.partition(":")[0] for one in named}
        return code_hash(
            "bench.metrics", "bench.stats", "bench.data.images", *sorted(implementations)
        )

    def _score(self) -> None:
        from bench.metrics.score import available

        extractors = available(
            self.metrics,
            self.registry.extractors,
            weights_dir=self.ctx.weights_dir,
            offline=self.ctx.offline,
        )
        known, scored = [], {}
        for direction in self.directions:
            key = key_of(
                stage="score",
                translate=self._translate_key(direction),
                repeats=self.job.repeats,
                code=self.scoring_code(),
                metrics=[spec.name for spec in self.metrics],
                extractors=str(extractors),
            )
            entry = self.cache.get("score", key)
            known.append(entry is not None)
            if entry is None:
                self.emit(Event("stage", "score", direction.name))
                rows, record = self._score_direction(direction)
                with self.cache.put("score", key) as building:
                    write_json(building / "measurements.json", rows)
                    write_json(building / SCORED, record)
            else:
                rows = json.loads((entry / "measurements.json").read_text("utf-8"))
                record = json.loads((entry / SCORED).read_text("utf-8"))
            scored[direction.name] = record
            self._add_rows(direction, rows)
        write_json(self.folder / SCORED, scored)
        self._mark_cached("score", all(known))

    def _score_direction(self, direction: Direction) -> tuple[list[Row], Row]:
        """Its measurements, and the manifest of what they were made from."""
        from bench.metrics.manifest import manifest
        from bench.metrics.score import score

        data, networks = self.scoring_data(direction), dict[str, str]()
        measured = score(
            data,
            [spec.name for spec in self.metrics],
            self.registry,
            device=self.ctx.device,
            cache=self.cache.root / "features",
            emit=self.emit,
            weights_dir=self.ctx.weights_dir,
            offline=self.ctx.offline,
            networks=networks,
        )
        # Pictures made elsewhere have no seeds that we know of.
        items = [] if self.spec.precomputed else self.inputs(direction)
        record = manifest(
            data,
            samples=self.job.samples,
            size=self.job.size,
            seeds={item.id: self.seeds([item], direction)[0].tolist() for item in items},
            metrics=[spec.name for spec in self.metrics],
            networks=networks,
            code=self.scoring_code(),
        )
        return [_measurement_json(m) for m in measured], record

    def scoring_data(self, direction: Direction) -> ScoringData:
        """The pictures of a direction: its outputs read back, its inputs, what they compare to."""
        from bench.metrics.context import ScoringData

        dataset, size = self.dataset, self.job.size
        items = self.inputs(direction)
        folder = self.images_folder(direction)
        trained_on = contaminated(dataset)
        truths = {
            item.id: [_item_picture(true, size) for true in dataset.truth(item, direction)]
            for item in items
        }
        return ScoringData(
            direction=direction,
            domains=dataset.domains,
            outputs={
                item.id: [
                    _file_picture(item.id, folder / item.id / f"{k}.png")
                    for k in range(self.job.samples)
                ]
                * self.job.repeats
                for item in items
            },
            inputs={item.id: _item_picture(item, size) for item in items},
            reference=self.pictures("test", direction.target),
            reference_train=self.pictures("train", direction.target),
            source_train=self.pictures("train", direction.source),
            truths={key: value for key, value in truths.items() if value},
            contaminated=frozenset(item.id for item in items if item.digest in trained_on),
            **_layers(dataset, items),
        )

    def _add_rows(self, direction: Direction, rows: Sequence[Mapping[str, Any]]) -> None:
        base = self._base(direction)
        pictured: set[tuple[str, int]] = set()
        for row in rows:
            values = dict(row)
            for input_id, k, value in values.pop("per_sample"):
                if k >= self.job.samples:
                    continue  # the same picture again, see Job.repeats
                self.outcome.samples.append(
                    base
                    | self._paths(direction, input_id, k)
                    | {"metric": row["metric"], "value": value}
                )
                pictured.add((input_id, k))
            self.outcome.measurements.append(base | values)
        for item in self.inputs(direction):
            for k in range(self.job.samples):
                if (item.id, k) not in pictured:
                    self.outcome.samples.append(base | self._paths(direction, item.id, k))

    def _paths(self, direction: Direction, input_id: str, k: int) -> Row:
        output = self.images_folder(direction) / input_id / f"{k}.png"
        return {
            "input_id": input_id,
            "sample": k,
            "path": output.relative_to(self.run_folder).as_posix(),
            "input_path": f"inputs/{direction.name}/{input_id}.png",
        }

    def _base(self, direction: Direction) -> Row:
        job = self.job
        return {
            "trial": job.trial,
            "method": job.method,
            "label": job.label,
            "dataset": job.dataset,
            "direction": direction.name,
            "seed": job.seed,
        }

    def _write_inputs(self) -> None:
        """What people compare with: inputs as the methods saw them, and their true translations.

        ``audit/<direction>.json`` names the training images that an input is identical to.
        """
        size = self.job.size
        train: dict[str, list[list[str]]] = {}
        for domain in ("a", "b"):
            for item in self.dataset.split("train", domain):
                train.setdefault(item.digest, []).append([domain, item.id])
        for direction in self.directions:
            items = self.inputs(direction)
            for item in items:
                name = Path(direction.name) / item.id
                _keep(self.run_folder / "inputs" / f"{name}.png", load_item(item, size))
                for k, true in enumerate(self.dataset.truth(item, direction)):
                    _keep(self.run_folder / "truths" / name / f"{k}.png", load_item(true, size))
            twins = {item.id: train[item.digest] for item in items if item.digest in train}
            write_json(self.run_folder / "audit" / f"{direction.name}.json", twins)

    # ------------------------------------------------------------------- time

    def _time(self) -> None:
        if self.spec.precomputed:
            return  # whoever made the pictures knows
        facts = describe_device(self.ctx.device)
        key = key_of(
            stage="time",
            translate=[self._translate_key(direction) for direction in self.directions],
            code=code_hash("bench.execution.trial", "bench.execution.timing"),
            hardware=facts,
        )
        entry = self.cache.get("time", key)
        if entry is None:
            rows, measured = time_method(self)
            # Kept by key: the names of the domains may be others next time.
            keys = {direction.name: direction.key for direction in self.directions}
            result: dict[str, Any] = {
                "timings": [row | {"direction": keys[row["direction"]]} for row in rows],
                "measurements": [row | {"direction": keys[row["direction"]]} for row in measured],
                "peak_memory_mb": peak_memory_mb(self.ctx.device),
            }
            with self.cache.put("time", key) as building:
                write_json(building / "time.json", result)
        else:
            result = json.loads((entry / "time.json").read_text("utf-8"))
        base = {direction.key: self._base(direction) for direction in self.directions}
        self.outcome.timings += [base[row.pop("direction")] | row for row in result["timings"]]
        self.outcome.measurements += [
            base[row.pop("direction")] | row for row in result["measurements"]
        ]
        self.row["peak_memory_mb"] = result["peak_memory_mb"]
        self._mark_cached("time", entry is not None)

    # -------------------------------------------------------------------- all

    def _mark_cached(self, stage: str, known: bool) -> None:
        if known:
            self.cached.append(stage)

    def run(self) -> Outcome:
        """Run what is not in the cache; gives every row of the trial."""
        self.outcome = Outcome(self.row)
        stages: list[tuple[str, Callable[[], object]]] = [
            ("fit", self._fit),
            ("translate", self._translate),
            ("score", self._score),
            ("time", self._time),
        ]
        for name, stage in stages:
            self.emit(Event("stage", name, "begin"))
            begun = time.monotonic()
            stage()
            self.row.setdefault(f"{name}_seconds", time.monotonic() - begun)
            self.emit(Event("stage", name, "end"))
        self._write_inputs()
        reason = self.stock.shortfall if self.spec.precomputed else ""
        self.row |= {"cached": "+".join(self.cached), "status": "ok", "reason": reason}
        return self.outcome


# ---------------------------------------------------------------------- small parts


def _log(emit: Emit, message: str) -> None:
    emit(Event("log", "", message))


def _last_iteration(curve: Path | None) -> int | None:
    if curve is None or not curve.exists():
        return None
    lines = curve.read_text("utf-8").splitlines()
    return int(json.loads(lines[-1])["iteration"]) + 1 if lines else None


def _decodes(path: Path) -> bool:
    """Whether a picture written before is there and whole."""
    try:
        read_image(path)
    except BenchError:
        return False
    return True


def _keep(path: Path, pixels: Pixels) -> None:
    """Write a picture unless it is there; an earlier attempt may have left another size."""
    if not _decodes(path) or not np.array_equal(read_image(path), pixels):
        write_png(path, pixels)


def _check_range(outputs: torch.Tensor, method: str) -> None:
    """Refuse what would be clamped without a word, as a method that forgot its ``[0, 1]`` gives."""
    low, high = float(outputs.min()), float(outputs.max())
    if low < -1e-3 or high > 1 + 1e-3:  # NaN passes: it is refused by name a line later
        raise BenchError(
            f"{method} gave values from {low:.3g} to {high:.3g}: images lie between 0 and 1"
        )


def _measurement_json(measurement: Measurement) -> Row:
    if not isinstance(measurement, Measurement):
        raise BenchError(f"a metric gave a {type(measurement).__name__}, not a Measurement")
    if not math.isfinite(measurement.value):
        raise BenchError(f"metric {measurement.metric} is not finite")
    row = {part.name: getattr(measurement, part.name) for part in fields(measurement)}
    return row | {"per_sample": [list(entry) for entry in measurement.per_sample]}


def _file_picture(input_id: str, path: Path) -> Picture:
    return Picture(input_id, pixel_digest(read_image(path)), partial(read_image, path))


def _item_picture(item: ImageItem, size: int) -> Picture:
    digest = pixel_digest(load_item(item, size))
    return Picture(item.id, digest, partial(load_item, item, size), item.factors)


def _layers(dataset: Dataset, items: Sequence[ImageItem]) -> dict[str, Any]:
    """What each pixel of the inputs shows, where the dataset knows."""
    if not isinstance(dataset, LayeredDataset):
        return {}
    layers = {item.id: partial(dataset.layers, item) for item in items}
    return {"layers": layers, "classes": dataset.classes}


def _itself(pixels: Pixels) -> Pixels:
    return pixels
