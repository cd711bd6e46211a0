"""Trials in worker processes on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from bench.api import Config, Ended, Task
from bench.launchers.child import Child


class LocalConfig(Config):
    """Options of the local launcher.

    Parameters
    ----------
    grace
        Seconds between the polite signal that ends a worker and the one that it cannot ignore.
    threads
        Threads of each worker; None: the cores are shared out between those that run at once.
    """

    grace: Annotated[float, Field(ge=0)] = 5.0
    threads: Annotated[int, Field(ge=1)] | None = None


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
        while self._waiting and len(self._running) < self.workers:
            task = self._waiting.pop(0)
            if self.config.threads is not None:
                environment = {**task.environment, "OMP_NUM_THREADS": str(threads)}
                task = replace(task, environment=environment)
            self._running.append(Child(task, threads, self.config.grace))
