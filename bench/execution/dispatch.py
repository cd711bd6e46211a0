"""Trials on their way: handed to a launcher, followed in their files, each ended in one result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.api import BenchError, Ended, Event, LastingLauncher, Launcher, Task, TrialResult
from bench.execution.worker import EVENTS, JOB, LOG, RESULT
from bench.storage.files import objects_of, write_atomic
from bench.storage.jobs import Job
from bench.storage.tables import read_result

POLL_SECONDS = 0.05

OnEvent = Callable[[str, Event, float], None]
"""Takes a trial's id, what happened, and when (seconds since 1970)."""
OnResult = Callable[[Job, TrialResult], None]

_PARTS = {part.name for part in fields(Event)}


class Tail:
    """The lines that are appended to a file from now on; it need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self.rest = b""
        with suppress(OSError):
            self.at = path.stat().st_size

    def rows(self) -> list[Mapping[str, Any]]:
        """Return the JSON objects of the lines that have become whole since the last call."""
        try:
            if self.path.stat().st_size == self.at:
                return []
            with self.path.open("rb") as file:
                file.seek(self.at)
                new = file.read()
        except OSError:
            return []
        self.at += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        return objects_of(lines)


@dataclass
class _UnderWay:
    job: Job
    task: Task
    tail: Tail
    stage: str = ""


class Dispatch:
    """Runs jobs with a launcher; every one of them ends in exactly one `on_result`.

    Parameters
    ----------
    launcher
        What runs them.
    make_task
        Gives the task of a job.
    on_event, on_result
        Take what happens in a trial, and how it ended.
    leave
        Asked with their number, when the run is interrupted and the launcher's trials can go on
        without it, whether they shall.
    """

    def __init__(
        self,
        launcher: Launcher,
        make_task: Callable[[Job], Task],
        *,
        on_event: OnEvent,
        on_result: OnResult,
        leave: Callable[[int], bool] = lambda count: False,
    ) -> None:
        self.launcher = launcher
        self.make_task = make_task
        self.on_event = on_event
        self.on_result = on_result
        self.leave = leave
        self.under_way: dict[str, _UnderWay] = {}

    def run(self, jobs: Sequence[Job], *, workers: int, fail_fast: bool = False) -> None:
        """Run all jobs to their ends.

        A ``KeyboardInterrupt`` ends those that run as ``interrupted``, reports the waiting
        ones likewise, and is raised again; or those that go on are left, and nothing is
        reported of them.

        Parameters
        ----------
        workers
            How many the launcher runs at once.
        fail_fast
            Begin no further one after a failure; until then hand out no more than can run.
        """
        waiting = list(jobs)
        room = workers if fail_fast else len(waiting)
        try:
            while waiting or self.under_way:
                while waiting and len(self.under_way) < room:
                    self._submit(waiting.pop(0))
                time.sleep(POLL_SECONDS)
                for one in self.under_way.values():
                    self._tell(one)
                with _blaming(self.launcher):
                    ended = self.launcher.poll()
                for end in ended:
                    failed = self._end(end)
                    if failed is not None and fail_fast:
                        reason = f"not run: {failed.label} failed (--fail-fast)"
                        for job in waiting:
                            self.on_result(job, TrialResult("skipped", reason))
                        waiting.clear()
        except KeyboardInterrupt:
            if isinstance(self.launcher, LastingLauncher) and self.leave(len(self.under_way)):
                with _blaming(self.launcher):
                    self.launcher.leave()
                raise
            for end in self.launcher.cancel():
                self._end(end)
            left = [*(one.job for one in self.under_way.values()), *waiting]
            for job in left:
                reason = "not begun when the run was interrupted"
                self.on_result(job, TrialResult("interrupted", reason))
            raise
        except BaseException:
            # Nothing may go on unwatched, and what went wrong first is what is told.
            with suppress(Exception):
                self.launcher.cancel()
            raise

    def _submit(self, job: Job) -> None:
        task = self.make_task(job)
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / RESULT).unlink(missing_ok=True)
        write_atomic(task.folder / JOB, job.to_json())
        self.under_way[job.trial] = _UnderWay(job, task, Tail(task.folder / EVENTS))
        with _blaming(self.launcher):
            self.launcher.submit(task)

    def _tell(self, one: _UnderWay) -> None:
        for row in one.tail.rows():
            try:
                event = Event(**{name: row[name] for name in row if name in _PARTS})
            except TypeError:  # a line that is no event
                continue
            when = row.get("time")
            if not isinstance(when, int | float):
                when = time.time()
            if event.kind == "stage":
                one.stage = event.stage if event.message == "begin" else ""
            self.on_event(one.job.trial, event, when)

    def _end(self, ended: Ended) -> Job | None:
        """Report how a trial ended; gives its job when it did not end well."""
        one = self.under_way.pop(ended.trial, None)
        if one is None:
            return None
        self._tell(one)
        result = _result(one.task, ended, one.stage)
        self.on_result(one.job, result)
        return None if result.status == "ok" else one.job


def _result(task: Task, ended: Ended, stage: str = "") -> TrialResult:
    """What the launcher knows of the end, else what the worker wrote, if it wrote anything."""
    during = f" during {stage}" if stage else ""
    if ended.status is not None:
        usual: str = ended.status
        if usual == "timeout" and task.timeout is not None:
            usual = f"stopped after {task.timeout:g} s (--timeout){during}"
        return TrialResult(ended.status, ended.reason or usual)
    try:
        return read_result(task.folder / RESULT)
    except FileNotFoundError:
        reason = (ended.reason or "the worker ended without a result") + during
    except (OSError, ValueError) as error:
        reason = f"its {RESULT} is damaged ({str(error).splitlines()[0]})"
    return TrialResult("failed", f"{reason}: see its {LOG}")


@contextmanager
def _blaming(launcher: Launcher) -> Iterator[None]:
    """Say in one line which launcher failed."""
    try:
        yield
    except (BenchError, OSError):
        raise
    except Exception as error:
        name = type(launcher).__name__
        reason = (str(error).strip().splitlines() or [""])[0]
        raise BenchError(f"{name} failed: {type(error).__name__}: {reason}") from error
