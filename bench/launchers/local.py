"""Trials in worker processes on this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from bench.api import Config, Ended, Task
from bench.launchers.child import Child

_VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalConfig(Config):
    """Options of the local launcher.

    Parameters
    ----------
    grace
        Seconds between the polite signal that ends a worker and the one that it cannot ignore.
    threads
        Threads of each worker; None: the cores are shared out between those that run at once.
    gpus
        Those that trials may have, one each, as ``CUDA_VISIBLE_DEVICES`` names them; None: all that
        this variable, or else the driver, names, slices of a GPU each for itself.
    """

    grace: Annotated[float, Field(ge=0)] = 5.0
    threads: Annotated[int, Field(ge=1)] | None = None
    gpus: tuple[str, ...] | None = None


class LocalLauncher:
    """Runs tasks in processes of their own, a few at a time.

    Parameters
    ----------
    config
        See :class:`LocalConfig`.
    workers
        How many tasks run at once.
    """

    def __init__(self, config: LocalConfig, workers: int) -> None:
        self.config = config
        self.workers = workers
        self._waiting: list[Task] = []
        self._running: list[Child] = []
        self._gpus: list[str] | None = None if config.gpus is None else list(config.gpus)
        self._has: dict[str, str] = {}

    def submit(self, task: Task) -> None:
        """Start a task, or queue it until a running one has ended."""
        self._waiting.append(task)
        self._fill()

    def poll(self) -> Sequence[Ended]:
        """Return what has ended, stop what has run too long, and start what waits."""
        ended = []
        for child in list(self._running):
            if (end := child.ended()) is not None:
                self._running.remove(child)
                self._has.pop(child.task.trial, None)
                ended.append(Ended(child.task.trial, *end))
        self._fill()
        return ended

    def cancel(self) -> Sequence[Ended]:
        """End all workers, politely at first."""
        ended = []
        for child in self._running:
            child.stop("interrupted", "interrupted")
        while self._running:
            try:
                child = self._running[0]
                end = child.wait()
            except KeyboardInterrupt:
                for child in self._running:
                    child.kill()
            else:
                self._running.remove(child)
                ended.append(Ended(child.task.trial, *end))
        ended += [
            Ended(task.trial, "interrupted", "not begun when the run was interrupted")
            for task in self._waiting
        ]
        self._waiting.clear()
        return ended

    def _fill(self) -> None:
        threads = self.config.threads or max(1, (os.cpu_count() or 1) // self.workers)
        while len(self._running) < self.workers and (task := self._next()) is not None:
            if self.config.threads is not None:
                environment = {**task.environment, "OMP_NUM_THREADS": str(threads)}
                task = replace(task, environment=environment)
            self._running.append(Child(task, threads, self.config.grace))

    def _next(self) -> Task | None:
        """The first task that waits for nothing, with a GPU of its own where it needs one."""
        for task in self._waiting:
            if task.resources.gpus:
                if self._gpus is None:
                    self._gpus = _gpus()
                free = [gpu for gpu in self._gpus if gpu not in self._has.values()]
                if self._gpus and not free:
                    continue
                if free:
                    self._has[task.trial] = free[0]
            self._waiting.remove(task)
            if (gpu := self._has.get(task.trial)) is None:
                return task
            return replace(task, environment={**task.environment, _VISIBLE: gpu})
        return None


def _gpus() -> list[str]:
    """The GPUs of this machine, or those of them that the environment leaves."""
    if (named := os.environ.get(_VISIBLE)) is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found: list[str] = []
    for line in listed.splitlines():
        if (name := re.search(r"UUID: ((?:GPU|MIG)-[^)]+)", line)) is None:
            continue
        if name[1].startswith("MIG") and found and found[-1].startswith("GPU"):
            found.pop()  # a GPU that is cut up is its slices
        found.append(name[1])
    return found
