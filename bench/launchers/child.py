"""A worker as a child process: what every launcher does where a worker runs in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench.api import PARENT, Status, Task

LOG = "log.txt"
_SLICE_SECONDS = 0.05

# How long threads spin at a barrier before they sleep. Waking one takes longer than most small
# layers: on two idle cores a step of a small CycleGAN takes twice as long with the few spins. But
# beside another busy process they spin on cores that it needs, and many spins double or
# quadruple the step.
_SPINS_ALONE = "300000"
_SPINS_SHARING = "1000"

_STAT = Path("/proc/stat")


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


class Child:
    """A worker in a process group of its own; it ends with the process that made it.

    Parameters
    ----------
    task
        What it does; its timeout counts from now.
    threads
        Of its computations, where neither the environment nor the task says another number.
    grace
        Seconds between the polite signal, on which it keeps a checkpoint, and the other.
    """

    def __init__(self, task: Task, threads: int, grace: float) -> None:
        self.task, self.grace = task, grace
        self.verdict: tuple[Status, str] | None = None
        self._begun = time.monotonic()
        self._kill_at = float("inf")
        environment: Mapping[str, str] = {
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
        with (task.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                task.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # A group of its own: Ctrl-C reaches us alone, and a kill reaches all of it.
                start_new_session=True,
            )

    def ended(self) -> tuple[Status | None, str] | None:
        """Return status and reason of its end as in :class:`bench.api.Ended`; None: it runs.

        What has run too long is stopped, and what was stopped and does not listen is killed.
        """
        code = self.process.poll()
        if code is None:
            now, timeout = time.monotonic(), self.task.timeout
            if timeout is not None and now - self._begun > timeout:
                self.stop("timeout", "")
            if now > self._kill_at:
                self.kill()
            return None
        self.kill()  # children that a plugin left behind
        return self.verdict or (None, _describe(code))

    def stop(self, status: Status, reason: str) -> None:
        """Ask it and all that it started to end as `status`; returns at once."""
        if self.verdict is None:
            self.verdict = (status, reason)
            self._kill_at = time.monotonic() + self.grace
            self._end_group(politely=True)

    def kill(self) -> None:
        """End it and all that it started."""
        self._end_group(politely=False)

    def wait(self, interrupt: threading.Event | None = None) -> tuple[Status | None, str]:
        """Wait for its end, awake for signals; gives what :meth:`ended` does.

        Once `interrupt` is set it is stopped as interrupted.
        """
        while (end := self.ended()) is None:
            if interrupt is not None and interrupt.is_set():
                self.stop("interrupted", "")
            time.sleep(_SLICE_SECONDS)
        return end

    def _end_group(self, *, politely: bool) -> None:
        """Signal the whole group; where there are no groups, the worker alone."""
        with suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                number = signal.SIGTERM if politely else signal.SIGKILL
                os.killpg(self.process.pid, number)
            elif politely:
                self.process.terminate()
            else:
                self.process.kill()


def _describe(code: int) -> str:
    """Why a worker that wrote no result must have ended."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (was memory short?)" if name == "SIGKILL" else ""
        return f"the worker was killed by {name}{hint}"
    return f"the worker ended with exit code {code}"
