"""The verdict of a run, and the five places that tell it: all of them, and all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import bench
from bench.analysis.validity import VERDICTS, judged
from bench.api import RunView, Verdict
from bench.cli import app
from bench.execution.runner import Execution, render_reports
from bench.storage.tables import write_table
from tests.factories import make_run

BEHIND = {"valid": None, "remarks": "Timings were steady", "invalid": "The anchors are in order"}
"""The check that does not pass."""


@pytest.fixture(scope="module", params=list(VERDICTS))
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run folder of each verdict, after ``bench report``; with the verdict and the answer."""
    verdict: Verdict = request.param
    path = tmp_path_factory.mktemp(verdict)
    run = make_run(
        path, methods=("munit", "identity"), inputs=2, samples=2, pictures=False, failures=False
    )
    if verdict == "remarks":
        timings = run.timings.copy()
        timings.loc[timings["round"] % 2 == 0, "seconds"] *= 2
        write_table(path, "timings", timings)
    if verdict == "invalid":
        rows = run.measurements.copy()
        copies = (rows["label"] == "identity") & (rows["metric"] == "lpips_input")
        assert copies.any()
        rows.loc[copies, "value"] = 0.5
        write_table(path, "measurements", rows)
    result = CliRunner().invoke(app, ["report", str(path)])
    return verdict, path, result


def test_python_says_it(told: tuple[Verdict, Path, Result]) -> None:
    verdict, path, _ = told
    run = bench.open(path)
    assert run.verdict == verdict
    failed = run.checks[run.checks["passed"].eq(False).fillna(False)]
    assert list(failed["name"]) == ([BEHIND[verdict]] if BEHIND[verdict] else [])


def test_the_terminal_says_it(told: tuple[Verdict, Path, Result]) -> None:
    verdict, _, result = told
    (line,) = [row for row in result.output.splitlines() if row.startswith("verdict ")]
    assert line.removeprefix("verdict ").split(";")[0] == VERDICTS[verdict]
    assert BEHIND[verdict] is None or BEHIND[verdict] in line


def test_the_exit_code_says_it(told: tuple[Verdict, Path, Result]) -> None:
    verdict, path, result = told
    assert result.exit_code == (1 if verdict == "invalid" else 0)
    assert Execution(bench.open(path), None).sound is (verdict != "invalid")


def test_the_tables_say_it(told: tuple[Verdict, Path, Result]) -> None:
    verdict, path, _ = told
    checks = pd.read_csv(path / "report" / "checks.csv")
    assert set(checks["verdict"]) == {"valid", verdict}
    for name in ("summary.md", "summary.tex"):
        text = (path / "report" / name).read_text("utf-8").lower()
        assert f"verdict: {VERDICTS[verdict].lower()}" in text


def test_the_page_says_it(told: tuple[Verdict, Path, Result]) -> None:
    verdict, path, _ = told
    page = (path / "report" / "index.html").read_text("utf-8")
    assert f'<details class="verdict {verdict}"' in page
    assert f"</span>{VERDICTS[verdict]}<small>" in page
    assert ("This run is invalid" in page) is (verdict == "invalid")


def test_a_run_without_numbers_is_invalid(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, methods=("munit",), inputs=2, samples=2, pictures=False, failures=False
    )
    empty = judged(replace(run, measurements=run.measurements.iloc[:0]))
    assert empty.verdict == "invalid"
    page, problems = render_reports(empty, _registry())
    assert not problems and page is not None
    assert "Something was measured" in page.read_text("utf-8")


def test_a_failed_trial_is_a_remark(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, methods=("munit", "identity"), inputs=2, samples=2, pictures=False, failures=False
    )
    trials = run.trials.copy()
    trials.loc[trials["label"] == "munit", "status"] = "failed"
    failed: RunView = judged(replace(run, trials=trials))
    assert failed.verdict == "remarks" and not Execution(failed, None).sound


def _registry() -> Any:
    from bench.plugins import load_plugins

    return load_plugins()
