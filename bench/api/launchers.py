"""Where trials run: a task, what it needs, how it ends, and the contract of a launcher.

The worker that a task's command starts keeps its own record, so a launcher carries nothing
back: ``events.jsonl`` (appended to as things happen), ``log.txt`` (all that is printed) and
``result.json`` (written last) lie in the task's folder, and the run reads them there. A launcher
starts commands, ends them, and says which have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

PARENT = "BENCH_LAUNCHER_PID"
"""Environment variable of a worker: the id of the process that started it on its machine. The
worker ends with that process, even when it is killed. Where it is not set, with none."""

Status = Literal["ok", "skipped", "failed", "timeout", "oom", "diverged", "interrupted"]
"""How a trial ended."""


@dataclass(frozen=True)
class Resources:
    """What a trial needs of the machine that runs it.

    Parameters
    ----------
    cpus
        Processor cores.
    gpus
        0 or 1: a trial computes on one device.
    memory_mb
        Main memory; None: nobody knows.
    seconds
        How long it is expected to take; None: nobody knows.
    """

    cpus: int = 1
    gpus: int = 0
    memory_mb: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Task:
    """One trial as a launcher sees it.

    Parameters
    ----------
    trial
        Its id, unique in the run.
    label
        What people call it.
    folder
        Its folder below the run folder, on a file system that the worker shares.
    command
        The worker's command line. It ends with 0 when the trial ended ``ok``; SIGTERM makes it
        end as ``interrupted``, and the same command goes on from its last checkpoint. Only the
        worker's first lines of output, before it has found its folder, are the launcher's to keep.
    environment
        Variables to set for it, beside the launcher's own.
    resources
        What it needs.
    timeout
        Seconds after which the launcher stops it, with all that it started; None: never.
    key
        What it is to do, as a hash: a task of this trial with another key is another one.
    """

    trial: str
    label: str
    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    timeout: float | None = None
    key: str = ""


@dataclass(frozen=True)
class Ended:
    """A task that will not run any more.

    Parameters
    ----------
    trial
        Which one.
    status
        How it ended, where the launcher knows better than the worker (``timeout``,
        ``interrupted``). None: what the worker wrote counts; where it wrote nothing, it failed.
    reason
        Why, in one line; where it is empty, the status says enough.
    """

    trial: str
    status: Status | None = None
    reason: str = ""


@runtime_checkable
class Launcher(Protocol):
    """Runs tasks; built as ``Class(config, workers)``, `workers` being how many run at once."""

    def submit(self, task: Task) -> None:
        """Take a task, to be run as soon as there is room; returns at once."""
        ...

    def poll(self) -> Sequence[Ended]:
        """Return the tasks that have ended since the last call; returns at once."""
        ...

    def cancel(self) -> Sequence[Ended]:
        """End everything, begun or not, as ``interrupted``; returns when nothing runs any more.

        A second Ctrl-C meanwhile ends what is left without waiting for it.
        """
        ...


@runtime_checkable
class LastingLauncher(Launcher, Protocol):
    """A launcher whose tasks go on when the run is gone.

    Its ``submit`` finds a task that was left: one of the same folder and key.
    """

    def leave(self) -> None:
        """Let go of everything: what was submitted goes on, or begins when there is room."""
        ...

    def queue(self, folders: Mapping[str, Path]) -> Mapping[str, str]:
        """Return what the engine says of tasks (``pending``, ``running``, …).

        Parameters
        ----------
        folders
            Of tasks, by trial. One that the engine does not know is left out.
        """
        ...


@dataclass
class TrialResult:
    """What a trial gives: how it ended, facts about it, and rows of the tables.

    Parameters
    ----------
    status, reason
        How it ended; the reason is empty when there is nothing to say.
    facts
        What ``trials`` says of it beside what was planned: seconds of each stage, iterations,
        parameters, device, precision, memory, stages taken from the cache.
    measurements, samples, timings, curves
        Rows of these tables.
    """

    status: Status
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
