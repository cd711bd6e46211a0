"""What a launcher promises: every task begins, ends and is told of, or is ended when asked."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.api import Ended, Launcher, LauncherSpec, Task
from bench.testing.promises import build, calling, load, must, promise

_AT_ONCE = 5.0
"""Seconds that a call which returns at once may take on a busy machine."""

_WRITES = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(os.environ['KIT'])"
_FAILS = "raise SystemExit(3)"
_SLEEPS = (
    "import os, sys, time, pathlib; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()));"
    " time.sleep(600)"
)


def check_launcher(
    spec: LauncherSpec,
    work: Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    patience: float = 60.0,
) -> None:
    """Check that a launcher keeps the contract of :class:`bench.api.Launcher`, with small tasks.

    Checked: submitting and polling return at once; each task runs with its environment, and is
    told of once, whether it succeeds or fails; cancelling ends what runs and what waits.

    Parameters
    ----------
    spec
        The declaration.
    work
        An empty folder that its workers can reach; None: a temporary one.
    config
        Changes to the configuration's defaults.
    patience
        Seconds within which small tasks must have ended.

    Raises
    ------
    AssertionError
        One line: the launcher, the promise it breaks, and how to mend it.
    """
    if work is None:
        with tempfile.TemporaryDirectory() as folder:
            check_launcher(spec, Path(folder), config=config, patience=patience)
        return
    name, settings = spec.name, build(spec, config or {})
    with promise("it has what a launcher has", basis=True):
        with calling(name, "building it"):
            launcher = load(spec)(settings, 1)
        must(
            isinstance(launcher, Launcher),
            name,
            "the class lacks a method of bench.api.Launcher",
            "write submit, poll and cancel",
        )
    with promise("tasks run with their environment, and each is told of once"):
        _check_ends(name, launcher, work, patience)
    with promise("cancelling ends what runs and what waits"):
        with calling(name, "building it"):
            second = load(spec)(settings, 1)
        _check_cancel(name, second, work, patience)


def _task(work: Path, trial: str, code: str) -> Task:
    folder = work / trial
    folder.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-c", code, str(folder / "seen"))
    return Task(trial, trial, folder, command, {"KIT": trial})


def _at_once(name: str, what: str, call: Callable[[], Any]) -> Any:
    began = time.monotonic()
    with calling(name, what):
        given = call()
    must(
        time.monotonic() - began < _AT_ONCE,
        name,
        f"{what} waits",
        "start a process and return; poll asks it later",
    )
    return given


def _poll(name: str, launcher: Launcher, patience: float, done: Callable[[], bool]) -> list[Ended]:
    """Poll until `done`, or until nobody can wait any longer."""
    told: list[Ended] = []
    until = time.monotonic() + patience
    while not done() and time.monotonic() < until:
        told += _at_once(name, "poll", launcher.poll)
        if len(told) >= 3:
            break
        time.sleep(0.05)
    return told


def _check_ends(name: str, launcher: Launcher, work: Path, patience: float) -> None:
    for trial, code in (("first", _WRITES), ("fails", _FAILS), ("last", _WRITES)):
        _at_once(name, "submit", partial(launcher.submit, _task(work, trial, code)))
    told = _poll(name, launcher, patience, lambda: False)
    told += _at_once(name, "poll", launcher.poll)
    must(
        sorted(ended.trial for ended in told) == ["fails", "first", "last"],
        name,
        f"of first, fails and last it tells {_names(told)} as ended",
        "give Ended(task.trial) from poll once for each task that will not run any more, whatever "
        "its exit code",
    )
    for trial in ("first", "last"):
        seen = work / trial / "seen"
        must(
            seen.is_file() and seen.read_text("utf-8") == trial,
            name,
            f"the command of {trial} did not run with its environment",
            "run task.command with task.environment beside its own variables",
        )


def _check_cancel(name: str, launcher: Launcher, work: Path, patience: float) -> None:
    for trial in ("runs", "waits"):
        launcher.submit(_task(work, trial, _SLEEPS))
    seen = work / "runs" / "seen"
    told = _poll(name, launcher, patience, lambda: seen.is_file() and bool(seen.read_text("utf-8")))
    must(seen.is_file(), name, "a task does not begin", "start one in submit or in poll")
    with calling(name, "cancel"):
        told += launcher.cancel()
    must(
        sorted((ended.trial, ended.status) for ended in told)
        == [("runs", "interrupted"), ("waits", "interrupted")],
        name,
        f"cancel of one that runs and one that waits tells {_names(told)}",
        'give Ended(trial, "interrupted") for both',
    )
    for trial in ("runs", "waits"):
        file = work / trial / "seen"
        must(
            not (file.is_file() and _lives(int(file.read_text("utf-8") or 0))),
            name,
            f"after cancel {trial} still runs",
            "terminate its process and wait for it",
        )


def _names(told: Sequence[Ended]) -> str:
    return ", ".join(f"{ended.trial} ({ended.status})" for ended in told) or "none"


def _lives(process: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return process > 0
