"""Writes the tables of a run, each whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.summary import summary
from bench.analysis.tables import table_files
from bench.storage.files import replacing, write_atomic

if TYPE_CHECKING:
    from bench.api import Config, RunView


def render(run: RunView, out: Path, config: Config | None = None) -> Path:
    """Write ``summary.{csv,md,tex,parquet}``, ``measurements.csv`` and ``checks.csv`` into `out`.

    There is nothing to configure.

    Returns
    -------
    pathlib.Path
        ``summary.csv``.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, text in table_files(run).items():
        write_atomic(out / name, text)
    with replacing(out / "summary.parquet") as temporary:
        summary(run).to_parquet(temporary, index=False)
    return out / "summary.csv"
