"""What a dataset promises: four splits, safe names, decodable pictures, one fingerprint."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import A2B, B2A, BenchError, Dataset, DatasetSpec, Domain, ImageItem, Split
from bench.data.images import load_item
from bench.plugins import make_config, resolve
from bench.testing.specs import must

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
    """A dataset keeps the contract of :class:`bench.api.Dataset`.

    Checked: it says so before it is prepared; its splits are not empty, have a fixed order,
    unique ids that are safe as folder names, and SHA-256 digests; pictures decode, the same
    each time; a second instance finds the same; paired pictures are as many, and have their
    partner as truth.

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
    dataset = _open(spec, config, cache, offline, check_unprepared=True)
    must(isinstance(dataset, Dataset), name, "the class lacks a method of bench.api.Dataset")
    a, b = dataset.domains
    must(a and b and a != b, name, f"the domains are called {a!r} and {b!r}")
    must(not dataset.paired or spec.paired, name, "it is paired, and not declared so")
    must(_SHA256.fullmatch(dataset.fingerprint()), name, "the fingerprint is no SHA-256")
    again = _open(spec, config, cache, offline)
    must(again.fingerprint() == dataset.fingerprint(), name, "a second instance differs")
    for key in _SPLITS:
        items, others = dataset.split(*key), again.split(*key)
        where = f"{name} {key[0]} {key[1]}"
        _check_items(where, items)
        must(
            [(x.id, x.digest) for x in items] == [(x.id, x.digest) for x in others],
            where,
            "the order is not fixed",
        )
        for item, other in list(zip(items, others, strict=True))[:pictures]:
            _check_picture(where, item, other)
    if dataset.paired:
        for split in ("train", "test"):
            counts = {len(dataset.split(split, d)) for d in ("a", "b")}
            must(len(counts) == 1, name, f"it is paired, and the {split} domains differ in number")
    _check_truth(name, dataset)


def _open(
    spec: DatasetSpec,
    config: Mapping[str, Any] | None,
    cache: Path,
    offline: bool,
    *,
    check_unprepared: bool = False,
) -> Dataset:
    settings = make_config("dataset", spec.name, spec.config, config or {})
    dataset: Dataset = resolve(spec.implementation)(settings)
    if check_unprepared:
        try:
            items = dataset.split("train", "a")
        except BenchError:
            items = ()
        for item in items[:1]:  # what is there without preparation must be whole
            load_item(item, None)
    dataset.prepare(cache, offline=offline, progress=lambda _: None)
    return dataset


def _check_items(where: str, items: Any) -> None:
    must(len(items) > 0, where, "it is empty")
    ids = [item.id for item in items]
    must(len({one.lower() for one in ids}) == len(ids), where, "ids are not unique")
    for item in items:
        must(isinstance(item, ImageItem), where, f"an item is a {type(item).__name__}")
        must(
            _ID.fullmatch(item.id) and len(item.id) <= 120,
            where,
            f"id {item.id!r} is not safe as a folder name",
        )
        must(_SHA256.fullmatch(item.digest), where, f"the digest of {item.id} is no SHA-256")
        must((item.path is None) != (item.render is None), where, f"{item.id}: path or render")


def _check_picture(where: str, item: ImageItem, other: ImageItem) -> None:
    pixels = load_item(item, None)
    must(pixels.dtype == np.uint8, where, f"{item.id} is {pixels.dtype}, not uint8")
    must(pixels.ndim == 3 and pixels.shape[2] == 3, where, f"{item.id} has shape {pixels.shape}")
    must(
        np.array_equal(pixels, load_item(other, None)),
        where,
        f"{item.id} looks different the second time",
    )


def _check_truth(name: str, dataset: Dataset) -> None:
    for direction in (A2B, B2A):
        for item in dataset.split("test", direction.source)[:2]:
            truths = list(dataset.truth(item, direction))
            must(not dataset.paired or truths, name, f"it is paired, and {item.id} has no truth")
            for true in truths[:1]:
                must(
                    load_item(true, None).shape == load_item(item, None).shape,
                    name,
                    f"the truth of {item.id} has another size",
                )
