"""Durations of a real run: of its trials' stages, and of writing tables as trials become many."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.execution.runner import Silent, _Recorder
from bench.storage.files import write_json
from bench.storage.jobs import read_plan
from bench.storage.tables import read_result
from bench.suite.plan import Plan
from tests.scaling.schedule import STAGES, Trial

RECORDED = Path(__file__).with_name("recorded.json")
_ENDED = (18, 90, 360, 1080)
"""For so many trials the tables are written."""


@dataclass(frozen=True)
class Recorded:
    """What a run took.

    Parameters
    ----------
    machine
        Where it ran, and with which versions.
    trials
        In the order in which they ran.
    tables
        Seconds that writing the tables takes, by the number of trials that have ended.
    """

    machine: Mapping[str, Any]
    trials: list[Trial]
    tables: list[tuple[int, float]]

    def writing(self, ended: int) -> float:
        """Return the seconds between recorded numbers, on a straight line."""
        before = (0, 0.0)
        for point in self.tables:
            if ended <= point[0]:
                share = (ended - before[0]) / (point[0] - before[0])
                return before[1] + share * (point[1] - before[1])
            before = point
        return before[1] * ended / before[0]


def record(run: Path) -> None:
    """Keep the durations of a run that one worker at a time has ended well."""
    environment = json.loads((run / "environment.json").read_text("utf-8"))
    hardware = environment["hardware"]
    machine = {name: hardware[name] for name in ("device", "cpu", "cores", "threads", "torch")}
    machine["commit"] = environment["commit"]
    found = Recorded(machine, _trials(run), _tables(run))
    write_json(RECORDED, asdict(found))


def read(file: Path = RECORDED) -> Recorded:
    """Return what was recorded."""
    values = json.loads(file.read_text("utf-8"))
    return Recorded(
        values["machine"],
        [Trial(**one) for one in values["trials"]],
        [(ended, seconds) for ended, seconds in values["tables"]],
    )


def _trials(run: Path) -> list[Trial]:
    jobs = {job.trial: job for job in read_plan(run)}
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "stage"]
    began: dict[tuple[str, str], float] = {}
    stages: dict[str, dict[str, float]] = {}
    trials, before = [], None
    for row in rows:
        trial, stage, when = row["trial"], row["stage"], row["time"]
        if row["message"] == "begin" and stage in STAGES:
            began[trial, stage] = when
        elif row["message"] == "end" and stage in STAGES:
            stages.setdefault(trial, {})[stage] = round(when - began[trial, stage], 3)
        elif stage == "trial":
            if row["message"] != "ok":
                raise SystemExit(f"{trial} ended as {row['message']}: record a run that ended well")
            # What is neither stage nor trial before: the worker's start and its end.
            if before is not None:
                took = round(when - before - sum(stages[trial].values()), 3)
                trials.append(Trial(jobs[trial].label, jobs[trial].seed, took, stages[trial]))
            before = when
    return trials


def _tables(run: Path) -> list[tuple[int, float]]:
    """Time the run's own writing of tables, for its trials many times over."""
    jobs = read_plan(run)
    results = {job.trial: read_result(run / "trials" / job.trial / "result.json") for job in jobs}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in _ENDED:
            again = [replace(jobs[i % len(jobs)], trial=f"t{i}") for i in range(count)]
            recorder = _Recorder(Path(folder), Plan(tuple(again), ()), Silent())
            recorder.results = {
                job.trial: results[jobs[i % len(jobs)].trial] for i, job in enumerate(again)
            }
            begun = time.perf_counter()
            recorder.write_tables()
            found.append((count, round(time.perf_counter() - begun, 3)))
            recorder.log.close()
    return found
