"""What a worker gets to do: a job, and the dataset it is about."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError, Dataset, Direction, ImageItem
from bench.plugins import make_config, resolve

if TYPE_CHECKING:
    from bench.api import DatasetSpec


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to run one trial; plain values, so it travels as JSON.

    ``samples`` pictures are made for each input; a deterministic method makes one, which is
    scored as if it were drawn ``repeats`` times, so that its diversity reads 0.
    ``pretrained`` names the pretrained file the method uses, and its hash.
    ``given`` is the digest of pictures that were made elsewhere, of which some may be missing
    where ``allow_missing`` says so. ``skip`` holds the reason why the trial is not run;
    ``fit_key`` is the cache key of its first stage, from which those of the later stages follow.
    """

    trial: str
    method: str
    label: str
    config: dict[str, Any]
    budget: str
    weights: str | None
    dataset: str
    dataset_config: dict[str, Any]
    fingerprint: str
    directions: tuple[str, ...]
    size: int
    samples: int
    repeats: int
    seed: int
    test_limit: int | None
    metrics: tuple[str, ...] | None
    device: str
    precision: str
    weights_dir: str | None
    offline: bool
    plugins: tuple[str, ...]
    cache: str
    fit_key: str
    pretrained: str = ""
    skip: str = ""
    given: str = ""
    allow_missing: bool = False

    @property
    def columns(self) -> dict[str, Any]:
        """What the table of trials says of it before it ran."""
        return {
            "trial": self.trial,
            "method": self.method,
            "label": self.label,
            "dataset": self.dataset,
            "seed": self.seed,
            "config": json.dumps(self.config, sort_keys=True),
            "budget": self.budget,
            "pretrained": self.pretrained,
        }

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """What :meth:`to_json` gave."""
        values = json.loads(text)
        for name in ("directions", "plugins"):
            values[name] = tuple(values[name])
        if values["metrics"] is not None:
            values["metrics"] = tuple(values["metrics"])
        return cls(**values)


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


def select(items: Sequence[ImageItem], limit: int | None) -> list[ImageItem]:
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
