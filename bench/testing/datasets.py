"""What a dataset promises: four splits, safe names, decodable pictures, one fingerprint."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bench.api import (
    A2B,
    B2A,
    BenchError,
    Dataset,
    DatasetSpec,
    Domain,
    ImageItem,
    LayeredDataset,
    Split,
)
from bench.testing.promises import build, calling, load, must, promise

if TYPE_CHECKING:
    import numpy.typing as npt

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPLITS: tuple[tuple[Split, Domain], ...] = (
    ("train", "a"),
    ("train", "b"),
    ("test", "a"),
    ("test", "b"),
)


def check_dataset(
    spec: DatasetSpec,
    cache: Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    offline: bool = True,
    pictures: int = 2,
) -> None:
    """Check that a dataset keeps the contract of :class:`bench.api.Dataset`.

    Checked: it says so before it is prepared; its splits are not empty, have a fixed order,
    unique ids that are safe as folder names, and SHA-256 digests; pictures decode, the same
    each time; a second instance finds the same; paired pictures are as many, and have their
    partner as truth; layers are as large as their pictures, and name every class.

    Parameters
    ----------
    spec
        The declaration.
    cache
        A folder for what it keeps; None: a temporary one.
    config
        Changes to the configuration's defaults: the smallest there is.
    offline
        Whether it must do without downloads.
    pictures
        How many pictures of each split are decoded.

    Raises
    ------
    AssertionError
        One line: the dataset, and the promise it breaks.
    """
    if cache is None:
        with tempfile.TemporaryDirectory() as folder:
            check_dataset(spec, Path(folder), config=config, offline=offline, pictures=pictures)
        return
    name = spec.name
    with promise("it can be prepared, and is what its declaration says", basis=True):
        dataset = _open(spec, config, cache, offline, check_unprepared=True)
        _check_declared(spec, dataset)
    with promise("a second instance is the same, of four splits in fixed order"):
        _check_splits(name, dataset, _open(spec, config, cache, offline), pictures)
    with promise("true translations are there where they are known"):
        _check_truth(name, dataset)
    if isinstance(dataset, LayeredDataset):
        with promise("layers are as large as their pictures, and name every class"):
            _check_layers(name, dataset, pictures)


def _check_declared(spec: DatasetSpec, dataset: Dataset) -> None:
    name = spec.name
    must(
        isinstance(dataset, Dataset),
        name,
        "the class lacks a method of bench.api.Dataset",
        "write prepare, split, fingerprint and truth, and set domains and paired",
    )
    a, b = dataset.domains
    must(a and b and a != b, name, f"the domains are called {a!r} and {b!r}", "name two, apart")
    must(
        not dataset.paired or spec.paired,
        name,
        "it is paired, and not declared so",
        "set paired=True in its spec",
    )
    must(_SHA256.fullmatch(dataset.fingerprint()), name, "the fingerprint is no SHA-256")


def _check_splits(name: str, dataset: Dataset, again: Dataset, pictures: int) -> None:
    must(
        again.fingerprint() == dataset.fingerprint(),
        name,
        "a second instance differs in its fingerprint",
        "make it of the pictures' content alone",
    )
    for key in _SPLITS:
        items, others = dataset.split(*key), again.split(*key)
        where = f"{name} {key[0]} {key[1]}"
        _check_items(where, items)
        must(
            [(x.id, x.digest) for x in items] == [(x.id, x.digest) for x in others],
            where,
            "the order is not fixed",
            "sort the pictures, by name for instance",
        )
        for item, other in list(zip(items, others, strict=True))[:pictures]:
            _check_picture(where, item, other)
    if dataset.paired:
        for split in ("train", "test"):
            counts = {len(dataset.split(split, d)) for d in ("a", "b")}
            must(len(counts) == 1, name, f"it is paired, and the {split} domains differ in number")


def _open(
    spec: DatasetSpec,
    config: Mapping[str, Any] | None,
    cache: Path,
    offline: bool,
    *,
    check_unprepared: bool = False,
) -> Dataset:
    settings = build(spec, config or {})
    with calling(spec.name, "building it"):
        dataset: Dataset = load(spec)(settings)
    if check_unprepared:
        try:
            items: Sequence[ImageItem] = dataset.split("train", "a")
        except BenchError:
            items = ()
        for item in items[:1]:  # what is there without preparation must be whole
            _pixels(spec.name, item)
    with calling(spec.name, "prepare"):
        dataset.prepare(cache, offline=offline, progress=lambda _: None)
    return dataset


def _pixels(where: str, item: ImageItem) -> npt.NDArray[np.uint8]:
    """Return a picture ``(H, W, 3)``, which should be uint8."""
    with calling(where, f"decoding {item.id}"):
        if item.render is not None:
            return item.render()
        assert item.path is not None
        with Image.open(item.path) as picture:
            return np.asarray(picture.convert("RGB"))


def _check_items(where: str, items: Any) -> None:
    must(len(items) > 0, where, "it is empty")
    for item in items:
        must(isinstance(item, ImageItem), where, f"an item is a {type(item).__name__}")
        must(
            _ID.fullmatch(item.id) and len(item.id) <= 120,
            where,
            f"id {item.id!r} is not safe as a folder name",
            "use letters, digits, and . _ - after the first, at most 120",
        )
        must(_SHA256.fullmatch(item.digest), where, f"the digest of {item.id} is no SHA-256")
        must(
            (item.path is None) != (item.render is None),
            where,
            f"{item.id} has a path and a render, or neither",
            "give one of them",
        )
    ids = [item.id for item in items]
    must(len({one.lower() for one in ids}) == len(ids), where, "ids are not unique")


def _check_picture(where: str, item: ImageItem, other: ImageItem) -> None:
    pixels = _pixels(where, item)
    must(pixels.dtype == np.uint8, where, f"{item.id} is {pixels.dtype}, not uint8")
    must(
        pixels.ndim == 3 and pixels.shape[2] == 3,
        where,
        f"{item.id} has shape {pixels.shape}, not (H, W, 3)",
    )
    must(
        np.array_equal(pixels, _pixels(where, other)),
        where,
        f"{item.id} looks different the second time",
        "make what is drawn a function of the configuration's seed and the picture's number",
    )


def _check_truth(name: str, dataset: Dataset) -> None:
    for direction in (A2B, B2A):
        for item in dataset.split("test", direction.source)[:2]:
            truths = list(dataset.truth(item, direction))
            must(not dataset.paired or truths, name, f"it is paired, and {item.id} has no truth")
            for true in truths[:1]:
                must(
                    _pixels(name, true).shape == _pixels(name, item).shape,
                    name,
                    f"the truth of {item.id} has another size",
                )


def _check_layers(name: str, dataset: LayeredDataset, pictures: int) -> None:
    for domain in ("a", "b"):
        for item in dataset.split("test", domain)[:pictures]:
            planes = dataset.layers(item)
            must(
                {"classes", "depth"} <= planes.keys(),
                name,
                f"the layers of {item.id} lack classes or depth",
            )
            size = _pixels(name, item).shape[:2]
            for key, plane in planes.items():
                must(plane.shape == size, name, f"layer {key} of {item.id} has another size")
            must(
                int(planes["classes"].max()) < len(dataset.classes),
                name,
                f"a class of {item.id} has no name",
                "name every index in classes",
            )
