"""Run folders, listeners, workers' ends, reports, estimates: everything around a trial."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch

from bench.api import BenchError, Config, Diverged, Event, LauncherSpec, ReportSpec
from bench.data.job import Job
from bench.devices import choose_device, choose_precision, describe_device, is_out_of_memory
from bench.execution import runner
from bench.execution.runner import execute, new_run_folder, render_reports, unfinished_run
from bench.execution.worker import classify
from bench.launchers import local
from bench.launchers.local import LocalLauncher
from bench.plugins import Registry, load_plugins
from bench.storage.tables import SCHEMAS, read_run, table
from bench.suite.estimate import estimate, remember_pace
from bench.suite.plan import make_plan
from bench.suite.schema import Suite, make_suite
from tests import toys
from tests.factories import make_run


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    root = toys.make_folder(tmp_path / "data", count=1)
    dataset = {"name": "image_folder", "root": str(root)}
    return make_suite({"methods": ["identity", "noise"], "dataset": dataset, "size": 32})


# ------------------------------------------------------------------------- devices


def test_choose_device() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "", "mps", "cuda:77", "meta"):
        with pytest.raises(BenchError):
            choose_device(name)


def test_choose_precision() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert choose_precision("auto", cpu) == choose_precision("tf32", cpu) == "fp32"
    assert choose_precision("auto", gpu) == "tf32"
    assert choose_precision("bf16", cpu) == "bf16"
    with pytest.raises(BenchError, match="fp8"):
        choose_precision("fp8", cpu)


def test_describe_device_names_what_speed_depends_on() -> None:
    facts = describe_device(torch.device("cpu"))
    assert {"device", "cpu", "cores", "threads", "torch"} <= facts.keys()
    assert json.dumps(facts)


def test_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), ("interrupted", "interrupted")),
        (Diverged("loss"), ("diverged", "loss")),
        (MemoryError(), ("oom", "out of memory: use a smaller size, batch or model")),
        (BenchError("what\nmore"), ("failed", "what more")),
        (ValueError("a\nb"), ("failed", "ValueError: a")),
        (ValueError(), ("failed", "ValueError")),
        (SystemExit(0), ("failed", "SystemExit: 0")),
    ],
)
def test_classify(error: BaseException, expected: tuple[str, str]) -> None:
    assert classify(error) == expected


# --------------------------------------------------------------------- run folders


def test_run_folders_are_nobody_elses(suite: Suite, tmp_path: Path) -> None:
    folders = [new_run_folder(suite, tmp_path / "runs") for _ in range(3)]
    assert len(set(folders)) == 3 and all(folder.is_dir() for folder in folders)
    other = make_suite({**suite.model_dump(), "size": 64})
    assert new_run_folder(other, tmp_path / "runs").name[-8:] != folders[0].name[-8:]
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot write to"):
        new_run_folder(suite, tmp_path / "file")


def test_unfinished_run_is_the_newest(tmp_path: Path) -> None:
    for name, done in [("20240101T0", False), ("20240102T0", False), ("20240103T0", True)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "suite.toml").touch()
        if done:
            (tmp_path / name / "DONE").touch()
    assert unfinished_run(tmp_path).name == "20240102T0"
    with pytest.raises(BenchError, match="nothing to resume"):
        unfinished_run(tmp_path / "nowhere")


class _Fake:
    """A launcher that runs nothing and reports what a test says."""

    statuses: ClassVar[Mapping[str, str]] = {}
    launched: ClassVar[list[list[str]]] = []

    def __init__(self, workers: int, timeout: float | None) -> None:
        pass

    def launch(
        self, jobs: Sequence[Job], run: Path, *, on_event: Any, on_result: Any, fail_fast: bool
    ) -> None:
        self.launched.append([job.label for job in jobs])
        for job in jobs:
            folder = run / "trials" / job.trial
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "job.json").write_text(job.to_json(), "utf-8")
            status = self.statuses.get(job.label, "ok")
            if status == "ctrl-c":
                raise KeyboardInterrupt
            on_event(job.trial, Event("log", "", "hello"))
            on_result(job, {"trial": {"status": status, "reason": "why"}})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, type[_Fake]]:
    registry = load_plugins()
    registry.reports.clear()
    registry.launchers["fake"] = LauncherSpec("fake", "s", "test_fake_launcher:Fake")
    monkeypatch.setitem(sys.modules, "test_fake_launcher", SimpleNamespace(Fake=_Fake))  # type: ignore[arg-type]
    monkeypatch.setattr(_Fake, "statuses", {})
    monkeypatch.setattr(_Fake, "launched", [])
    return registry, _Fake


def test_resuming_runs_what_did_not_end_well(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    registry, launcher = fake
    launcher.statuses = {"noise": "oom"}
    options: dict[str, Any] = {
        "registry": registry, "out": tmp_path / "run", "launcher": "fake"
    }  # fmt: skip
    first = execute(suite, **options)
    assert first.failures == 1 and not (tmp_path / "run" / "DONE").exists()
    assert list(first.view.trials["status"]) == ["ok", "oom"]
    with pytest.raises(BenchError, match="holds a run already"):
        execute(suite, **options)
    launcher.statuses = {}
    second = execute(suite, **options, resume=True)
    assert launcher.launched == [["identity", "noise"], ["noise"]]
    assert second.failures == 0 and (tmp_path / "run" / "DONE").exists()
    execute(suite, **options, resume=True)
    assert launcher.launched[-1] == []
    # Asked for something else, a trial that had ended well is run again.
    changed = make_suite({**suite.model_dump(mode="json"), "metrics": []})
    execute(changed, **options, resume=True)
    assert launcher.launched[-1] == ["identity", "noise"]


def test_an_interrupt_leaves_tables(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    registry, launcher = fake
    launcher.statuses = {"noise": "ctrl-c"}
    with pytest.raises(KeyboardInterrupt):
        execute(suite, registry=registry, out=tmp_path / "run", launcher="fake")
    assert list(read_run(tmp_path / "run").trials["label"]) == ["identity"]


def test_half_written_results_are_not_believed(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    registry, launcher = fake
    options: dict[str, Any] = {
        "registry": registry, "out": tmp_path / "run", "launcher": "fake"
    }  # fmt: skip
    execute(suite, **options)
    trials = sorted((tmp_path / "run" / "trials").iterdir())
    (trials[0] / "result.json").write_text('{"trial": {"sta', "utf-8")
    (trials[1] / "job.json").write_text("{}", "utf-8")
    execute(suite, **options, resume=True)
    assert launcher.launched[-1] == ["identity", "noise"]


def test_a_lock_alone_is_no_foreign_folder(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    assert execute(suite, registry=fake[0], out=tmp_path / "run", launcher="fake").failures == 0


def test_reports_fail_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = make_run(tmp_path / "run")

    def good(run: Any, out: Path, config: Config) -> Path:
        out.mkdir(parents=True, exist_ok=True)
        (out / "good.html").write_text("x", "utf-8")
        return out / "good.html"

    def bad(run: Any, out: Path, config: Config) -> Path:
        raise ValueError("first\nsecond")

    def exits(run: Any, out: Path, config: Config) -> Path:
        raise SystemExit(3)

    module = SimpleNamespace(good=good, bad=bad, exits=exits)
    monkeypatch.setitem(sys.modules, "test_reports_module", module)  # type: ignore[arg-type]
    registry = Registry()
    for name in ("bad", "exits", "good"):
        registry.reports[name] = ReportSpec(name, "s", f"test_reports_module:{name}")
    registry.reports["later"] = ReportSpec("later", "s", "test_reports_module:bad", default=False)
    page, problems = render_reports(view, registry)
    assert page == view.path / "report" / "good.html"
    assert problems == (
        "report bad failed: ValueError: first",
        "report exits failed: SystemExit: 3",
    )
    assert render_reports(view, registry, [])[1] == ()
    assert len(render_reports(view, registry, ["later"])[1]) == 1


def test_listeners_hear_of_every_trial(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    heard: list[str] = []

    class Ear(runner.Silent):
        def planned(self, run: Path, jobs: Sequence[Job]) -> None:
            heard.append(f"{len(jobs)} jobs")

        def finished(self, job: Job, row: Mapping[str, Any]) -> None:
            heard.append(f"{job.label} {row['status']}")

    execute(suite, registry=fake[0], out=tmp_path / "run", launcher="fake", listener=Ear())
    assert heard == ["2 jobs", "identity ok", "noise ok"]


# ------------------------------------------------------------------------ launcher


def _jobs(suite: Suite, tmp_path: Path) -> list[Job]:
    return list(make_plan(suite, load_plugins(), tmp_path / "cache").jobs)


def _launch(
    monkeypatch: pytest.MonkeyPatch, jobs: Sequence[Job], run: Path, code: str, **options: Any
) -> tuple[list[Event], list[tuple[str, str]]]:
    """Launch jobs whose worker process runs `code` instead."""
    real = subprocess.Popen

    def stand_in(command: list[str], **rest: Any) -> Any:
        return real([sys.executable, "-c", code, *command[-2:]], **rest)

    monkeypatch.setattr("bench.launchers.local.subprocess.Popen", stand_in)
    monkeypatch.setattr("bench.launchers.local.GRACE_SECONDS", 0.5)
    events: list[Event] = []
    rows: list[tuple[str, str]] = []
    LocalLauncher(options.pop("workers", 1), options.pop("timeout", None)).launch(
        jobs,
        run,
        on_event=lambda trial, event: events.append(event),
        on_result=lambda job, result: rows.append(
            (result["trial"]["status"], result["trial"]["reason"])
        ),
        **options,
    )
    return events, rows


WRITES = """
import json, os, sys
from pathlib import Path
run, trial = sys.argv[1:]
for n in range(500):
    print(json.dumps({"kind": "log", "message": str(n)}))
print("no json"); print("[1]"); print('{"unknown": 1}')
Path(run, "trials", trial, "result.json").write_text('{"trial": {"status": "ok", "reason": ""}}')
"""


def test_every_event_arrives_even_the_last(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = _jobs(suite, tmp_path)
    events, rows = _launch(monkeypatch, jobs, tmp_path / "run", WRITES, workers=2)
    assert rows == [("ok", ""), ("ok", "")]
    for_each = sorted(int(event.message) for event in events)
    assert for_each == sorted([*range(500), *range(500)])


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "failed",
            "SIGKILL (was memory",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "failed",
            "SIGSEGV: see its log",
        ),
        ("raise SystemExit(7)", "failed", "exit code 7"),
        ("pass", "failed", "exit code 0"),
    ],
)
def test_a_worker_that_wrote_nothing(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    code: str, status: str, reason: str,
) -> None:  # fmt: skip
    jobs = _jobs(suite, tmp_path)[:1]
    old = tmp_path / "run" / "trials" / jobs[0].trial / "result.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"trial": {"status": "ok", "reason": "of an earlier attempt"}}', "utf-8")
    _, rows = _launch(monkeypatch, jobs, tmp_path / "run", code)
    assert rows[0][0] == status and reason in rows[0][1]


STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"])
Path(sys.argv[1], "pids").write_text(f"{os.getpid()} {child.pid}")
while True:
    pass
"""


def _gone(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_timeout_kills_the_whole_group(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    _, rows = _launch(
        monkeypatch, _jobs(suite, tmp_path)[:1], tmp_path / "run", STUBBORN, timeout=1.5
    )
    assert rows == [("timeout", "stopped after 1.5 s (--timeout)")]
    assert time.monotonic() - begun < 15
    pids = [int(pid) for pid in (tmp_path / "run" / "pids").read_text("utf-8").split()]
    deadline = time.monotonic() + 5
    while not all(_gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "something outlived the timeout"
        time.sleep(0.05)


def test_fail_fast_skips_the_rest(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows = _launch(
        monkeypatch, _jobs(suite, tmp_path), tmp_path / "run", "raise SystemExit(1)", fail_fast=True
    )
    assert [status for status, _ in rows] == ["failed", "skipped"]


def test_an_interrupt_ends_every_trial_in_one_row(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []
    pause = time.sleep

    def interrupt(seconds: float) -> None:
        begun.append(seconds)
        if len(begun) == 10:
            raise KeyboardInterrupt
        pause(seconds)

    monkeypatch.setattr("bench.launchers.local.time.sleep", interrupt)
    rows: list[tuple[str, str]] = []
    real = subprocess.Popen
    monkeypatch.setattr(
        "bench.launchers.local.subprocess.Popen",
        lambda command, **rest: real([sys.executable, "-c", "import time; time.sleep(60)"], **rest),
    )
    with pytest.raises(KeyboardInterrupt):
        LocalLauncher().launch(
            _jobs(suite, tmp_path),
            tmp_path / "run",
            on_event=lambda trial, event: None,
            on_result=lambda job, result: rows.append(tuple(result["trial"].values())),
        )
    assert rows == [
        ("interrupted", "interrupted"),
        ("interrupted", "not begun when the run was interrupted"),
    ]


def test_a_worker_does_not_outlive_its_launcher(tmp_path: Path) -> None:
    """Even one whose launcher died while it was still starting."""
    code = (
        "import os, time\n"
        "os.environ['BENCH_LAUNCHER_PID'] = '999999'\n"
        "from bench.execution.worker import _end_with_parent\n"
        "_end_with_parent()\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    assert worker.wait(timeout=20) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("before", "after", "busy"),
    [
        # user nice system idle iowait irq softirq steal
        ("10 0 0 90 0 0 0 0", "10 0 0 110 0 0 0 0", False),
        ("10 0 0 90 0 0 0 0", "11 0 1 108 0 0 0 0", False),  # a tenth
        ("10 0 0 90 0 0 0 0", "20 0 0 100 0 0 0 0", True),  # half
        ("10 0 0 90 0 0 0 0", "10 0 0 90 20 0 0 0", False),  # waits for a disk
        ("no numbers", "no numbers", False),
    ],
)
def test_a_worker_spins_less_beside_other_work(
    before: str, after: str, busy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    stat.write_text(f"cpu  {before}\n", "ascii")
    monkeypatch.setattr(local, "_STAT", stat)

    class Pause:
        def wait(self, seconds: float) -> None:
            stat.write_text(f"cpu  {after}\n", "ascii")

    monkeypatch.setattr(local.threading, "Event", Pause)
    assert local._others_work() is busy


def test_a_machine_that_tells_nothing_counts_as_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_STAT", tmp_path / "missing")
    assert not local._others_work(0)


def test_the_users_files_are_not_taken_for_modules(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def note(command: list[str], **rest: Any) -> Any:
        commands.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.launchers.local.subprocess.Popen", note)
    with pytest.raises(KeyboardInterrupt):
        LocalLauncher().launch(
            _jobs(suite, tmp_path)[:1],
            tmp_path / "run",
            on_event=lambda trial, event: None,
            on_result=lambda job, result: None,
        )
    assert "-P" in commands[0]
    monkeypatch.undo()
    # What -P is for: a file of the user's that is called like a module of Python's.
    (tmp_path / "queue.py").write_text("raise SystemExit('taken for a module')", "utf-8")
    (tmp_path / "torch.py").write_text("raise SystemExit('taken for a module')", "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench.execution.worker", "nowhere", "nothing"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(runner.__file__).parents[1])},
    )  # fmt: skip
    assert "taken for a module" not in done.stderr and "nowhere" in done.stderr


# ------------------------------------------------------------------------- results


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_tables_keep_their_schema(name: str, tmp_path: Path) -> None:
    empty = table(name, [])
    row = table(name, [{"trial": "t"}])
    assert list(empty.columns) == list(row.columns) == list(SCHEMAS[name])
    for frame in (empty, row):
        assert {column: str(kind) for column, kind in frame.dtypes.items()} == SCHEMAS[name]
        frame.to_parquet(tmp_path / "t.parquet", index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)
    with pytest.raises(KeyError, match="no column"):
        table(name, [{"trial": "t", "colour": "red"}])


def test_read_run_refuses_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not a run folder"):
        read_run(tmp_path)
    make_run(tmp_path / "run")
    (tmp_path / "run" / "tables" / "samples.parquet").write_bytes(b"PAR1")
    with pytest.raises(BenchError, match=r"samples\.parquet is damaged"):
        read_run(tmp_path / "run")


# ----------------------------------------------------------------------- estimates


def test_estimates_come_from_what_ran_before(tmp_path: Path) -> None:
    root = toys.make_folder(tmp_path / "data", count=1)
    suite = make_suite(
        {
            "methods": ["munit"],
            "dataset": {"name": "image_folder", "root": str(root)},
            "size": 32,
            "samples": 2,
            "budget": "100it",
        }
    )
    job = _jobs(suite, tmp_path)[0]
    cache = tmp_path / "cache"
    assert estimate(job, 10, cache).seconds is None
    row = {
        "cached": "",
        "iterations": 50,
        "fit_seconds": 5.0,
        "translate_seconds": 4.0,
        "score_seconds": 1.0,
        "time_seconds": 2.0,
    }
    remember_pace(job, row, 10, cache)
    found = estimate(job, 20, cache)
    # 100 iterations at 0.1 s, 40 outputs at 0.2 s, 3 s for the rest.
    assert found.seconds == pytest.approx(10 + 8 + 3)
    # What came from the cache says nothing about the pace.
    remember_pace(
        job, {**row, "cached": "fit+translate+score+time", "fit_seconds": 99.0}, 10, cache
    )
    assert estimate(job, 20, cache).seconds == pytest.approx(21)
    (file,) = (cache / "paces").iterdir()
    file.write_text("{", "utf-8")
    assert estimate(job, 20, cache).seconds is None
