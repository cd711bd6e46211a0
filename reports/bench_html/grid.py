"""Inputs by methods as one picture for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.plots.sheet import sheet
from bench.api import BenchError
from bench.storage.files import folder_name
from bench_html.config import GridConfig

if TYPE_CHECKING:
    from bench.api import RunView


def render_grid(run: RunView, out: Path, config: GridConfig | None = None) -> Path:
    """Write ``grid-<dataset>-<direction>.pdf`` and ``.png`` into ``out/figures``.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    BenchError
        When the run has no pictures.
    """
    if run.samples.empty:
        raise BenchError(f"{run.path} has no pictures")
    shown = (config or GridConfig()).model_dump()
    keys = ["dataset", "direction"]
    for (dataset, direction), rows in run.samples.groupby(keys, sort=False):
        stem = f"grid-{folder_name(str(dataset))}-{folder_name(str(direction))}"
        for ending in ("pdf", "png"):
            sheet(run, rows, **shown).save(out / "figures" / f"{stem}.{ending}")
    return out / "figures"
