"""The files of the tables report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.analysis.summary import summary
from bench_tables.render import render
from tests.factories import make_run


def test_writes_every_form_and_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", inputs=2, pictures=False, hostile=True)
    out = tmp_path / "out"
    assert render(run, out) == out / "summary.csv"
    assert sorted(p.name for p in out.iterdir()) == [
        "checks.csv",
        "comparisons.csv",
        "measurements.csv",
        "summary.csv",
        "summary.md",
        "summary.parquet",
        "summary.tex",
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(out / "summary.parquet"), summary(run))
    assert len(pd.read_csv(out / "measurements.csv")) == len(run.measurements)


def test_a_run_without_a_number_still_has_tables(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", methods=(), inputs=1, pictures=False)
    table = pd.read_csv(render(run, tmp_path / "out"))
    assert sorted(table["status"]) == ["diverged", "failed", "oom", "skipped", "timeout"]
