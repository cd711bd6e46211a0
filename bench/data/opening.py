"""Opening a dataset, and which of its pictures are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.api import BenchError, Dataset, Direction
from bench.plugins import make_config, resolve

if TYPE_CHECKING:
    from bench.api import DatasetSpec

T = TypeVar("T")


def open_dataset(
    spec: DatasetSpec,
    config: dict[str, Any],
    cache: Path,
    *,
    offline: bool,
    progress: Callable[[str], None],
) -> Dataset:
    """Build a dataset and make its pictures available.

    Raises
    ------
    BenchError
        When it cannot be had, or a split is empty.
    """
    dataset = _instance(spec, config)
    dataset.prepare(cache / "datasets" / spec.name, offline=offline, progress=progress)
    return dataset


def build_dataset(spec: DatasetSpec, values: dict[str, Any], root: Path | None) -> Dataset:
    """Build a dataset, not yet prepared, from its options and a folder.

    Raises
    ------
    BenchError
        When a root is given to a dataset that lives in no folder, or a value is wrong.
    """
    return _instance(spec, with_root(spec, values, root))


def with_root(spec: DatasetSpec, values: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """A dataset's options with its folder among them, where it can have one."""
    if root is None:
        return values
    if "root" not in spec.config.model_fields:
        raise BenchError(f"dataset {spec.name} lives in no folder: leave --data-root out")
    return values | {"root": str(root.expanduser().resolve())}


def _instance(spec: DatasetSpec, values: dict[str, Any]) -> Dataset:
    config = make_config("dataset", spec.name, spec.config, values)
    dataset: Dataset = resolve(spec.implementation)(config)
    return dataset


def select(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` items, spread evenly over all, in order."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def images_per_direction(
    dataset: Dataset, directions: Sequence[Direction], limit: int | None
) -> dict[str, int]:
    """How many test inputs each direction has."""
    return {
        direction.name: len(select(dataset.split("test", direction.source), limit))
        for direction in directions
    }
