"""The tidy tables of a run, and reading a run folder back.

Every table has one kind of row:

``trials``
    one trial: ``trial, method, label, dataset, seed, status, reason, config, budget,
    pretrained, iterations, parameters, device, precision, fit_seconds, translate_seconds,
    score_seconds, time_seconds, peak_memory_mb, cached`` (``config`` is canonical JSON,
    ``pretrained`` the file of pretrained weights a method stands on, with its hash,
    ``cached`` the stages taken from the cache, joined with ``+``).
``measurements``
    one number: ``trial, method, label, dataset, direction, seed, metric, kind, value, unit,
    higher_is_better, n, low, high, interval, extractor, subset``.
``samples``
    one output picture and one value of it: ``trial, method, label, dataset, direction, seed,
    input_id, sample, path, input_path, metric, value`` (``path`` is relative to the run
    folder; ``metric`` is empty and ``value`` NaN where a picture has no value of its own).
``timings``
    one timed call: ``trial, method, label, dataset, direction, seed, mode, batch, round,
    seconds, images`` (``mode`` is ``latency`` or ``throughput``).
``checks``
    one reason to believe the run, or not to: ``name, severity, passed, detail, verdict``
    (``verdict`` is what the check alone makes of the run; the run's is the worst of them).

``method`` is the plugin's name and ``label`` the row's name in tables: the same unless a
suite runs one method in several configurations.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd

from bench.api import BenchError, RunView
from bench.storage.declared import read_declared
from bench.storage.files import replacing

Status = Literal["ok", "skipped", "failed", "timeout", "oom", "diverged", "interrupted"]
STATUSES: tuple[Status, ...] = (
    "ok",
    "skipped",
    "failed",
    "timeout",
    "oom",
    "diverged",
    "interrupted",
)

_S, _F, _I, _B = "string", "float64", "Int64", "boolean"

SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "trials": {
        "trial": _S,
        "method": _S,
        "label": _S,
        "dataset": _S,
        "seed": _I,
        "status": _S,
        "reason": _S,
        "config": _S,
        "budget": _S,
        "pretrained": _S,
        "iterations": _I,
        "parameters": _I,
        "device": _S,
        "precision": _S,
        "fit_seconds": _F,
        "translate_seconds": _F,
        "score_seconds": _F,
        "time_seconds": _F,
        "peak_memory_mb": _F,
        "cached": _S,
    },
    "measurements": {
        "trial": _S,
        "method": _S,
        "label": _S,
        "dataset": _S,
        "direction": _S,
        "seed": _I,
        "metric": _S,
        "kind": _S,
        "value": _F,
        "unit": _S,
        "higher_is_better": _B,
        "n": _I,
        "low": _F,
        "high": _F,
        "interval": _S,
        "extractor": _S,
        "subset": _S,
    },
    "samples": {
        "trial": _S,
        "method": _S,
        "label": _S,
        "dataset": _S,
        "direction": _S,
        "seed": _I,
        "input_id": _S,
        "sample": _I,
        "path": _S,
        "input_path": _S,
        "metric": _S,
        "value": _F,
    },
    "timings": {
        "trial": _S,
        "method": _S,
        "label": _S,
        "dataset": _S,
        "direction": _S,
        "seed": _I,
        "mode": _S,
        "batch": _I,
        "round": _I,
        "seconds": _F,
        "images": _I,
    },
}
"""Columns and pandas dtypes of the four tables, in order."""

COMPARISONS: Mapping[str, str] = {
    "dataset": _S,
    "direction": _S,
    "metric": _S,
    "extractor": _S,
    "label_a": _S,
    "label_b": _S,
    "difference": _F,
    "low": _F,
    "high": _F,
    "p": _F,
    "p_adjusted": _F,
    "test": _S,
    "n": _I,
}
"""Columns of the comparisons between the methods of a run, on the same inputs: A minus B."""

CHECKS: Mapping[str, str] = {
    "name": _S,
    "severity": _S,
    "passed": _B,
    "detail": _S,
    "verdict": _S,
}
"""Columns of the checks, which follow from the four tables; see :mod:`bench.analysis.validity`."""

LOSSES: Mapping[str, str] = {"trial": _S, "iteration": _I, "loss": _S, "value": _F}
"""Columns of the training curves, gathered from ``trials/<id>/losses.jsonl``."""


def table(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with exactly the columns and types of its schema.

    Raises
    ------
    KeyError
        When a row has a column the schema does not know.
    """
    schema = {"losses": LOSSES, "checks": CHECKS, "comparisons": COMPARISONS, **SCHEMAS}[name]
    rows = list(rows)
    for row in rows:
        if unknown := row.keys() - schema.keys():
            raise KeyError(f"{name} has no column {sorted(unknown)}")
    columns = {
        column: pd.Series([row.get(column) for row in rows], dtype=cast("Any", dtype))
        for column, dtype in schema.items()
    }
    return pd.DataFrame(columns)


def write_table(run: Path, name: str, frame: pd.DataFrame) -> None:
    """Write one table of a run folder, whole or not at all."""
    with replacing(run / "tables" / f"{name}.parquet", sync=False) as temporary:
        frame.to_parquet(temporary, index=False)


def read_losses(run: Path, trials: Sequence[str]) -> pd.DataFrame:
    """The training curves of the given trials, long: one row per iteration and loss."""
    rows = []
    for trial in trials:
        file = run / "trials" / trial / "losses.jsonl"
        if not file.is_file():
            continue
        for line in file.read_text("utf-8").splitlines():
            entry = json.loads(line)
            rows += [
                {"trial": trial, "iteration": entry["iteration"], "loss": name, "value": value}
                for name, value in entry["losses"].items()
            ]
    return table("losses", rows)


def read_run(path: Path) -> RunView:
    """A run folder as it was measured; :func:`bench.analysis.validity.judged` adds its checks.

    Raises
    ------
    BenchError
        When `path` is not the folder of a run that has tables.
    """
    suite = path / "suite.toml"
    if not suite.is_file():
        raise BenchError(f"{path} is not a run folder: it has no suite.toml")
    tables = {}
    for name in SCHEMAS:
        file = path / "tables" / f"{name}.parquet"
        if not file.is_file():
            raise BenchError(f"{file} is missing: finish the run with bench run --resume")
        try:
            tables[name] = pd.read_parquet(file)
        except (OSError, ValueError) as error:
            raise BenchError(
                f"{file} is damaged ({str(error).splitlines()[0]}): write it again with "
                f"bench run --resume --out {path}"
            ) from None
    file = path / "environment.json"
    environment = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return RunView(
        path=path,
        suite=tomllib.loads(suite.read_text("utf-8")),
        environment=environment,
        declared=read_declared(path, environment),
        losses=read_losses(path, list(tables["trials"]["trial"])),
        comparisons=table("comparisons", []),
        checks=table("checks", []),
        **tables,
    )
