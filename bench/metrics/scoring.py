"""From pictures to measurements: one pass per network, then pure functions of its features."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from bench.api import (
    BenchError,
    Direction,
    Event,
    Interval,
    Measurement,
    MetricSpec,
    Picture,
    WeightFile,
)
from bench.metrics.extractors.base import (
    GRID,
    Chosen,
    FeatureExtractor,
    MissingWeights,
    PerceptualDistance,
    choose,
)
from bench.metrics.fid import Grams, grams
from bench.metrics.perceptual import squared_distances
from bench.stats import Floats
from bench.storage.arrays import ArrayCache

__all__ = [
    "Availability",
    "DistanceTable",
    "NotMeasurable",
    "Scoring",
    "ScoringData",
    "available",
    "score",
]

Subset = Literal["all", "clean"]
Layers = Mapping[str, npt.NDArray[np.uint8 | np.uint16]]
Which = Literal["outputs", "all_outputs", "inputs", "reference", "reference_train", "source_train"]

_PIXELS_PER_BATCH = 32 * 256 * 256
"""Images of one batch together have about so many pixels; bounds the memory of a pass."""


STRUCTURE = GRID**2 * (GRID**2 - 1) // 2
"""Length of the self-similarity that stands behind the features of a picture."""


class NotMeasurable(BenchError):
    """A metric that these pictures cannot give: too few, or something is missing."""


@dataclass(frozen=True)
class ScoringData:
    """The pictures of one direction of one trial.

    Parameters
    ----------
    direction, domains
        What was translated, and the names of the two domains.
    outputs
        Input id to its samples, in order; all the same number.
    inputs
        The same keys; each picture has the size of its outputs.
    reference, reference_train
        The target domain's test and training pictures.
    source_train
        The source domain's training pictures.
    truths
        Input id to its true translations, where known.
    contaminated
        Input ids that are also training images; the subset ``clean`` leaves them out.
    layers
        Input id to its planes of labels, made when asked for; see
        :class:`bench.api.LayeredDataset`.
    classes
        Names of the classes in the layers.
    """

    direction: Direction
    domains: tuple[str, str]
    outputs: Mapping[str, Sequence[Picture]]
    inputs: Mapping[str, Picture]
    reference: Sequence[Picture]
    reference_train: Sequence[Picture] = ()
    source_train: Sequence[Picture] = ()
    truths: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    contaminated: frozenset[str] = frozenset()
    layers: Mapping[str, Callable[[], Layers]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {len(samples) for samples in self.outputs.values()}
        if not self.outputs or counts == {0}:
            raise BenchError("there is nothing to score: no outputs")
        if len(counts) > 1:
            raise BenchError(
                f"inputs have different numbers of samples ({min(counts)} to {max(counts)}): "
                f"translate all of them with the same number"
            )
        if self.outputs.keys() != self.inputs.keys():
            odd = sorted(self.outputs.keys() ^ self.inputs.keys())
            raise BenchError(f"inputs and outputs do not match: {odd[0]} is in one of them only")

    @property
    def samples(self) -> int:
        """Outputs per input."""
        return len(next(iter(self.outputs.values())))

    def clean(self) -> ScoringData:
        """Without the pictures that are training images, on either side.

        Inputs go by `contaminated`, references by their pixels.
        """
        trained = {p.digest for p in (*self.reference_train, *self.source_train)}
        kept = [key for key in self.outputs if key not in self.contaminated]
        return replace(
            self,
            outputs={key: self.outputs[key] for key in kept},
            inputs={key: self.inputs[key] for key in kept},
            truths={key: self.truths[key] for key in kept if key in self.truths},
            reference=[p for p in self.reference if p.digest not in trained],
            contaminated=frozenset(),
        )


@dataclass(frozen=True)
class DistanceTable:
    """Perceptual distances around one input.

    Parameters
    ----------
    samples
        Between its samples, ``(k, k)``.
    to_input
        From each sample to the input, ``(k,)``.
    to_truths
        From each sample to each true translation, ``(k, T)``; T may be 0.
    truths
        Between the true translations, ``(T, T)``.
    """

    samples: Floats
    to_input: Floats
    to_truths: Floats
    truths: Floats


class _Networks:
    """What is shared by all metrics and subsets of one call: networks, features, cache."""

    def __init__(
        self,
        *,
        device: torch.device,
        weights_dir: Path | None,
        offline: bool,
        cache: Path | None,
        emit: Callable[[Event], None],
    ) -> None:
        self.device, self.weights_dir, self.offline = device, weights_dir, offline
        self.cache, self.emit = ArrayCache(cache), emit
        self.asked: dict[str, str] = {}
        self._built: dict[str, Any] = {}
        self._rows: dict[str, npt.NDArray[np.float32]] = {}

    def choose(self, files: Sequence[WeightFile], version: str = "") -> Chosen:
        chosen = choose(files, weights_dir=self.weights_dir, offline=self.offline, version=version)
        self.asked[chosen.name] = chosen.sha256
        return chosen

    def build(self, chosen: Chosen) -> Any:
        key = f"{chosen.name}/{chosen.sha256}"
        if key not in self._built:
            self._built[key] = chosen.build(self.device)
        return self._built[key]

    def described(
        self, pictures: Sequence[Picture], chosen: Chosen
    ) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Features and self-similarity of each; each different picture passes once."""
        extractor: FeatureExtractor = self.build(chosen)
        prefix = f"features/{chosen.name}/{chosen.sha256}/{extractor.preprocessing}"
        missing: dict[str, Picture] = {}
        for picture in pictures:
            key = f"{prefix}/{picture.digest}"
            if key not in self._rows and key not in missing:
                kept = self.cache.get(key)
                if kept is None or len(kept) <= STRUCTURE:
                    missing[key] = picture
                else:
                    self._rows[key] = kept
        self._extract(missing, extractor)
        rows = [self._rows[f"{prefix}/{picture.digest}"] for picture in pictures]
        return [(row[:-STRUCTURE], row[-STRUCTURE:]) for row in rows]

    def _extract(self, missing: Mapping[str, Picture], extractor: FeatureExtractor) -> None:
        progress = _Progress(self.emit, f"features ({extractor.name})", len(missing))
        for keys, images in _batches(missing):
            rows = torch.cat(extractor.describe(images), 1).float().cpu().numpy()
            if not np.isfinite(rows).all():
                bad = keys[int(np.flatnonzero(~np.isfinite(rows).all(1))[0])]
                raise BenchError(
                    f"{extractor.name} gave features that are not finite for {missing[bad].id}"
                )
            fresh = dict(zip(keys, rows, strict=True))
            self._rows.update(fresh)
            self.cache.put(fresh)
            progress.advance(len(keys))

    def distance_matrix(self, pictures: Sequence[Picture], chosen: Chosen) -> Floats:
        """Perceptual distances ``(k, k)`` of pictures of one size; same pixels: exactly 0."""
        network: PerceptualDistance = self.build(chosen)
        unique = list({picture.digest: picture for picture in pictures}.values())
        place = {picture.digest: index for index, picture in enumerate(unique)}
        key = "/".join(("distances", chosen.name, chosen.sha256, network.preprocessing, *place))
        kept = self.cache.get(key)
        if kept is None or kept.shape != (len(unique), len(unique)):
            if len(unique) == 1:
                kept = np.zeros((1, 1), dtype=np.float32)
            else:
                kept = squared_distances(self._embed(unique, network)).astype(np.float32)
            self.cache.put({key: kept})
        rows = [place[picture.digest] for picture in pictures]
        return kept[np.ix_(rows, rows)].astype(np.float64)

    def _embed(self, pictures: Sequence[Picture], network: PerceptualDistance) -> Any:
        loaded = [picture.load() for picture in pictures]
        shapes = {image.shape for image in loaded}
        if len(shapes) > 1:
            sizes = ", ".join(f"{w}x{h}" for h, w, _ in sorted(shapes))
            raise BenchError(
                f"pictures of {pictures[0].id} have different sizes ({sizes}): outputs, input and "
                f"truths must have one size"
            )
        images = torch.from_numpy(np.stack(loaded)).permute(0, 3, 1, 2)
        step = max(1, _PIXELS_PER_BATCH // 4 // (images.shape[-1] * images.shape[-2]))
        parts = [network.embed(images[at : at + step]).cpu() for at in range(0, len(images), step)]
        embedded = torch.cat(parts).numpy()
        if not np.isfinite(embedded).all():
            raise BenchError(f"{network.name} gave values that are not finite for {pictures[0].id}")
        return embedded


class _Progress:
    """Progress events, a few a second."""

    def __init__(self, emit: Callable[[Event], None], what: str, total: int) -> None:
        self.emit, self.what, self.total = emit, what, total
        self.done, self.told = 0, time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.told > 0.5 or self.done == self.total:
            self.told = now
            self.emit(Event("progress", "score", self.what, self.done, self.total, "images"))


def _batches(
    missing: Mapping[str, Picture],
) -> Iterable[tuple[list[str], torch.Tensor]]:
    """Decoded pictures in batches of one size each; decoding runs ahead of the network."""
    keys = list(missing)
    with ThreadPoolExecutor(2) as pool:
        ahead: list[Any] = []
        position = 0
        group: list[str] = []
        images: list[npt.NDArray[np.uint8]] = []
        while position < len(keys) or ahead:
            while position < len(keys) and len(ahead) < 64:
                key = keys[position]
                ahead.append((key, pool.submit(missing[key].load)))
                position += 1
            key, future = ahead.pop(0)
            image = future.result()
            full = bool(images) and (
                image.shape != images[0].shape
                or (len(images) + 1) * image.shape[0] * image.shape[1] > _PIXELS_PER_BATCH
                or len(images) == 32
            )
            if full:
                yield group, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
                group, images = [], []
            group.append(key)
            images.append(image)
        if images:
            yield group, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


class Scoring:
    """What a metric sees: the pictures, and whatever was computed from them, computed once.

    Parameters
    ----------
    data
        The pictures.
    spec
        The metric that asks; its weight files decide which network answers.
    subset
        ``all`` or ``clean``; stamped on every measurement.
    """

    def __init__(
        self,
        data: ScoringData,
        spec: MetricSpec,
        networks: _Networks,
        subset: Subset = "all",
        shared: dict[str, Any] | None = None,
    ) -> None:
        self.data, self.spec, self.subset = data, spec, subset
        self._networks = networks
        self._shared: dict[str, Any] = {} if shared is None else shared

    # ------------------------------------------------------------------- pictures

    @property
    def ids(self) -> list[str]:
        """Input ids, in order."""
        return list(self.data.outputs)

    def pictures(self, which: Which) -> Sequence[Picture]:
        """One of the sets; ``outputs`` is the first sample of every input."""
        data = self.data
        if which == "outputs":
            return [samples[0] for samples in data.outputs.values()]
        if which == "all_outputs":
            return [picture for samples in data.outputs.values() for picture in samples]
        if which == "inputs":
            return [data.inputs[key] for key in data.outputs]
        sets: dict[Which, Sequence[Picture]] = {
            "reference": data.reference,
            "reference_train": data.reference_train,
            "source_train": data.source_train,
        }
        return sets[which]

    # ------------------------------------------------------------------- features

    @cached_property
    def chosen(self) -> Chosen:
        """The network behind this metric."""
        return self._networks.choose(self.spec.weights)

    @property
    def extractor(self) -> str | None:
        """Its name; None for a metric that uses none."""
        return self.chosen.name if self.spec.weights else None

    def features(self, which: Which) -> npt.NDArray[np.float32]:
        """Features ``(n, d)`` of one of the sets."""
        return self.features_of(self.pictures(which))

    def features_of(self, pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Features ``(n, d)`` of any pictures."""
        if not pictures:
            raise NotMeasurable(f"{self.spec.name} has no pictures to look at")
        return np.stack([row for row, _ in self._networks.described(pictures, self.chosen)])

    def structure_of(self, pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Self-similarity ``(n, S)`` of any pictures, from the same pass as the features."""
        return np.stack([row for _, row in self._networks.described(pictures, self.chosen)])

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Something computed once per network and subset, whichever metrics use it."""
        key = f"{self.subset}/{self.extractor}/{name}"
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def grams(self, x: Which, y: Which, *, at_least: int) -> Grams:
        """Inner products of the features of two sets.

        Raises
        ------
        NotMeasurable
            When either has fewer than `at_least` pictures.
        """
        for which in (x, y):
            self.need(which, at_least)
        made: Grams = self.once(f"grams/{x}/{y}", lambda: grams(self.features(x), self.features(y)))
        return made

    def real_grams(self) -> Grams | None:
        """Target training pictures that are no test pictures, against the reference."""
        tested = {picture.digest for picture in self.data.reference}
        fresh = [p for p in self.data.reference_train if p.digest not in tested]
        if not fresh:
            return None
        made: Grams = self.once(
            "grams/real",
            lambda: grams(self.features_of(fresh), self.features("reference")),
        )
        return made

    def distances(self, version: str = "") -> Mapping[str, DistanceTable]:
        """Perceptual distances around each input; each picture passes the network once."""
        made: Mapping[str, DistanceTable] = self.once(
            f"distances/{version}", lambda: self._distances(version)
        )
        return made

    def _distances(self, version: str) -> Mapping[str, DistanceTable]:
        chosen = self._networks.choose(self.spec.weights, version) if version else self.chosen
        progress = _Progress(self._networks.emit, f"distances ({chosen.name})", len(self.ids))
        tables = {}
        for key, samples in self.data.outputs.items():
            truths = self.data.truths.get(key, ())
            matrix = self._networks.distance_matrix(
                [*samples, self.data.inputs[key], *truths], chosen
            )
            k = len(samples)
            tables[key] = DistanceTable(
                matrix[:k, :k], matrix[:k, k], matrix[:k, k + 1 :], matrix[k + 1 :, k + 1 :]
            )
            progress.advance()
        return tables

    # --------------------------------------------------------------------- answers

    def need(self, which: Which, at_least: int) -> None:
        """Refuse, in one line, a set with fewer than `at_least` pictures."""
        count = len(self.pictures(which))
        if count < at_least:
            raise NotMeasurable(
                f"{self.spec.name} needs at least {at_least} pictures in {which}, there are {count}"
            )

    def note(self, message: str) -> None:
        """Tell the user something about this metric."""
        self._networks.emit(Event("warning", "score", message))

    def name_of(self, version: str) -> str:
        """The name of this metric's network in another version."""
        return self._networks.choose(self.spec.weights, version).name

    def per_sample(
        self, values: Sequence[Floats] | Floats, ids: Sequence[str] | None = None
    ) -> list[tuple[str, int, float]]:
        """One row of values per input as ``(input id, sample, value)``.

        A sample that repeats an earlier one of its input to the pixel is listed once: the
        one answer of a deterministic method is one picture.
        """
        rows = []
        for key, row in zip(self.ids if ids is None else ids, values, strict=True):
            seen: set[str] = set()
            for sample, value in enumerate(row):
                digest = self.data.outputs[key][sample].digest
                if digest not in seen:
                    seen.add(digest)
                    rows.append((key, sample, float(value)))
        return rows

    def measurement(
        self,
        metric: str,
        result: Interval | float,
        *,
        n: int,
        per_sample: Iterable[tuple[str, int, float]] = (),
        **changes: Any,
    ) -> Measurement:
        """A measurement with everything the spec, the network and the subset say about it.

        Raises
        ------
        BenchError
            When the value is not finite.
        """
        interval = result if isinstance(result, Interval) else Interval(result, None, None, None)
        if not np.isfinite(interval.value):
            raise BenchError(f"{metric} is not finite; its inputs are broken")
        fields: dict[str, Any] = {
            "kind": self.spec.kind,
            "unit": self.spec.unit,
            "higher_is_better": self.spec.higher_is_better,
            "extractor": self.extractor,
            **changes,
        }
        return Measurement(
            metric=metric,
            value=interval.value,
            n=n,
            low=interval.low,
            high=interval.high,
            interval=interval.method,
            subset=self.subset,
            per_sample=tuple(per_sample),
            **fields,
        )


@dataclass(frozen=True)
class Availability:
    """Which network a metric would use here; or why it cannot be had."""

    metric: str
    extractor: str | None = None
    reason: str | None = None


def available(
    specs: Sequence[MetricSpec], *, weights_dir: Path | None, offline: bool
) -> list[Availability]:
    """For each metric its network, or the reason it cannot be computed on this machine.

    Reads and downloads no weights beyond checking those that are here.
    """
    found = []
    for spec in specs:
        if not spec.weights:
            found.append(Availability(spec.name))
            continue
        try:
            chosen = choose(spec.weights, weights_dir=weights_dir, offline=offline)
            found.append(Availability(spec.name, extractor=chosen.name))
        except BenchError as error:
            found.append(Availability(spec.name, reason=str(error)))
    return found


def _implementation(spec: MetricSpec) -> Callable[[Scoring], Iterable[Measurement]]:
    module, _, name = spec.implementation.partition(":")
    try:
        function: Callable[[Scoring], Iterable[Measurement]] = getattr(
            importlib.import_module(module), name
        )
    except (ImportError, AttributeError) as error:
        raise BenchError(
            f"metric {spec.name}: {spec.implementation} cannot be imported ({error})"
        ) from error
    return function


def _unmet(spec: MetricSpec, data: ScoringData) -> str | None:
    """What a metric asks for and these pictures do not give."""
    if "samples" in spec.needs and data.samples < 2:
        return f"two or more samples per input, there is {data.samples}"
    if "pairs" in spec.needs and not data.truths:
        return "true translations, this dataset has none"
    if "layers" in spec.needs and not data.layers:
        return "to know what each pixel shows, this dataset does not"
    if "factors" in spec.needs and not any(p.factors for p in data.reference):
        return "the factors behind the pictures, this dataset has none"
    return None


def _measurable(
    metrics: Sequence[MetricSpec], data: ScoringData, emit: Callable[[Event], None]
) -> list[MetricSpec]:
    """The metrics these pictures can give; the others are named, one line for each cause."""
    unmet: dict[str, list[str]] = {}
    left = []
    for spec in metrics:
        if (cause := _unmet(spec, data)) is None:
            left.append(spec)
        else:
            unmet.setdefault(cause, []).append(spec.name)
    for cause, names in unmet.items():
        verb = "needs" if len(names) == 1 else "need"
        emit(Event("log", "score", f"not measured: {', '.join(names)} ({verb} {cause})"))
    return left


def score(
    data: ScoringData,
    metrics: Sequence[MetricSpec],
    *,
    device: torch.device,
    weights_dir: Path | None,
    offline: bool,
    cache: Path | None,
    emit: Callable[[Event], None],
    networks: dict[str, str] | None = None,
) -> list[Measurement]:
    """Every metric of one direction of one trial, on all inputs and on the clean ones.

    Parameters
    ----------
    data
        The pictures.
    metrics
        What to measure. What these pictures cannot give is left out with a warning event.
    cache
        A folder for features, kept between runs; None: nothing is kept.
    emit
        Takes progress and warnings.
    networks
        Gets the name of every network that was asked, with the SHA-256 of its weights.

    Returns
    -------
    list of Measurement
        Subset ``all``; and ``clean`` where any input or reference is also a training image.

    Raises
    ------
    BenchError
        When weights were tampered with, or pictures are broken.
    """
    shelf = _Networks(
        device=device, weights_dir=weights_dir, offline=offline, cache=cache, emit=emit
    )
    subsets: list[tuple[Subset, ScoringData]] = [("all", data)]
    # An empty clean subset cannot be scored at all, not even with a reason for each metric.
    if data.outputs.keys() - data.contaminated:
        clean = data.clean()
        if len(clean.outputs) < len(data.outputs) or len(clean.reference) < len(data.reference):
            subsets.append(("clean", clean))
    shared: dict[str, Any] = {}
    found: list[Measurement] = []
    for spec in _measurable(metrics, data, emit):
        function = _implementation(spec)
        for subset, pictures in subsets:
            try:
                found += function(Scoring(pictures, spec, shelf, subset, shared))
            except NotMeasurable as error:
                emit(Event("warning", "score", f"{error} (subset {subset})"))
            except MissingWeights as error:
                emit(Event("warning", "score", f"{spec.name} is left out: {error}"))
                break
            except Exception as error:
                # The traceback says where; the reason of the trial must say which metric.
                error.add_note(f"in metric {spec.name}, {data.direction.name}, subset {subset}")
                raise
    if networks is not None:
        networks |= shelf.asked
    return found
