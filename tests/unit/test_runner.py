"""Run folders, listeners, workers' ends, reports, estimates: everything around a trial."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch

from bench.api import (
    BenchError,
    Config,
    Diverged,
    Ended,
    Event,
    LauncherSpec,
    ReportSpec,
    Status,
    Task,
    TrialResult,
)
from bench.devices import choose_device, choose_precision, describe_device, is_out_of_memory
from bench.execution import dispatch, runner
from bench.execution.dispatch import Dispatch, Tail
from bench.execution.runner import execute, new_run_folder, render_reports, unfinished_run
from bench.execution.status import trial_states
from bench.execution.worker import classify, command_line
from bench.launchers import child
from bench.launchers.local import LocalConfig, LocalLauncher
from bench.plugins import Registry, load_plugins
from bench.storage.files import read_json_lines
from bench.storage.jobs import Job
from bench.storage.tables import SCHEMAS, VERSION, read_run, table
from bench.suite.estimate import expected_seconds, remember_pace
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
    """A launcher that runs nothing and ends tasks as a test says."""

    statuses: ClassVar[Mapping[str, str]] = {}
    launched: ClassVar[list[str]] = []

    def __init__(self, config: Config, workers: int) -> None:
        self.tasks: list[Task] = []

    def submit(self, task: Task) -> None:
        self.launched.append(task.label)
        self.tasks.append(task)

    def poll(self) -> list[Ended]:
        ended = []
        for task in self.tasks:
            status = self.statuses.get(task.label, "ok")
            if status == "ctrl-c":
                raise KeyboardInterrupt
            if status == "breaks":
                raise ValueError("a plugin's fault\nin two lines")
            event = json.dumps({"kind": "log", "message": "hello", "time": 1.5})
            (task.folder / "events.jsonl").write_text(event + "\n", "utf-8")
            result = {"status": status, "reason": "why"}
            (task.folder / "result.json").write_text(json.dumps(result), "utf-8")
            ended.append(Ended(task.trial))
        self.tasks.clear()
        return ended

    def cancel(self) -> list[Ended]:
        return [Ended(task.trial, "interrupted") for task in self.tasks]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, type[_Fake]]:
    registry = load_plugins()
    registry.reports.clear()
    registry.launchers["fake"] = LauncherSpec("fake", "s", "test_fake_launcher:Fake")
    monkeypatch.setattr(dispatch, "POLL_SECONDS", 0.0)
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
    assert launcher.launched == ["identity", "noise", "noise"]
    assert second.failures == 0 and (tmp_path / "run" / "DONE").exists()
    launcher.launched.clear()
    execute(suite, **options, resume=True)
    assert launcher.launched == []
    # Asked for something else, a trial that had ended well is run again.
    changed = make_suite({**suite.model_dump(mode="json"), "metrics": []})
    execute(changed, **options, resume=True)
    assert launcher.launched == ["identity", "noise"]


def test_an_interrupt_leaves_tables(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    registry, launcher = fake
    launcher.statuses = {"noise": "ctrl-c"}
    with pytest.raises(KeyboardInterrupt):
        execute(suite, registry=registry, out=tmp_path / "run", launcher="fake")
    trials = read_run(tmp_path / "run").trials.set_index("label")
    assert dict(trials["status"]) == {"identity": "interrupted", "noise": "interrupted"}


@pytest.mark.parametrize(
    "content",
    [
        b'{"status": "ok", "rea',
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"status": "fine", "reason": ""}',
        b'{"status": "ok", "facts": {"no_such_column": 1}}',
        b'{"status": "ok", "facts": {"seed": "a word"}}',
        b'{"status": "ok", "measurements": [{"metric": "kid", "colour": 1}]}',
        b'{"status": "ok", "measurements": [7]}',
        b'{"status": "ok", "timings": [{"round": 99999999999999999999}]}',
    ],
)
def test_a_damaged_result_is_not_believed(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]], content: bytes
) -> None:
    registry, launcher = fake
    options: dict[str, Any] = {
        "registry": registry, "out": tmp_path / "run", "launcher": "fake"
    }  # fmt: skip
    execute(suite, **options)
    launcher.launched.clear()
    trials = sorted((tmp_path / "run" / "trials").iterdir())
    (trials[0] / "result.json").write_bytes(content)
    assert execute(suite, **options, resume=True).failures == 0
    assert launcher.launched == ["identity"]
    launcher.launched.clear()
    (trials[1] / "job.json").write_text("{}", "utf-8")
    execute(suite, **options, resume=True)
    assert launcher.launched == ["noise"]


def test_a_launcher_that_breaks_is_one_line(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    registry, launcher = fake
    launcher.statuses = {"noise": "breaks"}
    with pytest.raises(BenchError, match=r"^_Fake failed: ValueError: a plugin's fault$"):
        execute(suite, registry=registry, out=tmp_path / "run", launcher="fake")


def test_what_was_told_by_a_worker_is_told_by_the_run(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    execute(suite, registry=fake[0], out=tmp_path / "run", launcher="fake")
    rows = read_json_lines(tmp_path / "run" / "events.jsonl")
    told = [(row["message"], row["time"]) for row in rows if row["kind"] == "log"]
    assert told == [("hello", 1.5)] * 2
    assert {row["trial"] for row in rows if row["message"] == "ok why"} == {
        path.name for path in (tmp_path / "run" / "trials").iterdir()
    }


def test_what_plugins_declare_is_kept(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]]
) -> None:
    view = execute(suite, registry=fake[0], out=tmp_path / "run", launcher="fake").view
    assert {"kid", "latency", "throughput", "peak_memory"} <= view.declared.columns.keys()
    assert view.declared.columns["latency"].higher_is_better is False
    assert {"identity", "noise"} <= view.declared.anchors.keys()
    # As it was declared then, not as it is now.
    fake[0].methods.clear()
    assert read_run(tmp_path / "run").declared == view.declared
    assert view.environment["schema_version"] == VERSION
    assert (tmp_path / "run" / "tables" / "comparisons.parquet").is_file()
    assert (tmp_path / "run" / "tables" / "checks.parquet").is_file()


def test_options_reach_launcher_and_report(
    suite: Suite, tmp_path: Path, fake: tuple[Registry, type[_Fake]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Mine(Config):
        depth: int = 1

    seen: list[tuple[str, Any, Any]] = []

    class Launcher(_Fake):
        def __init__(self, config: Config, workers: int) -> None:
            super().__init__(config, workers)
            seen.append(("launcher", config, workers))

    def report(run: Any, out: Path, config: Config) -> Path:
        seen.append(("report", config, run.suite["reports"]))
        return out

    registry = fake[0]
    module = SimpleNamespace(Launcher=Launcher, report=report)
    monkeypatch.setitem(sys.modules, "test_options_module", module)  # type: ignore[arg-type]
    name = "test_options_module"
    registry.launchers["mine"] = LauncherSpec("mine", "s", f"{name}:Launcher", config=Mine)
    registry.reports["page"] = ReportSpec("page", "s", f"{name}:report", config=Mine)
    changed = {"launchers": {"mine": {"depth": 2}}, "reports": {"page": {"depth": 3}}}
    wanted = make_suite({**suite.model_dump(mode="json"), **changed, "workers": 4})
    done = execute(wanted, registry=registry, out=tmp_path / "run", launcher="mine")
    assert done.problems == ()
    assert seen == [
        ("launcher", Mine(depth=2), 4),
        ("report", Mine(depth=3), {"page": {"depth": 3}}),
    ]
    seen.clear()
    # Rendered again later, with the options of the run.
    render_reports(read_run(tmp_path / "run"), registry, ["page"])
    assert seen == [("report", Mine(depth=3), {"page": {"depth": 3}})]


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


@pytest.mark.parametrize("leave", [True, False])
def test_trials_that_can_go_on_without_the_run_may_be_left(
    leave: bool,
    suite: Suite,
    tmp_path: Path,
    fake: tuple[Registry, type[_Fake]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    left: list[int] = []

    class Lasting(_Fake):
        def submit(self, task: Task) -> None:
            keys.append(task.key)
            super().submit(task)

        def leave(self) -> None:
            left.append(len(self.tasks))

        def queue(self, folders: Mapping[str, Path]) -> Mapping[str, str]:
            return dict.fromkeys(folders, "running as job 7")

    class Asked(runner.Silent):
        def leave(self, run: Path, count: int) -> bool:
            assert count == 2
            return leave

    registry, run = fake[0], tmp_path / "run"
    module = SimpleNamespace(Lasting=Lasting)
    monkeypatch.setitem(sys.modules, "test_lasting", module)  # type: ignore[arg-type]
    registry.launchers["lasting"] = LauncherSpec("lasting", "s", "test_lasting:Lasting")
    options: dict[str, Any] = {"registry": registry, "out": run, "launcher": "lasting"}
    fake[1].statuses = {"identity": "ctrl-c"}
    with pytest.raises(KeyboardInterrupt):
        execute(suite, listener=Asked(), **options)
    assert left == [2] * leave
    states = trial_states(run, registry)
    assert {one.state for one in states} == {"running as job 7" if leave else "interrupted"}
    assert all(one.ended for one in states) is not leave
    fake[1].statuses = {}
    assert execute(suite, resume=True, **options).failures == 0
    # Known again by their keys.
    assert keys[:2] == keys[2:] and len(set(keys)) == 2
    assert {one.state for one in trial_states(run, registry)} == {"ok"}


# ------------------------------------------------------------------------ launcher


def _jobs(suite: Suite, tmp_path: Path) -> list[Job]:
    return list(make_plan(suite, load_plugins(), tmp_path / "cache").jobs)


def _launch(
    jobs: Sequence[Job], run: Path, code: str, **options: Any
) -> tuple[list[Event], list[tuple[str, str]]]:
    """Run jobs by the local launcher, whose worker processes run `code` instead."""
    timeout, workers = options.pop("timeout", None), options.pop("workers", 1)
    events: list[Event] = []
    rows: list[tuple[str, str]] = []

    def task(job: Job) -> Task:
        return Task(
            job.trial,
            job.label,
            run / "trials" / job.trial,
            (sys.executable, "-c", code, str(run), job.trial),
            timeout=timeout,
        )

    trials = Dispatch(
        LocalLauncher(LocalConfig(grace=options.pop("grace", 0.5)), workers),
        task,
        on_event=lambda trial, event, when: events.append(event),
        on_result=lambda job, result: rows.append((result.status, result.reason)),
    )
    try:
        trials.run(jobs, workers=workers, **options)
    except KeyboardInterrupt:
        rows.append(("raised", "KeyboardInterrupt"))
    return events, rows


WRITES = """
import json, os, sys
from pathlib import Path
run, trial = sys.argv[1:]
with Path(run, "trials", trial, "events.jsonl").open("a") as file:
    for n in range(500):
        print(json.dumps({"kind": "log", "message": str(n)}), file=file)
    print("no json", "[1]", '{"unknown": 1}', '{"kind"', "", sep="\\n", file=file)
print("to the log")
Path(run, "trials", trial, "result.json").write_text('{"status": "ok"}')
"""


def test_every_event_arrives_even_the_last(suite: Suite, tmp_path: Path) -> None:
    jobs = _jobs(suite, tmp_path)
    for job in jobs:  # what an earlier attempt told is not told again
        folder = tmp_path / "run" / "trials" / job.trial
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text('{"kind": "log", "message": "-1"}\n', "utf-8")
    events, rows = _launch(jobs, tmp_path / "run", WRITES, workers=2)
    assert rows == [("ok", ""), ("ok", "")]
    assert all(
        (folder / "log.txt").read_text() == "to the log\n"
        for folder in (tmp_path / "run" / "trials").iterdir()
    )
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
            "SIGSEGV: see its log.txt",
        ),
        ("raise SystemExit(7)", "failed", "exit code 7"),
        ("pass", "failed", "exit code 0"),
    ],
)
def test_a_worker_that_wrote_nothing(
    suite: Suite, tmp_path: Path,
    code: str, status: str, reason: str,
) -> None:  # fmt: skip
    jobs = _jobs(suite, tmp_path)[:1]
    old = tmp_path / "run" / "trials" / jobs[0].trial / "result.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"status": "ok", "reason": "of an earlier attempt"}', "utf-8")
    _, rows = _launch(jobs, tmp_path / "run", code)
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


def _pids(run: Path) -> list[int]:
    return [int(pid) for pid in (run / "pids").read_text("utf-8").split()]


def _await(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline, "something is still alive"
        time.sleep(0.05)


def test_a_timeout_kills_the_whole_group(suite: Suite, tmp_path: Path) -> None:
    begun = time.monotonic()
    _, rows = _launch(_jobs(suite, tmp_path)[:1], tmp_path / "run", STUBBORN, timeout=1.5)
    assert rows == [("timeout", "stopped after 1.5 s (--timeout)")]
    assert time.monotonic() - begun < 15
    _await(lambda: all(map(_gone, _pids(tmp_path / "run"))))


def test_fail_fast_skips_the_rest(suite: Suite, tmp_path: Path) -> None:
    _, rows = _launch(
        _jobs(suite, tmp_path), tmp_path / "run", "raise SystemExit(1)", fail_fast=True
    )
    assert [status for status, _ in rows] == ["failed", "skipped"]


def _interrupt_after(monkeypatch: pytest.MonkeyPatch, naps: int) -> None:
    """Raise Ctrl-C in the loop that follows trials."""
    begun: list[float] = []
    pause = time.sleep

    def interrupt(seconds: float) -> None:
        begun.append(seconds)
        if len(begun) == naps:
            raise KeyboardInterrupt
        pause(seconds)

    monkeypatch.setattr("bench.execution.dispatch.time.sleep", interrupt)


@pytest.mark.parametrize("fail_fast", [False, True])
def test_an_interrupt_ends_every_trial_in_one_row(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_fast: bool
) -> None:
    _interrupt_after(monkeypatch, 10)
    code = "import time; time.sleep(60)"
    jobs = _jobs(suite, tmp_path)
    _, rows = _launch(jobs, tmp_path / "run", code, fail_fast=fail_fast)
    assert rows == [
        ("interrupted", "interrupted"),
        ("interrupted", "not begun when the run was interrupted"),
        ("raised", "KeyboardInterrupt"),
    ]


def test_a_second_interrupt_waits_for_nobody(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupt_after(monkeypatch, 20)
    wait, waited = child.Child.wait, []

    def impatient(self: child.Child) -> Any:
        waited.append(self)
        if len(waited) == 1:
            raise KeyboardInterrupt
        return wait(self)

    monkeypatch.setattr(child.Child, "wait", impatient)
    begun = time.monotonic()
    jobs = _jobs(suite, tmp_path)[:1]
    _, rows = _launch(jobs, tmp_path / "run", STUBBORN, grace=60)
    assert rows[0] == ("interrupted", "interrupted") and time.monotonic() - begun < 30


def test_whatever_goes_wrong_no_worker_is_left(suite: Suite, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def full(job: Job, result: TrialResult) -> None:
        raise OSError(28, "No space left on device")

    def task(job: Job) -> Task:
        code = STUBBORN if job.label == "noise" else "pass"
        command = (sys.executable, "-c", code, str(run), job.trial)
        return Task(job.trial, job.label, run / "trials" / job.trial, command)

    launcher = LocalLauncher(LocalConfig(grace=0.1), 2)
    trials = Dispatch(launcher, task, on_event=lambda *_: None, on_result=full)
    jobs = sorted(_jobs(suite, tmp_path), key=lambda job: job.label != "noise")
    with pytest.raises(OSError, match="No space"):
        trials.run(jobs, workers=2)
    _await(lambda: not (run / "pids").exists() or all(map(_gone, _pids(run))))


def test_a_worker_does_not_outlive_its_launcher(tmp_path: Path) -> None:
    """Even one whose launcher died while it was still starting."""
    code = (
        "import time\n"
        "from bench.execution.worker import _end_with\n"
        "_end_with(999999)\n"
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
    monkeypatch.setattr(child, "_STAT", stat)

    class Pause:
        def wait(self, seconds: float) -> None:
            stat.write_text(f"cpu  {after}\n", "ascii")

    monkeypatch.setattr(child.threading, "Event", Pause)
    assert child._others_work() is busy


def test_a_machine_that_tells_nothing_counts_as_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_STAT", tmp_path / "missing")
    assert not child._others_work(0)


def test_the_users_files_are_not_taken_for_modules(tmp_path: Path) -> None:
    assert "-P" in command_line(tmp_path, "trial")
    # What -P is for: a file of the user's that is called like a module of Python's.
    (tmp_path / "queue.py").write_text("raise SystemExit('taken for a module')", "utf-8")
    (tmp_path / "torch.py").write_text("raise SystemExit('taken for a module')", "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench.execution.worker", "nowhere", "nothing"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(runner.__file__).parents[2])},
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


def test_a_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert tail.rows() == []
    path.write_bytes(b'{"n": 1}\n{"n"')
    assert tail.rows() == [{"n": 1}]
    with path.open("ab") as file:
        file.write(b": 2}\n\xff\n[3]\n\n")
    assert tail.rows() == [{"n": 2}] and tail.rows() == []
    later = Tail(path)
    with path.open("ab") as file:
        file.write(b'{"n": 4}\n')
    assert later.rows() == tail.rows() == [{"n": 4}]


@pytest.mark.parametrize(
    ("ended", "timeout", "stage", "expected"),
    [
        (("interrupted", ""), None, "fit", ("interrupted", "interrupted")),
        (("interrupted", "cancelled"), None, "", ("interrupted", "cancelled")),
        (("timeout", ""), 20.0, "", ("timeout", "stopped after 20 s (--timeout)")),
        (("timeout", ""), 20.0, "fit", ("timeout", "stopped after 20 s (--timeout) during fit")),
        (("failed", "the node was lost"), None, "fit", ("failed", "the node was lost")),
        ((None, ""), None, "", ("failed", "the worker ended without a result: see its log.txt")),
        ((None, "it broke"), None, "score", ("failed", "it broke during score: see its log.txt")),
    ],
)
def test_what_a_launcher_says_of_an_end(
    tmp_path: Path,
    ended: tuple[Status | None, str],
    timeout: float | None,
    stage: str,
    expected: tuple[str, str],
) -> None:
    task = Task("t", "label", tmp_path, ("true",), timeout=timeout)
    found = dispatch._result(task, Ended("t", *ended), stage)
    assert (found.status, found.reason) == expected
    (tmp_path / "result.json").write_text('{"status": "oom", "reason": "of its own"}', "utf-8")
    found = dispatch._result(task, Ended("t", *ended), stage)
    assert (found.status, found.reason) == (expected if ended[0] else ("oom", "of its own"))
    (tmp_path / "result.json").write_text('{"status": "oo', "utf-8")
    if ended[0] is None:
        found = dispatch._result(task, Ended("t"))
        assert found.status == "failed" and "result.json is damaged" in found.reason


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
    assert expected_seconds(job, 10, cache) is None
    row = {
        "cached": "",
        "iterations": 50,
        "fit_seconds": 5.0,
        "translate_seconds": 4.0,
        "score_seconds": 1.0,
        "time_seconds": 2.0,
    }
    remember_pace(job, row, 10, cache)
    # 100 iterations at 0.1 s, 40 outputs at 0.2 s and 0.05 s, 2 s of timing.
    assert expected_seconds(job, 20, cache) == pytest.approx(10 + 8 + 2 + 2)
    # What came from the cache says nothing about the pace.
    remember_pace(
        job, {**row, "cached": "fit+translate+score+time", "fit_seconds": 99.0}, 10, cache
    )
    assert expected_seconds(job, 20, cache) == pytest.approx(22)
    (file,) = (cache / "paces").iterdir()
    # A pace that 0.1 kept is a number by itself.
    file.write_text('{"iteration": 1, "output": 1, "score": 1, "time": [1], "rest": 7}', "utf-8")
    assert expected_seconds(job, 20, cache) == pytest.approx(100 + 40 + 40 + 1)
    file.write_text("{", "utf-8")
    assert expected_seconds(job, 20, cache) is None


def test_tables_are_not_written_after_each_of_many_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = toys.make_folder(tmp_path / "data", count=1)
    data = {"name": "image_folder", "root": str(root)}
    suite = make_suite(
        {"methods": ["noise"], "dataset": data, "size": 32, "seeds": list(range(100))}
    )
    plan = make_plan(suite, load_plugins(), tmp_path / "cache")
    clock, written = [0.0], []
    (tmp_path / "run").mkdir()
    recorder = runner._Recorder(tmp_path / "run", plan, runner.Silent())

    def write_tables() -> None:
        written.append(len(recorder.results))
        clock[0] += 0.5

    monkeypatch.setattr(recorder, "write_tables", write_tables)
    fake = SimpleNamespace(monotonic=lambda: clock[0], time=time.time)
    monkeypatch.setattr(runner, "time", fake)
    for job in plan.jobs:
        recorder.result(job, TrialResult("failed", "no"))
        clock[0] += 1.0
    recorder.log.close()
    # The first at once, then after twenty times the half second that it took.
    assert written == list(range(1, 101, 10))
