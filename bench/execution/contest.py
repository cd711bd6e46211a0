"""The stage of a run that comes after its trials: whatever needs more than one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.analysis.contest import comparisons
from bench.analysis.validity import judged
from bench.api import RunView
from bench.storage.tables import read_run, write_table


def contest(run: Path) -> RunView:
    """Compare the methods of a run with each other, judge it, and keep both as tables.

    Returns
    -------
    bench.api.RunView
        The run with its comparisons, its checks and so its verdict.
    """
    for name in ("comparisons", "checks"):  # those of an earlier attempt, damaged perhaps
        (run / "tables" / f"{name}.parquet").unlink(missing_ok=True)
    view = read_run(run)
    view = judged(replace(view, comparisons=comparisons(view)))
    write_table(run, "comparisons", view.comparisons)
    write_table(run, "checks", view.checks)
    return view
