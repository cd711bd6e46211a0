"""Trials in worker processes on this machine."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import Event
from bench.data.job import Job
from bench.execution.worker import JOB, PARENT, RESULT
from bench.storage.files import write_atomic

OnEvent = Callable[[str, Event], None]
OnResult = Callable[[Job, dict[str, Any]], None]

GRACE_SECONDS = 5.0
"""Between the polite signal and the one that cannot be ignored."""


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


@dataclass
class _Worker:
    """One running process and what is known of it."""

    job: Job
    process: subprocess.Popen[str]
    begun: float
    reader: threading.Thread
    lines: queue.SimpleQueue[str | None]
    verdict: tuple[str, str] | None = None
    kill_at: float | None = None

    def signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def stop(self, status: str, reason: str) -> None:
        """Ask the whole process group to end; it is killed when it does not."""
        if self.verdict is None:
            self.verdict = (status, reason)
            self.kill_at = time.monotonic() + GRACE_SECONDS
            self.signal_group(signal.SIGTERM)


class LocalLauncher:
    """Runs jobs in processes of their own, a few at a time.

    Parameters
    ----------
    workers
        How many trials run at once; the cores are shared out between them.
    timeout
        Seconds after which a trial's process group is killed; None: never.
    """

    def __init__(self, workers: int = 1, timeout: float | None = None) -> None:
        self.workers = workers
        self.timeout = timeout

    def launch(
        self,
        jobs: Sequence[Job],
        run: Path,
        *,
        on_event: OnEvent,
        on_result: OnResult,
        fail_fast: bool = False,
    ) -> None:
        """Run all jobs; every one of them ends in exactly one `on_result`.

        A ``KeyboardInterrupt`` ends the running trials as ``interrupted``, reports the
        waiting ones likewise, and is raised again.
        """
        waiting = list(jobs)
        running: list[_Worker] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    running.append(self._start(waiting.pop(0), run))
                time.sleep(0.05)
                for worker in list(running):
                    self._drain(worker, on_event)
                    if self._ended(worker):
                        running.remove(worker)
                        result = self._result(worker, run)
                        self._drain(worker, on_event)
                        on_result(worker.job, result)
                        if fail_fast and result["trial"]["status"] != "ok":
                            reason = f"not run: {worker.job.label} failed (--fail-fast)"
                            for job in waiting:
                                on_result(job, _row("skipped", reason))
                            waiting.clear()
        except KeyboardInterrupt:
            for worker in running:
                worker.stop("interrupted", "interrupted")
            self._wait_for_end(running)
            for worker in running:
                on_result(worker.job, self._result(worker, run))
            for job in waiting:
                on_result(job, _row("interrupted", "not begun when the run was interrupted"))
            raise
        finally:
            for worker in running:
                worker.signal_group(signal.SIGKILL)

    def _start(self, job: Job, run: Path) -> _Worker:
        folder = run / "trials" / job.trial
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
        write_atomic(folder / JOB, job.to_json())
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "GOMP_SPINCOUNT": _SPINS_SHARING if _others_work() else _SPINS_ALONE,
            # Freed memory is kept for the next tensor: fetching large ones from the system
            # anew each time costs a large convolution half of its speed.
            "MALLOC_MMAP_THRESHOLD_": str(2**30),
            "MALLOC_TRIM_THRESHOLD_": str(2**30),
            **os.environ,
            PARENT: str(os.getpid()),
        }
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                # -P: a file of the user's called like a module must not be taken for it.
                [sys.executable, "-P", "-m", "bench.execution.worker", str(run), job.trial],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=environment,
                # A group of its own: Ctrl-C reaches us alone, and a kill reaches all of it.
                start_new_session=True,
            )
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read_lines, args=(process, lines), daemon=True)
        reader.start()
        return _Worker(job, process, time.monotonic(), reader, lines)

    def _drain(self, worker: _Worker, on_event: OnEvent) -> None:
        with suppress(queue.Empty):
            while (line := worker.lines.get_nowait()) is not None:
                with suppress(ValueError, TypeError):
                    on_event(worker.job.trial, Event(**json.loads(line)))

    def _ended(self, worker: _Worker) -> bool:
        if worker.process.poll() is not None:
            return True
        now = time.monotonic()
        if self.timeout is not None and now - worker.begun > self.timeout:
            worker.stop("timeout", f"stopped after {self.timeout:g} s (--timeout)")
        if worker.kill_at is not None and now > worker.kill_at:
            worker.signal_group(signal.SIGKILL)
        return False

    def _wait_for_end(self, running: Sequence[_Worker]) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in running:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                worker.signal_group(signal.SIGKILL)
                worker.process.wait()

    def _result(self, worker: _Worker, run: Path) -> dict[str, Any]:
        """What the worker wrote, or what its end says where it wrote nothing."""
        worker.signal_group(signal.SIGKILL)  # children a plugin left behind
        worker.reader.join(1.0)  # the last lines may still be on their way
        if worker.verdict is not None:
            return _row(*worker.verdict)
        file = run / "trials" / worker.job.trial / RESULT
        with suppress(OSError, ValueError):
            result: dict[str, Any] = json.loads(file.read_text("utf-8"))
            return result
        code = worker.process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (was memory short?)" if code == -signal.SIGKILL else ""
            return _row("failed", f"the worker was killed by {name}{hint}: see its log.txt")
        return _row("failed", f"the worker ended with exit code {code}: see its log.txt")


def _row(status: str, reason: str) -> dict[str, Any]:
    return {"trial": {"status": status, "reason": reason}}


def _read_lines(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
