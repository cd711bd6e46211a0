"""A suite of 24 trials by every launcher; a job of Slurm is requeued, a worker of Ray killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.launchers.slurm import JOB
from tests import toys
from tests.e2e.conftest import Place, make_place, measured
from tests.launchers.clusters import needs_slurm, ray_of_this_machine, slurm_of_this_machine
from tests.launchers.tiny import wait_until

pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("submitit", reason="submitit is not installed")
pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("default"), *needs_slurm]

SEEDS = 12
TRIALS = 2 * SEEDS


def study(place: Place, launcher: str, meanwhile: Callable[[Path], None]) -> float:
    """Run the suite, two trials at a time; gives its seconds."""
    run = place.root / f"by-{launcher}"
    seeds = ",".join(map(str, range(SEEDS)))
    args = place.args("--out", run, "--launcher", launcher, "--workers", "2", "--seeds", seeds)
    options = ["--set", "slurm.look=0.2"] if launcher == "slurm" else []
    cache = place.root / f"cache-{launcher}"
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, args), *options],
        cwd=place.root,
        env=toys.environment(cache, TOY_FIT="0.05"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    meanwhile(run)
    _, said = process.communicate(timeout=1200)
    assert process.returncode == 0, said
    return time.monotonic() - begun


def training(run: Path) -> Path | None:
    """The folder of a trial that trains now."""
    for events in run.glob("trials/toy-*/events.jsonl"):
        if events.with_name("result.json").exists():
            continue
        rows = [json.loads(line) for line in events.read_text().splitlines() if line.endswith("}")]
        if rows and rows[-1]["kind"] == "progress" and rows[-1]["stage"] == "fit":
            return events.parent
    return None


def requeue(run: Path) -> None:
    """Send a job that trains back to the queue."""
    wait_until(lambda: training(run) is not None, 300)
    trial = training(run)
    assert trial is not None
    job = json.loads((trial / JOB).read_text())["job"]
    subprocess.run(["scontrol", "requeue", job], check=True)

    def again() -> bool:
        hurry = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
        subprocess.run(hurry, check=False, capture_output=True)
        return sum(_begins(line) for line in (trial / "events.jsonl").read_text().splitlines()) == 2

    wait_until(again, 300)


def _begins(line: str) -> bool:
    return '"stage": "fit"' in line and '"begin"' in line


def kill_a_worker(run: Path) -> None:
    """Kill the process of Ray that started the worker of a training trial."""
    wait_until(lambda: training(run) is not None, 300)
    trial = training(run)
    assert trial is not None
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if trial.name in (process.info["cmdline"] or ()):
            os.kill(process.info["ppid"], signal.SIGKILL)
            return
    raise AssertionError("no worker of Ray was found")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield make_place(tmp_path_factory.mktemp("study"))


def test_the_same_tables_whoever_runs_them(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = {}
    for launcher, cluster, meanwhile in (
        ("local", nullcontext(), lambda run: None),
        ("slurm", slurm_of_this_machine(tmp_path), requeue),
        ("ray", ray_of_this_machine(), kill_a_worker),
    ):
        with cluster:
            seconds[launcher] = study(place, launcher, meanwhile)
            if launcher == "slurm":
                left = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True)
                assert left.stdout == ""
    with capsys.disabled():
        for launcher, spent in seconds.items():
            more = (spent - seconds["local"]) / TRIALS
            print(f"\n{launcher}: {spent:.0f} s for {TRIALS} trials, {more:+.2f} s a trial", end="")
    local = measured(place.root / "by-local")
    assert local["label"].nunique() == 2 and local["seed"].nunique() == SEEDS
    for launcher in ("slurm", "ray"):
        pd.testing.assert_frame_equal(measured(place.root / f"by-{launcher}"), local)
    assert not [file for file in place.root.rglob("*") if file.name in (JOB, "slurm")]
    assert not list(place.root.rglob("*.tmp*"))
    for process in psutil.process_iter(["cmdline"]):
        assert str(place.root) not in " ".join(process.info["cmdline"] or ())
