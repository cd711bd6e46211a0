"""Writes the tables of a run, each under a temporary name and then moved into place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
        _replace(out / name, lambda path, text=text: path.write_text(text, "utf-8"))  # type: ignore[misc]
    _replace(out / "summary.parquet", lambda path: table.to_parquet(path, index=False))
    return out / "summary.csv"


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file in the same folder, then put it in place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
