"""The datasets of a suite, opened: which part of each is used, in which directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import BenchError, Dataset, DatasetSpec, Direction
from bench.data.opening import images_per_direction, open_dataset, with_root
from bench.plugins import Registry, make_config
from bench.suite.schema import DatasetEntry, Suite

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PlannedDataset:
    """One dataset of a suite, opened, and what of it is used."""

    label: str
    spec: DatasetSpec
    config: dict[str, Any]
    dataset: Dataset
    directions: tuple[Direction, ...]
    size: int
    test_limit: int | None
    fingerprint: str

    @property
    def inputs(self) -> dict[str, int]:
        """How many test inputs each direction has."""
        return images_per_direction(self.dataset, self.directions, self.test_limit)


def open_datasets(
    suite: Suite, registry: Registry, cache: Path, progress: Progress
) -> tuple[PlannedDataset, ...]:
    """Open every dataset of a suite.

    Raises
    ------
    BenchError
        On a name, value, direction or folder that is wrong, or a split without images.
    """
    specs = [registry.dataset(entry.name) for entry in suite.datasets]
    configs = [
        dataset_config(spec, suite, entry)
        for spec, entry in zip(specs, suite.datasets, strict=True)
    ]
    opened = [
        open_dataset(spec, config, cache, offline=suite.offline, progress=progress)
        for spec, config in zip(specs, configs, strict=True)
    ]
    return tuple(
        _planned(entry, suite, spec, config, dataset, asked)
        for entry, spec, config, dataset, asked in zip(
            suite.datasets, specs, configs, opened, _directions(suite, opened), strict=True
        )
    )


def dataset_config(spec: DatasetSpec, suite: Suite, entry: DatasetEntry) -> dict[str, Any]:
    """Return a dataset's configuration: the preset's, then what the suite says.

    ``root`` and ``size`` reach a dataset whose configuration has such a field.

    Raises
    ------
    BenchError
        When a root is given to a dataset that lives in no folder, or a value is wrong.
    """
    values: dict[str, Any] = dict(spec.presets.get(suite.preset, {}))
    if "size" in spec.config.model_fields:
        values["size"] = entry.size or suite.size
    values |= entry.config
    values = with_root(spec, values, entry.root)
    return make_config("dataset", entry.title, spec.config, values).model_dump(mode="json")


def _directions(suite: Suite, datasets: Sequence[Dataset]) -> list[tuple[Direction, ...]]:
    """The directions of each dataset; a name is one of those datasets that know it.

    Raises
    ------
    BenchError
        When no dataset knows a direction, a dataset knows none, or one is named twice.
    """
    found: list[list[Direction]] = [[] for _ in datasets]
    for text in suite.directions:
        refused = []
        for asked, dataset in zip(found, datasets, strict=True):
            try:
                asked.append(Direction.parse(text, dataset.domains))
            except BenchError as error:
                refused.append(error)
        if len(refused) == len(datasets):
            raise refused[0]
    for entry, asked in zip(suite.datasets, found, strict=True):
        if not asked:
            raise BenchError(
                f"dataset {entry.title} knows none of the directions "
                f"{', '.join(suite.directions)}: write a2b or b2a"
            )
        if len({d.key for d in asked}) != len(asked):
            raise BenchError("a direction is named twice")
    return [tuple(asked) for asked in found]


def _planned(
    entry: DatasetEntry,
    suite: Suite,
    spec: DatasetSpec,
    config: dict[str, Any],
    dataset: Dataset,
    directions: tuple[Direction, ...],
) -> PlannedDataset:
    for split in ("train", "test"):
        for domain, name in zip(("a", "b"), dataset.domains, strict=True):
            if not dataset.split(split, domain):  # type: ignore[arg-type]
                raise BenchError(f"dataset {entry.title} has no {split} images of {name}")
    return PlannedDataset(
        label=entry.title,
        spec=spec,
        config=config,
        dataset=dataset,
        directions=directions,
        size=entry.size or suite.size,
        test_limit=suite.test_limit,
        fingerprint=dataset.fingerprint(),
    )
