"""How far the trials of a run are, whoever runs them: read from its folder, nothing is asked of it.

What a launcher's engine knows (a job that waits in a queue) comes from the launcher itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.api import BenchError, LastingLauncher
from bench.execution.worker import EVENTS, RESULT
from bench.plugins import Registry
from bench.storage.files import objects_of
from bench.storage.jobs import Job, read_plan
from bench.storage.locks import locked
from bench.storage.tables import read_result
from bench.suite.schema import make_suite, read_suite

_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class TrialState:
    """Where a trial stands.

    Parameters
    ----------
    state
        How it ended (``ok``, ``failed``, …), ``running``, ``waiting``, what the launcher's engine
        says, or ``unfinished``: nobody is at work on it.
    reason
        Why it ended so.
    stage
        What it is at: a stage and the direction.
    done, total, unit
        How far that is; None where it does not say.
    values
        Losses, where it trains.
    seconds
        Left of that at the pace of late; None: unknown.
    sample
        The newest picture that it has made to be looked at.
    """

    job: Job
    state: str
    reason: str = ""
    stage: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    sample: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (
            "ok",
            "skipped",
            "failed",
            "timeout",
            "oom",
            "diverged",
            "interrupted",
        )


def trial_states(run: Path, registry: Registry) -> list[TrialState]:
    """Return the state of every trial of a run, in the order of its plan.

    Raises
    ------
    BenchError
        When the folder is no run, or its plan cannot be read.
    """
    jobs = read_plan(run)
    watched = _watched(run)
    queue = _queue(run, jobs, registry)
    return [_state(run, job, watched, queue) for job in jobs]


def _state(run: Path, job: Job, watched: bool, queue: Mapping[str, str]) -> TrialState:
    folder = run / "trials" / job.trial
    if job.skip:
        return TrialState(job, "skipped", job.skip)
    with suppress(OSError, ValueError):
        result = read_result(folder / RESULT)
        return TrialState(job, result.status, result.reason)
    rows = _rows(folder / EVENTS)
    begun = bool(rows) and not _has_ended(rows)
    state = queue.get(job.trial, "unfinished")
    if watched and job.trial not in queue:
        state = "running" if begun else "waiting"
    return TrialState(job, state, **(_progress(rows) if begun else {}))


def _watched(run: Path) -> bool:
    """Whether a process of this machine has the run in hand."""
    try:
        with locked(run, wait=False):
            return False
    except BenchError:
        return True


def _queue(run: Path, jobs: Sequence[Job], registry: Registry) -> Mapping[str, str]:
    """What the engine of the run's launcher says of its trials."""
    from bench.execution.runner import make_launcher

    try:
        name = json.loads((run / "environment.json").read_text("utf-8"))["launcher"]
        suite = make_suite(read_suite(run / "suite.toml"), str(run / "suite.toml"))
        launcher = make_launcher(str(name), registry, suite)
    except (OSError, ValueError, KeyError, TypeError, BenchError):
        return {}
    if not isinstance(launcher, LastingLauncher):
        return {}
    return launcher.queue({job.trial: run / "trials" / job.trial for job in jobs})


def _rows(file: Path) -> list[Mapping[str, Any]]:
    """The last events of a trial."""
    try:
        with file.open("rb") as events:
            events.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            return objects_of(events.read().splitlines())
    except OSError:
        return []


def _has_ended(rows: Sequence[Mapping[str, Any]]) -> bool:
    return rows[-1].get("kind") == "stage" and rows[-1].get("stage") == "trial"


def _progress(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the last events say of where a trial is."""
    samples = [str(row.get("path")) for row in rows if row.get("kind") == "sample"]
    found: dict[str, Any] = {"sample": next((path for path in reversed(samples) if path), "")}
    told = [row for row in rows if row.get("kind") in ("progress", "stage")]
    if not told:
        return found
    last = told[-1]
    place = (last.get("stage"), last.get("message"))
    if last["kind"] == "stage":
        return found | {"stage": str(place[0])}
    known = [row for row in told if (row.get("stage"), row.get("message")) == place]
    numbers = [_numbers(row) for row in known]
    (first, begun, _), (done, now, total) = numbers[0], numbers[-1]
    pace = (done - first) / (now - begun) if now > begun else 0.0
    values = last.get("values")
    return found | {
        "stage": " ".join(str(part) for part in place if part),
        "done": done,
        "total": total,
        "unit": str(last.get("unit", "")),
        "values": values if isinstance(values, dict) else {},
        "seconds": (total - done) / pace if pace > 0 else None,
    }


def _numbers(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """How much is done, when, and of how much."""
    parts = (row.get("done"), row.get("time"), row.get("total"))
    done, when, total = (float(p) if isinstance(p, int | float) else 0.0 for p in parts)
    return done, when, total
