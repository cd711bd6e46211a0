"""Writes the tables of a run, each whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import replacing, write_atomic
from bench.summary import columns, summary
from bench.tabular import csv_table, latex_table, markdown_table

if TYPE_CHECKING:
    from bench.api import RunView


def render(run: RunView, out: Path) -> Path:
    """Write ``summary.{csv,md,tex,parquet}`` and ``measurements.csv`` into `out`.

    Returns
    -------
    pathlib.Path
        ``summary.csv``.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = summary(run)
    headline = [column for column in columns(run) if column.headline]
    texts = {
        "summary.csv": str(csv_table(table)),
        "summary.md": str(markdown_table(table, headline)),
        "summary.tex": str(latex_table(table, headline)),
        "measurements.csv": str(csv_table(run.measurements)),
    }
    for name, text in texts.items():
        write_atomic(out / name, text)
    with replacing(out / "summary.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    return out / "summary.csv"
