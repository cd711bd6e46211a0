"""``bench status`` and ``bench watch``: read from the folder of a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.execution.status import trial_states
from bench.plugins import Registry, load_plugins
from bench.storage.locks import locked
from tests import toys
from tests.e2e.conftest import Place, finished  # noqa: F401


@pytest.fixture
def run(tmp_path: Path, finished: Place) -> Path:  # noqa: F811
    """A run whose first trial trains, and whose second has not begun."""
    copy = tmp_path / "run"
    shutil.copytree(finished.root / "run", copy)
    for trial in (copy / "trials").iterdir():
        (trial / "result.json").unlink()
        (trial / "events.jsonl").unlink()
    (copy / "DONE").unlink()
    (trial,) = (copy / "trials").glob("toy-*")
    events: list[Mapping[str, Any]] = [
        {"time": 100.0, "kind": "stage", "stage": "fit", "message": "begin"},
        {"time": 101.0, "kind": "progress", "stage": "fit", "done": 10, "total": 50, "unit": "it"},
        {"time": 102.0, "kind": "sample", "stage": "fit", "path": "sheets/10.png"},
        {
            "time": 111.0,
            "kind": "progress",
            "stage": "fit",
            "done": 20,
            "total": 50,
            "unit": "it",
            "values": {"l1": 0.25},
        },
    ]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (trial / "events.jsonl").write_text(lines + "half a li", "utf-8")
    return copy


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


@pytest.mark.slow
def test_a_run_in_hand(run: Path, registry: Registry) -> None:
    with locked(run):
        toy, negative = trial_states(run, registry)
    assert (toy.state, toy.stage, toy.done, toy.total, toy.unit) == ("running", "fit", 20, 50, "it")
    assert toy.seconds == pytest.approx(30) and toy.values == {"l1": 0.25}
    assert toy.sample == "sheets/10.png"
    assert (negative.state, negative.stage, negative.done) == ("waiting", "", None)
    assert not toy.ended and not negative.ended


def test_a_run_that_nobody_has_in_hand(run: Path, registry: Registry) -> None:
    assert [one.state for one in trial_states(run, registry)] == ["unfinished", "unfinished"]


@pytest.mark.slow
def test_the_command(run: Path, finished: Place) -> None:  # noqa: F811
    with locked(run):
        done = toys.bench("status", run, cwd=run)
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(" toy-"))
    assert row.split()[1:] == [
        "running",
        "fit",
        "20/50",
        "it",
        "0:00:30",
        "l1",
        "0.25",
        "sheets/10.png",
    ]
    ended = toys.bench("watch", finished.root / "run", cwd=run)
    assert ended.returncode == 0 and ended.stdout.count(" ok ") == 2
    wrong = toys.bench("status", run / "trials", cwd=run)
    assert wrong.returncode == 2 and "plan.jsonl cannot be read" in wrong.stderr
