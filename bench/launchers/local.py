"""Trials in worker processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bench.api import PARENT, Config, Ended, Status, Task

# How long threads spin at a barrier before they sleep. Waking one takes longer than most small
# layers: on two idle cores a step of a small CycleGAN takes twice as long with the few spins. But
# beside another busy process they spin on cores that it needs, and many spins double or
# quadruple the step.
_SPINS_ALONE = "300000"
_SPINS_SHARING = "1000"

_STAT = Path("/proc/stat")


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


def _ticks() -> tuple[int, int]:
    """Processor time so far, over all cores: at work, and in all. Zeros where unknown."""
    try:
        with _STAT.open(encoding="ascii") as file:
            ticks = [int(value) for value in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return sum(ticks) - sum(ticks[3:5]), sum(ticks)  # all but idle and waiting for a disk


def _others_work(seconds: float = 0.1) -> bool:
    """Whether a quarter of the machine or more is at work while this process waits."""
    worked, whole = _ticks()
    threading.Event().wait(seconds)
    worked_after, whole_after = _ticks()
    return worked_after - worked > 0.25 * max(1, whole_after - whole)


@dataclass
class _Worker:
    """One running process and what is known of it."""

    task: Task
    process: subprocess.Popen[bytes]
    begun: float
    verdict: tuple[Status, str] | None = None
    kill_at: float | None = None

    def end_group(self, *, politely: bool) -> None:
        """Signal the worker and all that it started; where there are no groups, it alone."""
        with suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                number = signal.SIGTERM if politely else signal.SIGKILL
                os.killpg(self.process.pid, number)
            elif politely:
                self.process.terminate()
            else:
                self.process.kill()

    def stop(self, status: Status, reason: str, grace: float) -> None:
        """Ask the whole process group to end; it is killed when it does not."""
        if self.verdict is None:
            self.verdict = (status, reason)
            self.kill_at = time.monotonic() + grace
            self.end_group(politely=True)


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
        self._running: list[_Worker] = []

    def submit(self, task: Task) -> None:
        """Start a task, or queue it until a running one has ended."""
        self._waiting.append(task)
        self._fill()

    def poll(self) -> Sequence[Ended]:
        """Return what has ended, stop what has run too long, and start what waits."""
        ended = []
        for worker in list(self._running):
            if self._has_ended(worker):
                self._running.remove(worker)
                ended.append(_ended(worker))
        self._fill()
        return ended

    def cancel(self) -> Sequence[Ended]:
        """End all workers, politely at first."""
        for worker in self._running:
            worker.stop("interrupted", "interrupted", self.config.grace)
        for worker in self._running:
            try:
                assert worker.kill_at is not None
                worker.process.wait(max(0.0, worker.kill_at - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                worker.end_group(politely=False)
                worker.process.wait()
        ended = [_ended(worker) for worker in self._running]
        ended += [
            Ended(task.trial, "interrupted", "not begun when the run was interrupted")
            for task in self._waiting
        ]
        self._running.clear()
        self._waiting.clear()
        return ended

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.workers:
            self._running.append(self._start(self._waiting.pop(0)))

    def _start(self, task: Task) -> _Worker:
        threads = self.config.threads or max(1, (os.cpu_count() or 1) // self.workers)
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "GOMP_SPINCOUNT": _SPINS_SHARING if _others_work() else _SPINS_ALONE,
            # Freed memory is kept for the next tensor: fetching large ones from the system
            # anew each time costs a large convolution half of its speed.
            "MALLOC_MMAP_THRESHOLD_": str(2**30),
            "MALLOC_TRIM_THRESHOLD_": str(2**30),
            **os.environ,
            **task.environment,
            PARENT: str(os.getpid()),
        }
        if self.config.threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with (task.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                task.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # A group of its own: Ctrl-C reaches us alone, and a kill reaches all of it.
                start_new_session=True,
            )
        return _Worker(task, process, time.monotonic())

    def _has_ended(self, worker: _Worker) -> bool:
        if worker.process.poll() is not None:
            return True
        now, timeout = time.monotonic(), worker.task.timeout
        if timeout is not None and now - worker.begun > timeout:
            worker.stop("timeout", "", self.config.grace)
        if worker.kill_at is not None and now > worker.kill_at:
            worker.end_group(politely=False)
        return False


def _ended(worker: _Worker) -> Ended:
    """How a worker ended; children that a plugin left behind end with it."""
    worker.end_group(politely=False)
    if worker.verdict is not None:
        return Ended(worker.task.trial, *worker.verdict)
    code = worker.process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (was memory short?)" if name == "SIGKILL" else ""
        return Ended(worker.task.trial, None, f"the worker was killed by {name}{hint}")
    return Ended(worker.task.trial, None, f"the worker ended with exit code {code}")
