"""Killed, interrupted and resumed runs end as a run never touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.storage.files import read_json_lines
from bench.storage.tables import read_run
from tests import toys
from tests.e2e.conftest import Place, measured, same_outputs


def _begin(place: Place, *args: str | Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, args)],
        cwd=place.root,
        env=toys.environment(place.cache, **env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=toys.heed_interrupts,
    )


def _wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not happened():
        if process.poll() is not None:
            assert process.stderr is not None
            raise AssertionError(f"the run ended too early: {process.stderr.read()}")
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def _events(run: Path, stage: str, begin: int) -> list[dict[str, object]]:
    file = run / "events.jsonl"
    if not file.exists():
        return []
    rows = [dict(row) for row in read_json_lines(file)]
    return [row for row in rows[begin:] if row["stage"] == stage]


def _kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the launcher alone, and see its workers go by themselves."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive, "a worker outlived its launcher"


@pytest.mark.slow
def test_killed_in_every_stage_and_resumed_it_ends_the_same(finished: Place, place: Place) -> None:
    run = place.root / "run"
    first = place.args("--out", "run", methods="toy")
    again: list[str | Path] = ["run", "--resume", "--out", "run", "--reports", "tables"]

    def kill_at(args: list[str | Path], happened: Callable[[int], bool], **env: str) -> None:
        file = run / "events.jsonl"
        begin = len(read_json_lines(file)) if file.exists() else 0
        process = _begin(place, *args, **env)
        _wait_until(lambda: happened(begin), process)
        _kill(process)
        assert not (run / "DONE").exists()

    def progressed(stage: str) -> Callable[[int], bool]:
        return lambda begin: any(row["kind"] == "progress" for row in _events(run, stage, begin))

    def pictures() -> int:
        return len(list(run.glob("trials/*/images/*/*/*.png")))

    kill_at(first, progressed("fit"), TOY_FIT="0.15")
    assert list(run.glob("trials/*/checkpoints/last.pt"))
    assert not list(place.cache.rglob("weights.safetensors"))
    # Each call waits, so the second direction is still to come when the first is written.
    kill_at(again, lambda _: pictures() > 0, TOY_TRANSLATE="1.5")
    assert 0 < pictures() < 12
    kill_at(again, lambda begin: bool(_events(run, "score", begin)), TOY_SCORE="2")
    assert not list(place.cache.rglob("measurements.json"))
    kill_at(again, progressed("time"), TOY_TRANSLATE="0.3")

    done = toys.bench(*again, cwd=place.root, cache=place.cache)
    assert done.returncode == 0, done.stderr
    view = read_run(run)
    assert list(view.trials["status"]) == ["ok"]
    assert view.trials["cached"].iloc[0] == "fit+translate+score"
    expected = measured(finished.root / "run")
    expected = expected[expected["label"] == "toy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(measured(run), expected)
    curve = read_run(finished.root / "run").losses.drop(columns="trial")
    pd.testing.assert_frame_equal(view.losses.drop(columns="trial"), curve)
    reference = place.root / "reference"
    (reference / "trials").mkdir(parents=True)
    trial = next((finished.root / "run" / "trials").glob("toy-*"))
    (reference / "trials" / trial.name).symlink_to(trial)
    same_outputs(run, reference)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_scheduler_keep_what_there_is(place: Place, how: signal.Signals) -> None:
    run = place.root / "run"
    args = place.args("--out", "run", methods="negative,toy")
    process = _begin(place, *args, TOY_FIT="0.2")
    _wait_until(lambda: any(row["kind"] == "progress" for row in _events(run, "fit", 0)), process)
    os.kill(process.pid, how)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    trials = read_run(run).trials.set_index("label")
    assert trials.loc["negative", "status"] == "ok"
    assert trials.loc["toy", "status"] == "interrupted"
    assert len(measured(run)) == 2
    assert not (run / "DONE").exists()
