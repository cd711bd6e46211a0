"""The rows of a run's tables as types: what every column is called, holds and means.

The tables' columns follow from the fields of these types, in order; see
:mod:`bench.storage.tables`. ``method`` is the plugin's name and ``label`` the row's name in
tables: the same unless a suite runs one method in several configurations. ``dataset`` is the
dataset's label, which is the plugin's name unless a suite gives it another.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Union, get_args, get_origin, get_type_hints

from bench.api import Kind, Status, Subset, Verdict

_DTYPES: Mapping[object, str] = {str: "string", float: "float64", int: "Int64", bool: "boolean"}


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial: what it was, how it ended, what it took.

    ``config`` is canonical JSON, ``pretrained`` the file of pretrained weights the method
    stands on with its hash, ``cached`` the stages taken from the cache, joined with ``+``;
    ``size`` is the side of its pictures.
    """

    trial: str
    method: str
    label: str
    dataset: str
    seed: int
    status: Status
    reason: str | None = None
    config: str | None = None
    budget: str | None = None
    pretrained: str | None = None
    size: int | None = None
    iterations: int | None = None
    parameters: int | None = None
    device: str | None = None
    precision: str | None = None
    fit_seconds: float | None = None
    translate_seconds: float | None = None
    score_seconds: float | None = None
    time_seconds: float | None = None
    peak_memory_mb: float | None = None
    fit_peak_memory_mb: float | None = None
    cached: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Place:
    """What a row of one direction of a trial is about."""

    trial: str
    method: str
    label: str
    dataset: str
    direction: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class MeasurementRow(_Place):
    """One number; see :class:`bench.api.Measurement`.

    ``resampled`` holds its values for resampled pictures, ``draw`` names what was resampled.
    """

    metric: str
    kind: Kind
    value: float
    unit: str | None = None
    higher_is_better: bool | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    extractor: str | None = None
    subset: Subset = "all"
    resampled: tuple[float, ...] | None = None
    draw: str | None = None


@dataclass(frozen=True, kw_only=True)
class CurveRow(MeasurementRow):
    """One number of a training that goes on: of its weights after ``iteration`` iterations.

    ``seconds`` is what they took, on ``cores`` cores. The training's end is the last point.
    """

    iteration: int
    seconds: float
    cores: int


@dataclass(frozen=True, kw_only=True)
class SampleRow(_Place):
    """One output picture and one value of it.

    Paths are relative to the run folder; ``metric`` is empty and ``value`` missing where a
    picture has no value of its own.
    """

    input_id: str
    sample: int
    path: str
    input_path: str
    metric: str | None = None
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class TimingRow(_Place):
    """One timed call."""

    mode: Literal["latency", "throughput"]
    batch: int
    round: int
    seconds: float
    images: int


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One difference between two methods of a run on the same inputs: A minus B."""

    dataset: str
    direction: str
    metric: str
    extractor: str | None
    label_a: str
    label_b: str
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    test: str
    n: int


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One reason to believe the run, or not to; see :class:`bench.api.Check`.

    ``verdict`` is what the check alone makes of the run; the run's is the worst of them.
    """

    name: str
    severity: Literal["remarks", "invalid"]
    passed: bool | None
    detail: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class LossRow:
    """One point of a training curve, gathered from ``trials/<id>/losses.jsonl``."""

    trial: str
    iteration: int
    loss: str
    value: float | None


Row = (
    TrialRow
    | MeasurementRow
    | CurveRow
    | SampleRow
    | TimingRow
    | ComparisonRow
    | CheckRow
    | LossRow
)

STATUSES: tuple[Status, ...] = get_args(Status)


def schema_of(row: type[Row]) -> Mapping[str, str]:
    """Return the columns of a table of such rows and their pandas dtypes, in order."""
    hints = get_type_hints(row)
    return {part.name: _dtype(hints[part.name]) for part in fields(row)}


def _dtype(hint: object) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        return "object"
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    return _DTYPES[hint]
