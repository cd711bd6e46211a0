"""The networks behind metrics: which one is to be had, and what pictures look like to it.

Every different picture passes a network once, whichever metrics ask; what came out is kept by
content.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.api import (
    BenchError,
    Config,
    Event,
    ExtractorSpec,
    FeatureExtractor,
    PerceptualDistance,
    Picture,
)
from bench.code import code_hash
from bench.data.images import THREADS, by_threads, reduce_detail
from bench.nn.precision import float32
from bench.plugins import make_config, resolve, unknown
from bench.stats import Floats
from bench.storage import weights
from bench.storage.arrays import ArrayCache
from bench.storage.cache import key_of

_PIXELS_PER_BATCH = 32 * 256 * 256
"""Images of one batch together have about so many pixels; bounds the memory of a pass."""

Rows = npt.NDArray[np.float32]
Options = Mapping[str, Mapping[str, Any]]
"""Options of plugins of one kind, by name."""


class MissingWeights(BenchError):
    """No network of those asked for is to be had; nothing is wrong with those that are there."""


@dataclass(frozen=True)
class Chosen:
    """A network that is to be had.

    Parameters
    ----------
    spec, config, paths
        What it is, how it is configured, and the files it is read from.
    digest
        SHA-256 of each of its files and, where it is configured other than by default, of its
        configuration.
    """

    spec: ExtractorSpec
    config: Config
    paths: tuple[Path, ...]
    digest: str

    @property
    def name(self) -> str:
        """What stands beside numbers made with it."""
        return self.spec.name

    def build(self, device: torch.device) -> Any:
        """Read the network."""
        try:
            return resolve(self.spec.implementation)(self.config, self.paths, device)
        except BenchError as error:
            raise BenchError(f"extractor {self.name}: {error}") from error


def choose(
    names: Sequence[str],
    extractors: Mapping[str, ExtractorSpec],
    *,
    weights_dir: Path | None,
    offline: bool,
    options: Options | None = None,
) -> Chosen:
    """Return the first network of which all weights are to be had.

    What is on this machine is preferred over what would have to be downloaded.

    Parameters
    ----------
    names
        Best first; those that no plugin offers are passed over.
    extractors
        Every network there is, by name.
    options
        Options of extractors, by name.

    Raises
    ------
    MissingWeights
        When there is none; the message names every file that is missing, and how to get it.
    BenchError
        When a file was tampered with, or an option is wrong.
    """
    candidates = [extractors[name] for name in names if name in extractors]
    if not candidates:
        raise MissingWeights(unknown("extractor", names[0], extractors))
    lacks: dict[str, str] = {}
    for only_local in (True,) if offline else (True, False):
        for spec in candidates:
            try:
                found = [
                    weights.find(file, weights_dir=weights_dir, offline=only_local)
                    for file in spec.weights
                ]
            except BenchError as error:
                if only_local:
                    # A file of the right name and the wrong content is no absence.
                    raise
                raise MissingWeights(str(error)) from error
            paths = tuple(path for path in found if path is not None)
            if len(paths) == len(found):
                return _chosen(spec, paths, (options or {}).get(spec.name, {}))
            missing = zip(spec.weights, found, strict=True)
            lacks[spec.name] = " and ".join(weights.describe(f) for f, path in missing if not path)
    raise MissingWeights("; or ".join(lacks.values()))


def _chosen(spec: ExtractorSpec, paths: tuple[Path, ...], options: Mapping[str, Any]) -> Chosen:
    config = make_config("extractor", spec.name, spec.config, options)
    hashes = [weights.sha256_of(path) for path in paths]
    if given := config.model_dump(mode="json", exclude_defaults=True):
        hashes.append(key_of(**given))
    return Chosen(spec, config, paths, "-".join(hashes))


class Networks:
    """What all metrics and subsets of one call share: networks, features, cache.

    Parameters
    ----------
    extractors
        Every network there is, by name.
    options
        Options of extractors, by name.
    device, weights_dir, offline
        Where to compute, where official weights lie, whether to stay off the network.
    cache
        A folder for features, kept between runs; None: nothing is kept.
    emit
        Takes progress and warnings.

    Attributes
    ----------
    asked
        Every network that was asked for, by name, with its digest.
    """

    def __init__(
        self,
        extractors: Mapping[str, ExtractorSpec],
        *,
        device: torch.device,
        weights_dir: Path | None,
        offline: bool,
        cache: Path | None,
        emit: Callable[[Event], None],
        options: Options | None = None,
    ) -> None:
        for name in options or {}:
            if name not in extractors:
                raise BenchError(unknown("extractor", name, extractors))
        self.extractors, self.options = extractors, options
        self.device, self.weights_dir, self.offline = device, weights_dir, offline
        self.cache, self.emit = ArrayCache(cache), emit
        self.asked: dict[str, str] = {}
        self._built: dict[str, Any] = {}
        self._rows: dict[str, Rows] = {}

    def choose(self, names: Sequence[str]) -> Chosen:
        """Return the best network of these names.

        Raises
        ------
        MissingWeights
            When none is to be had, or no plugin offers any of them.
        """
        chosen = choose(
            names,
            self.extractors,
            weights_dir=self.weights_dir,
            offline=self.offline,
            options=self.options,
        )
        self.asked[chosen.name] = chosen.digest
        return chosen

    def build(self, chosen: Chosen) -> Any:
        """Return the network, read at the first call."""
        if chosen.name not in self._built:
            self._built[chosen.name] = chosen.build(self.device)
        return self._built[chosen.name]

    # ------------------------------------------------------------------- features

    def described(
        self, pictures: Sequence[Picture], chosen: Chosen, side: int | None = None
    ) -> list[list[Rows]]:
        """Return features and self-similarity of each; each different picture passes once.

        With `side`, of the pictures without the detail that so many pixels cannot hold.

        Raises
        ------
        BenchError
            When the network gives none, or some that are not finite.
        """
        extractor = self.build(chosen)
        if not isinstance(extractor, FeatureExtractor):
            raise BenchError(f"extractor {chosen.name} gives no features: it has no describe()")
        seen = extractor.preprocessing if side is None else f"{extractor.preprocessing}/area-{side}"
        prefix = _prefix("features", chosen, seen)
        missing: dict[str, Picture] = {}
        for picture in pictures:
            key = f"{prefix}/{picture.digest}"
            if key not in self._rows and key not in missing:
                kept = self.cache.get(key)
                if kept is not None and _is_row(kept):
                    self._rows[key] = kept
                else:
                    missing[key] = picture if side is None else _reduced(picture, side)
        self._extract(missing, chosen, extractor)
        rows = [self._rows[f"{prefix}/{picture.digest}"] for picture in pictures]
        return [np.split(row[1:], [int(row[0])]) for row in rows]

    def _extract(
        self, missing: Mapping[str, Picture], chosen: Chosen, extractor: FeatureExtractor
    ) -> None:
        """Keep a row for each: how many features it has, these, and its self-similarity."""
        progress = Progress(self.emit, f"features ({chosen.name})", len(missing))
        for keys, images in _batches(missing):
            with float32("fp32"):
                features, structure = extractor.describe(images)
            rows = torch.cat([features, structure], 1).float().cpu().numpy()
            if not np.isfinite(rows).all():
                bad = keys[int(np.flatnonzero(~np.isfinite(rows).all(1))[0])]
                raise BenchError(
                    f"{chosen.name} gave features that are not finite for {missing[bad].id}"
                )
            size = np.full((len(rows), 1), features.shape[1], np.float32)
            fresh = dict(zip(keys, np.concatenate([size, rows], 1), strict=True))
            self._rows.update(fresh)
            self.cache.put(fresh)
            progress.advance(len(keys))

    # -------------------------------------------------------------------- learning

    def learned(
        self, learn: Callable[..., npt.ArrayLike], given: Sequence[npt.NDArray[np.generic]]
    ) -> Rows:
        """Return what a function of a module makes of arrays, in float32; kept between runs."""
        content = hashlib.sha256()
        for array in given:
            content.update(f"{array.dtype}{array.shape}".encode())
            content.update(np.ascontiguousarray(array).tobytes())
        name = f"{learn.__module__}.{learn.__qualname__}"
        key = f"learned/{name}/{code_hash(learn.__module__)}/{content.hexdigest()}"
        kept = self.cache.get(key)
        if kept is None:
            kept = np.asarray(learn(*given), np.float32)
            self.cache.put({key: kept})
        return kept

    # ------------------------------------------------------------------ distances

    def distances(self, pictures: Sequence[Picture], chosen: Chosen) -> Floats:
        """Return perceptual distances ``(k, k)`` of pictures of one size; same pixels: exactly 0.

        Raises
        ------
        BenchError
            When the network gives none, or sizes differ.
        """
        network = self.build(chosen)
        if not isinstance(network, PerceptualDistance):
            raise BenchError(f"extractor {chosen.name} gives no distances: it has no embed()")
        unique = list({picture.digest: picture for picture in pictures}.values())
        place = {picture.digest: index for index, picture in enumerate(unique)}
        key = "/".join((_prefix("distances", chosen, network.preprocessing), *place))
        kept = self.cache.get(key)
        if kept is None or kept.shape != (len(unique), len(unique)):
            if len(unique) == 1:
                kept = np.zeros((1, 1), dtype=np.float32)
            else:
                with float32("fp32"):
                    embedded = _embed(unique, network, chosen.name)
                    kept = squared_distances(embedded).astype(np.float32)
            self.cache.put({key: kept})
        rows = [place[picture.digest] for picture in pictures]
        return kept[np.ix_(rows, rows)].astype(np.float64)


def _reduced(picture: Picture, side: int) -> Picture:
    return replace(picture, load=lambda: reduce_detail(picture.load(), side))


def _is_row(kept: Rows) -> bool:
    """Whether it is what was kept of a picture; another release may have kept something else."""
    return kept.ndim == 1 and len(kept) > 1 and 1 <= kept[0] < len(kept)


def _prefix(what: str, chosen: Chosen, preprocessing: str) -> str:
    """Return the part of a cache key that says what the pictures were seen through, and how.

    Networks behind numbers compute in float32 whatever the trial does: TF32 moves a KID by
    0.2 %.
    """
    return f"{what}/{chosen.name}/{chosen.spec.version}/{chosen.digest}/{preprocessing}/float32"


def squared_distances(embedded: torch.Tensor) -> Floats:
    """Pairwise squared Euclidean distances ``(k, k)`` of the rows of ``(k, F)``.

    Where the rows lie, by inner products of rows that are centred first, so that close rows
    keep their digits; the diagonal is exactly 0.
    """
    centred = embedded - embedded.mean(0, keepdim=True)
    products = (centred @ centred.T).double()
    norms = products.diagonal()
    distances = (norms[:, None] + norms[None, :] - 2.0 * products).clamp(min=0.0)
    found: Floats = ((distances + distances.T) / 2.0).fill_diagonal_(0.0).cpu().numpy()
    return found


def _embed(pictures: Sequence[Picture], network: PerceptualDistance, name: str) -> torch.Tensor:
    loaded = by_threads(lambda picture: picture.load(), pictures)
    shapes = {image.shape for image in loaded}
    if len(shapes) > 1:
        sizes = ", ".join(f"{w}x{h}" for h, w, _ in sorted(shapes))
        raise BenchError(
            f"pictures of {pictures[0].id} have different sizes ({sizes}): outputs, input and "
            f"truths must have one size"
        )
    images = torch.from_numpy(np.stack(loaded)).permute(0, 3, 1, 2)
    if min(images.shape[-2:]) < network.smallest:
        raise BenchError(
            f"{name} needs images of at least {network.smallest} pixels a side, "
            f"got {images.shape[-1]}x{images.shape[-2]}"
        )
    step = max(1, _PIXELS_PER_BATCH // 4 // (images.shape[-1] * images.shape[-2]))
    embedded = torch.cat([network.embed(part) for part in torch.split(images, step)])
    if not bool(embedded.isfinite().all()):
        raise BenchError(f"{name} gave values that are not finite for {pictures[0].id}")
    return embedded


class Progress:
    """Progress events, a few a second."""

    def __init__(self, emit: Callable[[Event], None], what: str, total: int) -> None:
        self.emit, self.what, self.total = emit, what, total
        self.done, self.told = 0, time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count some more as done."""
        self.done += count
        now = time.monotonic()
        if now - self.told > 0.5 or self.done == self.total:
            self.told = now
            self.emit(Event("progress", "score", self.what, self.done, self.total, "images"))


def _batches(missing: Mapping[str, Picture]) -> Iterable[tuple[list[str], torch.Tensor]]:
    """Yield decoded pictures in batches of one size each; decoding runs ahead of the network."""
    keys = list(missing)
    with ThreadPoolExecutor(THREADS) as pool:
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
