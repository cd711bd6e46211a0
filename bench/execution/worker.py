"""The process of one trial: ``python -m bench.execution.worker RUN TRIAL``.

It reads the trial's ``job.json``, prints events as JSON lines on its standard output and
writes ``result.json`` last. Whatever goes wrong becomes a status and a reason; a traceback
goes to the trial's ``log.txt`` only.
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
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from bench.api import BenchError, Diverged, Event
from bench.data.job import Job
from bench.storage.files import write_json
from bench.storage.locks import locked

RESULT = "result.json"
JOB = "job.json"
PARENT = "BENCH_LAUNCHER_PID"
"""Environment variable with the launcher's process id; a worker does not outlive it."""


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _emitter() -> Any:
    """Events go to the real standard output; anything a plugin prints goes to the log."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        channel.write(json.dumps(asdict(event)) + "\n")

    return emit


def _end_with_parent() -> None:
    """Leave when the launcher is gone, even killed: its resumed run must find no rival."""
    # By its own word where it left one: it may have been killed while we were starting.
    parent = int(os.environ.get(PARENT) or os.getppid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with whatever a plugin has started
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def classify(error: BaseException) -> tuple[str, str]:
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
    faulthandler.enable()
    _end_with_parent()
    # Until no other worker is busy with this trial.
    with locked(run / "trials" / trial_id):
        return _run(run, trial_id)


def _run(run: Path, trial_id: str) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    emit = _emitter()
    folder = run / "trials" / trial_id
    job = Job.from_json((folder / JOB).read_text("utf-8"))
    result: dict[str, Any]
    try:
        from bench.execution.trial import run_trial
        from bench.execution.workspace import Workspace
        from bench.plugins import load_plugins

        registry = load_plugins([Path(file) for file in job.plugins])
        given = run_trial(Workspace(job, run, registry, emit))
        result = {
            "trial": given.facts | {"status": given.status, "reason": given.reason},
            "measurements": given.measurements,
            "samples": given.samples,
            "timings": given.timings,
        }
    except BaseException as error:  # a SystemExit of a plugin included
        traceback.print_exc()
        status, reason = classify(error)
        result = {"trial": {"status": status, "reason": reason}}
    write_json(folder / RESULT, result)
    return 0 if result["trial"]["status"] == "ok" else 1


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: a thread that a plugin left behind must not keep a finished trial waiting.
    os._exit(code)
