"""``bench.score``: the metrics of the suite for pictures that come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from bench.api import A2B, BenchError, Event, Picture
from bench.data.images import Pixels, pixel_digest, read_image
from bench.data.names import fakes, said
from bench.devices import choose_device
from bench.metrics.context import ScoringData
from bench.metrics.networks import Options
from bench.metrics.score import score
from bench.plugins import Registry, load_plugins

Images = str | Path | Sequence[str | Path] | npt.NDArray[Any] | torch.Tensor
"""A folder, a list of files, or an array: ``(N, H, W, 3)`` uint8 or ``(N, 3, H, W)`` floats."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def _from_array(array: npt.NDArray[Any], name: str) -> list[Pixels]:
    if array.ndim != 4:
        raise BenchError(f"{name}: expected four dimensions, got shape {array.shape}")
    if array.shape[-1] != 3:
        if array.shape[1] != 3:
            raise BenchError(f"{name}: expected three channels, got shape {array.shape}")
        array = np.moveaxis(array, 1, -1)
    if array.dtype == np.uint8:
        return [np.ascontiguousarray(image) for image in array]
    if not np.issubdtype(array.dtype, np.floating):
        raise BenchError(
            f"{name}: expected uint8 in [0, 255] or floats in [0, 1], got {array.dtype}"
        )
    if not np.isfinite(array).all():
        raise BenchError(f"{name}: some values are not finite")
    if array.size and (array.min() < -1e-6 or array.max() > 1 + 1e-6):
        raise BenchError(
            f"{name}: floats must lie in [0, 1], got {array.min():.3g} to {array.max():.3g}"
        )
    rounded: Pixels = np.rint(np.clip(array, 0, 1) * 255.0).astype(np.uint8)
    return list(rounded)


def _files(images: Images, name: str) -> list[Path] | None:
    """Return the files of a folder (sorted by name) or a list; None of an array."""
    if isinstance(images, torch.Tensor | np.ndarray):
        return None
    if isinstance(images, str | Path):
        folder = Path(images)
        if not folder.is_dir():
            raise BenchError(f"{name}: {folder} is not a folder")
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    return [Path(file) for file in images]


def pictures(images: Images, name: str) -> list[Picture]:
    """Pictures from a folder (sorted by name), a list of files, or an array.

    Raises
    ------
    BenchError
        When there are none, or they are no 8-bit or ``[0, 1]`` RGB images.
    """
    if (files := _files(images, name)) is not None:
        loaded = [read_image(file) for file in files]
        ids = [file.stem for file in files]
        if len(set(ids)) < len(ids):
            ids = [f"{index:06d}-{stem}" for index, stem in enumerate(ids)]
    else:
        array = images.detach().cpu().numpy() if isinstance(images, torch.Tensor) else images
        loaded = _from_array(np.asarray(array), name)
        ids = [f"{index:06d}" for index in range(len(loaded))]
    if not loaded:
        where = f" in {images}" if isinstance(images, str | Path) else ""
        raise BenchError(f"{name}: there are no images{where}")
    return [
        Picture(key, pixel_digest(image), lambda image=image: image)  # type: ignore[misc]
        for key, image in zip(ids, loaded, strict=True)
    ]


def _paired(outputs: Images, name: str, inputs: Images, whose: str) -> Images:
    """Return the files of outputs in the order of the inputs' names; an array as it is.

    Raises
    ------
    BenchError
        When a file belongs to no input, or an input has none or several.
    """
    files = _files(outputs, name)
    named = _files(inputs, whose)
    if not files or not named:
        return outputs
    known = {file.stem: file for file in named}
    if len(known) < len(named):
        raise BenchError(f"{whose}: two files have one name, so none could be paired by it")
    letter, mine = fakes(files, A2B), dict[str, Path]()
    for file in files:
        if (found := said(file, known, letter)) is None:
            raise BenchError(
                f"{name}: {file} belongs to none of the {whose}: call it like one "
                f"({named[0].stem}{file.suffix})"
            )
        if found.output and mine.setdefault(found.name, file) != file:
            raise BenchError(f"{name}: {file} and {mine[found.name]} belong to one input")
    if lacking := [stem for stem in known if stem not in mine]:
        raise BenchError(f"{name}: there is no picture for {lacking[0]} of the {whose}")
    return [mine[stem] for stem in known]


def score_frame(
    outputs: Images | Sequence[Images],
    reference: Images,
    *,
    inputs: Images | None = None,
    reference_train: Images | None = None,
    metrics: Sequence[str] | None = None,
    device: str = "auto",
    weights_dir: str | Path | None = None,
    offline: bool = False,
    cache: str | Path | None = None,
    metric_options: Options | None = None,
    extractors: Options | None = None,
    plugins: Sequence[str | Path] = (),
) -> pd.DataFrame:
    """Score translations that are already there.

    Parameters
    ----------
    outputs
        One image per input, as a folder, a list of files or an array; or several of these,
        one for each sample: ``[samples_0, samples_1, …]``. Files are paired with inputs, and
        samples with each other, by name (``NAME.png``, ``NAME_fake_B.png``); arrays by position.
    reference
        Real images of the target domain.
    inputs
        What was translated; without it content is not measured.
    reference_train
        Further real images of the target domain, for the floor of FID.
    metrics
        Names; default: everything that these images can give.
    device, weights_dir, offline, cache
        Where to compute (``auto``, ``cpu``, ``cuda``, ``cuda:N``), where official weights lie,
        whether to stay off the network, where to keep features.
    metric_options, extractors
        Options of metrics and of the networks behind them, by name.
    plugins
        One-file plugins to load besides the installed ones.

    Returns
    -------
    pandas.DataFrame
        One row a measurement: metric, kind, value, unit, higher_is_better, n, low, high,
        interval, extractor, subset.

    Raises
    ------
    BenchError
        When images are missing, broken or of the wrong kind.
    """
    several = isinstance(outputs, list | tuple) and not all(
        isinstance(entry, str | Path) and Path(entry).is_file() for entry in outputs
    )
    sets: Sequence[Images] = outputs if several else [outputs]  # type: ignore[assignment,list-item]
    base, whose = (sets[0], "first outputs") if inputs is None else (inputs, "inputs")
    samples = [
        pictures(
            images if images is base else _paired(images, f"outputs[{index}]", base, whose),
            f"outputs[{index}]",
        )
        for index, images in enumerate(sets)
    ]
    if len({len(sample) for sample in samples}) > 1:
        raise BenchError("outputs: every sample needs the same number of images")
    given = pictures(inputs, "inputs") if inputs is not None else None
    if given is not None and len(given) != len(samples[0]):
        raise BenchError(f"there are {len(given)} inputs and {len(samples[0])} outputs")
    ids = [picture.id for picture in (given or samples[0])]
    data = ScoringData(
        direction=A2B,
        domains=("a", "b"),
        outputs={key: [sample[i] for sample in samples] for i, key in enumerate(ids)},
        inputs={key: (given or samples[0])[i] for i, key in enumerate(ids)},
        reference=pictures(reference, "reference"),
        reference_train=pictures(reference_train, "reference_train")
        if reference_train is not None
        else (),
    )
    warnings: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "warning":
            warnings.append(event.message)

    registry = load_plugins([Path(file) for file in plugins])
    found = score(
        data,
        _defaults(registry, with_inputs=given is not None) if metrics is None else metrics,
        registry,
        device=choose_device(device),
        weights_dir=Path(weights_dir) if weights_dir is not None else None,
        offline=offline,
        cache=Path(cache) if cache is not None else None,
        emit=listen,
        metric_options=metric_options,
        extractors=extractors,
    )
    rows: list[Mapping[str, Any]] = [asdict(measurement) for measurement in found]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    frame.attrs["warnings"] = warnings
    return frame


_COLUMNS = [
    "metric",
    "kind",
    "value",
    "unit",
    "higher_is_better",
    "n",
    "low",
    "high",
    "interval",
    "extractor",
    "subset",
]


def _defaults(registry: Registry, *, with_inputs: bool) -> list[str]:
    """Return all default metrics; only those that need no inputs where there are none."""
    return [
        spec.name
        for spec in registry.metrics.values()
        if spec.default and (with_inputs or spec.kind != "content")
    ]
