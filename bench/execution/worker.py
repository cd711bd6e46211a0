"""The process of one trial: ``python -m bench.execution.worker RUN TRIAL``.

It reads the trial's ``job.json`` and keeps its own record beside it, whoever started it:
``events.jsonl`` takes events as they happen, ``log.txt`` all that is printed, and
``result.json`` is written last. Whatever goes wrong becomes a status and a reason; a traceback
goes to the log only.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from bench.api import PARENT, BenchError, Diverged, Event, Status, TrialResult
from bench.storage.files import write_json
from bench.storage.jobs import Job
from bench.storage.locks import locked

RESULT = "result.json"
JOB = "job.json"
EVENTS = "events.jsonl"
LOG = "log.txt"


def command_line(run: Path, trial: str) -> tuple[str, ...]:
    """Return the command of a trial's worker."""
    # -P: a file of the user's called like a module must not be taken for it.
    return (sys.executable, "-P", "-m", "bench.execution.worker", str(run), trial)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _log_to(file: Path) -> None:
    """Send all that this process prints to a file; events go elsewhere."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)


def _emitter(file: Path) -> Callable[[Event], None]:
    """Append events to a file, a line each, with the time."""
    channel = file.open("a", encoding="utf-8", buffering=1)
    if channel.tell():
        channel.write("\n")  # a worker that was killed may have left half a line

    def emit(event: Event) -> None:
        channel.write(json.dumps({"time": round(time.time(), 3), **asdict(event)}) + "\n")

    return emit


def _end_with(parent: int) -> None:
    """Leave when the launcher is gone, even killed: its resumed run must find no rival."""

    def watch() -> None:
        # By its own word: it may have been killed while we were starting.
        while os.getppid() == parent:
            time.sleep(0.25)
        if os.name == "posix" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with whatever a plugin has started
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def classify(error: BaseException) -> tuple[Status, str]:
    """The status of a trial that ended with `error`, and the reason in one line."""
    from bench.devices import is_out_of_memory

    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted"
    if isinstance(error, Diverged):
        return "diverged", " ".join(str(error).split())
    if is_out_of_memory(error):
        return "oom", "out of memory: use a smaller size, batch or model"
    if isinstance(error, BenchError):
        return "failed", " ".join(str(error).split())
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return "failed", " ".join([reason, *(f"({note})" for note in getattr(error, "__notes__", ()))])


def main(run: Path, trial_id: str) -> int:
    """Run one trial; 0 when it ended ``ok``."""
    folder = run / "trials" / trial_id
    _log_to(folder / LOG)
    faulthandler.enable()
    if parent := os.environ.get(PARENT):
        _end_with(int(parent))
    # Until no other worker is busy with this trial.
    with locked(folder):
        return _run(run, folder)


def _run(run: Path, folder: Path) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    job = Job.from_json((folder / JOB).read_text("utf-8"))
    emit = _emitter(folder / EVENTS)
    try:
        from bench.execution.trial import run_trial
        from bench.execution.workspace import Workspace
        from bench.plugins import load_plugins

        # Of all plugins those of this trial, each named first: its import may be its end.
        registry = load_plugins(
            [Path(file) for file in job.plugins],
            job.needs,
            lambda name: emit(Event("stage", f"the import of plugin {name}", "begin")),
        )
        result = run_trial(Workspace(job, run, registry, emit))
    except BaseException as error:  # a SystemExit of a plugin included
        traceback.print_exc()
        result = TrialResult(*classify(error))
    write_json(folder / RESULT, asdict(result))
    return 0 if result.status == "ok" else 1


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: a thread that a plugin left behind must not keep a finished trial waiting.
    os._exit(code)
