"""The tidy tables of a run, and reading a run folder back, of this version or an earlier one.

Every table has one kind of row; :mod:`bench.storage.rows` says what is in it. ``trials``,
``measurements``, ``samples``, ``timings`` and ``curves`` hold what was done and measured;
``comparisons`` and ``checks`` follow from them, and ``losses`` is gathered from the trials.

Versions
--------
``environment.json`` carries ``schema_version``. A folder without one was made by 0.1 (version
1), one of version 2 has no ``curves``, one of version 3 no memory of training; all are brought
up to date while they are read. One of a newer version is refused; so is what is damaged, for a
number that cannot be read is no number.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
from pydantic import TypeAdapter

from bench.api import BenchError, RunView, TrialResult
from bench.storage.declared import read_declared
from bench.storage.files import read_json_lines, replacing
from bench.storage.rows import (
    STATUSES,
    CheckRow,
    ComparisonRow,
    CurveRow,
    LossRow,
    MeasurementRow,
    Row,
    SampleRow,
    TimingRow,
    TrialRow,
    schema_of,
)

__all__ = [
    "CHECKS",
    "COMPARISONS",
    "LOSSES",
    "SCHEMAS",
    "SINCE",
    "STATUSES",
    "VERSION",
    "check_version",
    "read_losses",
    "read_result",
    "read_run",
    "table",
    "write_table",
]

VERSION = 4
"""The version of run folders that is written."""

SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "trials": schema_of(TrialRow),
    "measurements": schema_of(MeasurementRow),
    "samples": schema_of(SampleRow),
    "timings": schema_of(TimingRow),
    "curves": schema_of(CurveRow),
}
"""Columns and pandas dtypes of the tables of trials, in order."""

COMPARISONS = schema_of(ComparisonRow)
CHECKS = schema_of(CheckRow)
LOSSES = schema_of(LossRow)

_ALL = {**SCHEMAS, "comparisons": COMPARISONS, "checks": CHECKS, "losses": LOSSES}

SINCE: Mapping[str, Mapping[str, int]] = {
    "trials": {"size": 2, "fit_peak_memory_mb": 4},
    "measurements": {"resampled": 3, "draw": 3},
}
"""Columns that came with a later version than 1."""
_CURVES_SINCE = 3

_LARGEST = 2**63
"""Whole numbers from here on fit no column."""

_RESULT = TypeAdapter(TrialResult)


def table(name: str, rows: Iterable[Mapping[str, Any] | Row]) -> pd.DataFrame:
    """Return rows as a table with exactly the columns and types of its schema.

    Raises
    ------
    KeyError
        When a row has a column the schema does not know.
    """
    schema = _ALL[name]
    entries = [asdict(row) if is_dataclass(row) else row for row in rows]
    for row in entries:
        if unknown := row.keys() - schema.keys():
            raise KeyError(f"{name} has no column {sorted(unknown)}")
    columns = {
        column: pd.Series([row.get(column) for row in entries], dtype=cast("Any", dtype))
        for column, dtype in schema.items()
    }
    return pd.DataFrame(columns)


def write_table(run: Path, name: str, frame: pd.DataFrame) -> None:
    """Write one table of a run folder, whole or not at all."""
    with replacing(run / "tables" / f"{name}.parquet", sync=False) as temporary:
        frame.to_parquet(temporary, index=False)


def read_result(file: Path) -> TrialResult:
    """Return what a trial gave, from its ``result.json``.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it holds anything but a result whose rows fit their tables.
    """
    try:
        result = _RESULT.validate_json(file.read_bytes())
        table("trials", [result.facts])
        for name in ("measurements", "samples", "timings", "curves"):
            table(name, getattr(result, name))
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(str(error.args[0])) from None
    return result


def core_hours(points: pd.DataFrame) -> pd.Series[float]:
    """Return what training had cost at each row of ``RunView.curves``."""
    return points["seconds"] * points["cores"] / 3600


def read_losses(run: Path, trials: Sequence[str]) -> pd.DataFrame:
    """Return the training curves of trials, long: one row per iteration and loss.

    A curve is there to be looked at: a line that is damaged is left out.
    """
    rows = []
    for trial in (trial for trial in trials if isinstance(trial, str)):
        entries: Sequence[Mapping[str, Any]] = []
        with suppress(OSError):
            entries = read_json_lines(run / "trials" / trial / "losses.jsonl")
        for entry in entries:
            iteration, losses = entry.get("iteration"), entry.get("losses")
            if not (isinstance(iteration, int) and abs(iteration) < _LARGEST) or not isinstance(
                losses, dict
            ):
                continue
            rows += [
                {"trial": trial, "iteration": iteration, "loss": name, "value": value}
                for name, value in losses.items()
                if isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST)
            ]
    return table("losses", rows)


# ---------------------------------------------------------------------- a run folder


def check_version(run: Path) -> int:
    """Return the schema version of a run folder.

    Raises
    ------
    BenchError
        When it is newer than this program, or ``environment.json`` is damaged.
    """
    return _version(run, _environment(run))


_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"


def read_run(path: Path) -> RunView:
    """Return a run folder as it was measured; :func:`bench.analysis.validity.judged` adds checks.

    Raises
    ------
    BenchError
        When `path` is not the folder of a run that has tables, is damaged, or newer than this
        program.
    """
    suite = _suite(path)
    environment = _environment(path)
    version = _version(path, environment)
    tables = {name: _read_table(path, name, version) for name in SCHEMAS}
    compared = (path / "tables" / "comparisons.parquet").is_file()
    return RunView(
        path=path,
        suite=suite,
        environment=environment,
        losses=read_losses(path, list(tables["trials"]["trial"])),
        comparisons=(
            _read_table(path, "comparisons", version) if compared else table("comparisons", [])
        ),
        checks=table("checks", []),
        declared=read_declared(path, environment),
        **tables,
    )


def _read_table(path: Path, name: str, version: int) -> pd.DataFrame:
    """Return one table with the columns and types of today."""
    file = path / "tables" / f"{name}.parquet"
    if not file.is_file():
        if name == "curves" and version < _CURVES_SINCE:
            return table(name, [])
        raise BenchError(f"{file} is missing: finish the run with bench run --resume")
    try:
        frame = pd.read_parquet(file)
        for column, since in SINCE.get(name, {}).items():
            if version < since and column not in frame:
                frame[column] = pd.Series(None, frame.index, dtype=cast("Any", _ALL[name][column]))
        if missing := [column for column in _ALL[name] if column not in frame]:
            raise ValueError(f"it has no column {missing[0]}")
        frame = frame[list(_ALL[name])].astype(dict(_ALL[name]))
        # A name can steer a terminal; whoever shows it need not think of that.
        texts = [column for column, kind in _ALL[name].items() if kind == "string"]
        clean = {text: frame[text].str.replace(_CONTROL, " ", regex=True) for text in texts}
        return frame.assign(**clean)
    except Exception as error:
        # Readers of a damaged file raise nearly anything.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BenchError(
            f"{file} is damaged ({reason[:160]}): write it again with "
            f"bench run --resume --out {path}"
        ) from None


def _suite(path: Path) -> dict[str, Any]:
    """Return the values of ``suite.toml``, with all datasets in one list."""
    file = path / "suite.toml"
    if not file.is_file():
        raise BenchError(f"{path} is not a run folder: it has no suite.toml")
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from None
    if (dataset := values.pop("dataset", None)) is not None:
        values.setdefault("datasets", [dataset])
    for name in ("methods", "datasets", "seeds", "directions"):
        if not isinstance(values.get(name, []), list):
            raise _damaged(file, f"{name} is no list")
    return values


_PARTS: Mapping[str, type] = {
    "schema_version": int,
    "baselines": list,
    "versions": dict,
    "hardware": dict,
    "hardware_of": dict,
    "runs": dict,
}
"""What readers of ``environment.json`` rely on."""


def _environment(path: Path) -> dict[str, Any]:
    file = path / "environment.json"
    try:
        values = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from None
    if not isinstance(values, dict):
        raise _damaged(file, "it is no JSON object")
    for name, kind in _PARTS.items():
        if not isinstance(values.get(name, kind()), kind):
            raise _damaged(file, f"{name} is no {kind.__name__}")
    return values


def _version(path: Path, environment: Mapping[str, Any]) -> int:
    version: int = environment.get("schema_version", 1)
    if version > VERSION:
        raise BenchError(
            f"{path} was made by a newer version of this program (schema {version}, known are 1 "
            f"to {VERSION}): upgrade translation-bench to read it"
        )
    return version


def _damaged(file: Path, reason: str) -> BenchError:
    first = (reason.strip().splitlines() or ["it is empty"])[0]
    return BenchError(f"{file} is damaged ({first[:160]}): restore it from a copy, or run again")
