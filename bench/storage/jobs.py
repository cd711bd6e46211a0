"""A trial before it runs: one line of a run's ``plan.jsonl``, and what its worker gets to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.api import BenchError
from bench.storage.files import write_atomic

PLAN = "plan.jsonl"

Value = TypeVar("Value")


@dataclass(frozen=True)
class MethodPart:
    """What translates.

    Parameters
    ----------
    name, label
        The plugin, and what its rows are called.
    config, budget
        Its whole configuration; its training budget as text, empty where it is not trained.
    weights
        Trained weights to load instead of training; with a budget, to begin training with.
    pretrained
        The trained or pretrained file it uses, and its hash.
    samples, repeats
        Pictures made for each input; a deterministic method makes one, which is scored as if
        it were drawn `repeats` times, so that its diversity reads 0.
    given, allow_missing
        The digest of pictures that were made elsewhere, and whether some may be missing.
    score_at
        Iterations of its training after which its weights are scored, too.
    """

    name: str
    label: str
    config: dict[str, Any]
    budget: str = ""
    weights: str | None = None
    pretrained: str = ""
    samples: int = 1
    repeats: int = 1
    given: str = ""
    allow_missing: bool = False
    score_at: tuple[int, ...] = ()


@dataclass(frozen=True)
class DatasetPart:
    """What is translated.

    Parameters
    ----------
    name, label
        The plugin, and what it is called in tables and folders.
    config, fingerprint
        Its whole configuration, and what it must hold.
    directions, size, test_limit
        Which ways it is gone (``a2b``, ``b2a``), the side of its pictures in pixels, and at
        most how many test inputs of each direction are used.
    """

    name: str
    label: str
    config: dict[str, Any]
    fingerprint: str
    directions: tuple[str, ...]
    size: int
    test_limit: int | None = None


@dataclass(frozen=True)
class ScoringPart:
    """What is measured: names of metrics (None: the default ones), and options by name."""

    metrics: tuple[str, ...] | None = None
    metric_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    extractors: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class MachinePart:
    """Where it runs: device, precision, and the places of weights, plugins and cache.

    Of the plugins it `needs` those of these names, one-file plugins among them; None: all.
    """

    device: str
    precision: str
    weights_dir: str | None
    offline: bool
    plugins: tuple[str, ...]
    cache: str
    needs: tuple[str, ...] | None = None


class _Flat(Generic[Value]):
    """A value of a job's part, read as if it were the job's own."""

    def __init__(self, path: str) -> None:
        self._get = attrgetter(path)

    def __get__(self, job: Job, owner: type[Job]) -> Value:
        found: Value = self._get(job)
        return found


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to run one trial; plain values, so it travels as JSON.

    Parameters
    ----------
    trial
        Its id, unique in the run and a folder's name.
    seed
        The training seed.
    fit_key
        The cache key of its first stage, from which those of the later stages follow.
    skip
        Why the trial is not run; empty: it is.
    """

    trial: str
    seed: int
    fit_key: str
    method_part: MethodPart
    dataset_part: DatasetPart
    scoring: ScoringPart
    machine: MachinePart
    skip: str = ""

    # The same values one by one, for what reads a few of several parts.
    method = _Flat[str]("method_part.name")
    label = _Flat[str]("method_part.label")
    config = _Flat[dict[str, Any]]("method_part.config")
    budget = _Flat[str]("method_part.budget")
    weights = _Flat[str | None]("method_part.weights")
    pretrained = _Flat[str]("method_part.pretrained")
    samples = _Flat[int]("method_part.samples")
    repeats = _Flat[int]("method_part.repeats")
    given = _Flat[str]("method_part.given")
    allow_missing = _Flat[bool]("method_part.allow_missing")
    score_at = _Flat[tuple[int, ...]]("method_part.score_at")
    dataset = _Flat[str]("dataset_part.name")
    dataset_label = _Flat[str]("dataset_part.label")
    dataset_config = _Flat[dict[str, Any]]("dataset_part.config")
    fingerprint = _Flat[str]("dataset_part.fingerprint")
    directions = _Flat[tuple[str, ...]]("dataset_part.directions")
    size = _Flat[int]("dataset_part.size")
    test_limit = _Flat[int | None]("dataset_part.test_limit")
    metrics = _Flat[tuple[str, ...] | None]("scoring.metrics")
    metric_options = _Flat[dict[str, dict[str, Any]]]("scoring.metric_options")
    extractors = _Flat[dict[str, dict[str, Any]]]("scoring.extractors")
    device = _Flat[str]("machine.device")
    precision = _Flat[str]("machine.precision")
    weights_dir = _Flat[str | None]("machine.weights_dir")
    offline = _Flat[bool]("machine.offline")
    plugins = _Flat[tuple[str, ...]]("machine.plugins")
    needs = _Flat[tuple[str, ...] | None]("machine.needs")
    cache = _Flat[str]("machine.cache")

    @property
    def loaded(self) -> bool:
        """Whether its weights are a file's as they are."""
        return self.weights is not None and not self.budget

    @property
    def columns(self) -> dict[str, Any]:
        """What the table of trials says of it before it ran."""
        return {
            "trial": self.trial,
            "method": self.method,
            "label": self.label,
            "dataset": self.dataset_label,
            "seed": self.seed,
            "config": json.dumps(self.config, sort_keys=True),
            "budget": "loaded" if self.loaded else self.budget,
            "pretrained": self.pretrained,
            "size": self.size,
        }

    def elsewhere(self, **changes: Any) -> Job:
        """Return the same job with another device, other places or metrics."""
        scoring = {name: changes.pop(name) for name in ("metrics",) if name in changes}
        return replace(
            self,
            scoring=replace(self.scoring, **scoring),
            machine=replace(self.machine, **changes),
        )

    def to_json(self) -> str:
        """Return it as one line."""
        values = {_SHORT.get(name, name): value for name, value in asdict(self).items()}
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return what :meth:`to_json` gave, of this version or of 0.1.

        Raises
        ------
        ValueError
            When `text` is neither.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is no job")
        if isinstance(values.get("method"), str):
            values = _from_flat(values)
        long = {short: name for name, short in _SHORT.items()}
        return _JOB.validate_python({long.get(k, k): v for k, v in values.items()})


_JOB = TypeAdapter(Job)
_SHORT = {"method_part": "method", "dataset_part": "dataset"}
"""Names of parts in a file, where they are no longer the names of single values."""


def _from_flat(values: dict[str, Any]) -> dict[str, Any]:
    """Sort the values of a job of 0.1, which had no parts, into them."""
    flat = dict(values)
    dataset = {
        "name": flat.get("dataset"),
        "label": flat.pop("dataset", None),
        "config": flat.pop("dataset_config", None),
    }
    method = {"name": flat.pop("method"), "config": flat.pop("config", None)}
    kinds = {
        "method": (MethodPart, method),
        "dataset": (DatasetPart, dataset),
        "scoring": (ScoringPart, {}),
        "machine": (MachinePart, {}),
    }
    for kind, part in kinds.values():
        for known in fields(kind):
            if known.name in flat:
                part[known.name] = flat.pop(known.name)
    return flat | {name: part for name, (_, part) in kinds.items()}


def write_plan(run: Path, jobs: Sequence[Job]) -> None:
    """Write the plan of a run."""
    write_atomic(run / PLAN, "".join(job.to_json() + "\n" for job in jobs))


def read_plan(run: Path) -> list[Job]:
    """Return the plan of a run, of this version or an earlier one.

    Raises
    ------
    BenchError
        When it is missing or damaged.
    """
    file = run / PLAN
    try:
        return [Job.from_json(line) for line in file.read_text("utf-8").splitlines()]
    except OSError as error:
        raise BenchError(f"{file} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BenchError(f"{file} is damaged: {place}: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise BenchError(f"{file} is damaged: {str(error).splitlines()[0]}") from None
