"""Tasks of seconds for tests of launchers, and waiting for their ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.api import Ended, Launcher, Task

WORKER = Path(__file__).with_name("tiny_worker.py")


def task(run: Path, name: str, steps: int, **options: Any) -> Task:
    """A worker that counts, ten steps a second; it goes on where it was."""
    folder = run / "trials" / name
    folder.mkdir(parents=True, exist_ok=True)
    return Task(
        name, name, folder, (sys.executable, str(WORKER), str(folder), str(steps)), **options
    )


def wait_until(happened: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def counted(task: Task) -> int:
    """How far the worker of a task has come."""
    try:
        return int((task.folder / "state").read_text())
    except FileNotFoundError:
        return 0


def until(launcher: Launcher, count: int, seconds: float = 90) -> dict[str, Ended]:
    """Poll until so many tasks have ended."""
    ended: dict[str, Ended] = {}

    def poll() -> bool:
        ended.update({one.trial: one for one in launcher.poll()})
        return len(ended) == count

    wait_until(poll, seconds)
    return ended


def result(task: Task) -> dict[str, Any]:
    return dict(json.loads((task.folder / "result.json").read_text()))


def starts(task: Task) -> list[int]:
    """From which step each start of a worker went on."""
    return [int(line) for line in (task.folder / "starts").read_text().split()]
