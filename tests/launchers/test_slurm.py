"""Trials as Slurm jobs, on a real Slurm of this machine; skips where there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.api import Ended, LastingLauncher, Resources
from bench.launchers.slurm import JOB, SlurmConfig, SlurmLauncher, _known, _states
from tests import toys
from tests.e2e.conftest import Place, finished, make_place, measured  # noqa: F401
from tests.launchers.clusters import needs_slurm, slurm_of_this_machine
from tests.launchers.tiny import counted, result, starts, task, until, wait_until

pytest.importorskip("submitit", reason="submitit is not installed")

pytestmark = [pytest.mark.slurm, *needs_slurm]


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm_of_this_machine(tmp_path_factory.mktemp("slurm")):
        yield


def make(workers: int = 1, **options: Any) -> SlurmLauncher:
    return SlurmLauncher(SlurmConfig(look=0.2, **options), workers)


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_array_runs_two_at_a_time_and_leaves_nothing(tmp_path: Path) -> None:
    launcher = make(workers=2)
    tasks = [task(tmp_path, f"t{n}", 10) for n in range(4)]
    for one in tasks:
        launcher.submit(one)
    assert launcher.poll() == []
    assert set(launcher.queue({one.trial: one.folder for one in tasks})) == {"t0", "t1", "t2", "t3"}
    assert asked("squeue", "--noheader", "--format=%K").count("%2") == 1
    ended = until(launcher, 4)
    assert all(one.status is None for one in ended.values())
    assert [result(one) for one in tasks] == [{"status": "ok", "count": 10}] * 4
    assert not list(tmp_path.rglob(JOB)) and not (tmp_path / "slurm").exists()


def test_a_requeued_job_goes_on_where_it_was(tmp_path: Path) -> None:
    launcher = make()
    one = task(tmp_path, "long", 40)
    launcher.submit(one)
    launcher.poll()
    wait_until(lambda: counted(one) > 5)
    known = _known(one.folder)
    assert known is not None and known["job"] in _states([known["job"]])
    asked("scontrol", "requeue", known["job"])
    hurry = ["scontrol", "update", f"JobId={known['job']}", "StartTime=now"]

    def again() -> bool:
        # Slurm holds a requeued job back for minutes, and heeds this only when it has ended.
        subprocess.run(hurry, check=False, capture_output=True)
        return len(starts(one)) == 2

    wait_until(again, seconds=240)
    until(launcher, 1)
    assert result(one) == {"status": "ok", "count": 40}
    assert len(starts(one)) == 2 and starts(one)[0] == 0 and starts(one)[1] > 5


def test_what_was_left_is_found_and_what_is_not_wanted_any_more_ends(tmp_path: Path) -> None:
    first = make()
    assert isinstance(first, LastingLauncher)
    one, other = task(tmp_path, "left", 60, key="a"), task(tmp_path, "changed", 1000, key="a")
    first.submit(one)
    first.submit(other)
    first.leave()
    assert first.poll() == []
    wait_until(lambda: counted(one) > 0)
    second = make()
    assert second.queue({"left": one.folder})["left"].startswith("running as job ")
    second.submit(one)
    second.submit(replace(other, key="b", command=(sys.executable, "-c", "pass")))
    ended = until(second, 2)
    assert ended["changed"] == Ended("changed", None, "the worker ended with exit code 0")
    assert result(one)["status"] == "ok" and starts(one) == [0], "it was started twice"


def test_cancelled_nothing_is_left(tmp_path: Path) -> None:
    launcher = make()
    tasks = [task(tmp_path, name, 1000) for name in ("running", "queued")]
    for one in tasks:
        launcher.submit(one)
    launcher.poll()
    launcher.submit(task(tmp_path, "waiting", 1000))
    wait_until(lambda: counted(tasks[0]) > 0)
    ended = {one.trial: one.status for one in launcher.cancel()}
    assert ended == dict.fromkeys(("running", "queued", "waiting"), "interrupted")
    assert asked("squeue", "--noheader").strip() == ""
    assert not list(tmp_path.rglob(JOB)) and not (tmp_path / "slurm").exists()


def test_what_a_job_asks_for_reaches_slurm(tmp_path: Path) -> None:
    launcher = make(memory_gb=1, extra={"comment": "hello"}, setup=("export A=7",))
    needs = (Resources(seconds=60), Resources(seconds=600))
    tasks = [task(tmp_path, f"t{n}", 1000, resources=one) for n, one in enumerate(needs)]
    for one in tasks:
        launcher.submit(one)
    launcher.poll()
    known = _known(tasks[0].folder)
    assert known is not None
    shown = asked("scontrol", "show", "job", known["job"])
    # One array, with the time of the longest.
    for part in ("TimeLimit=00:30:00", "NumCPUs=1", "MinMemoryNode=1G", "Comment=hello"):
        assert part in shown, shown
    launcher.cancel()


def test_a_timeout_and_a_dead_worker_are_told(tmp_path: Path) -> None:
    launcher = make(workers=2)
    launcher.submit(task(tmp_path, "slow", 1000, timeout=2.0))
    died = (sys.executable, "-c", "import os; os._exit(3)")
    launcher.submit(replace(task(tmp_path, "dead", 1), command=died))
    ended = until(launcher, 2)
    assert ended["slow"].status == "timeout"
    assert ended["dead"] == Ended("dead", None, "the worker ended with exit code 3")


def test_the_same_tables_as_on_this_machine(
    tmp_path: Path,
    finished: Place,  # noqa: F811
) -> None:
    place = make_place(tmp_path)
    args = place.args("--out", "run", "--launcher", "slurm", "--set", "slurm.look=0.2")
    done = toys.bench(*args, "--workers", "2", cwd=tmp_path, cache=place.cache, timeout=400)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(measured(tmp_path / "run"), measured(finished.root / "run"))
    assert asked("squeue", "--noheader").strip() == "" and not list(tmp_path.rglob(JOB))
