"""Trials as jobs of a Slurm cluster, through submitit.

A trial is one job of an array, with the cores, GPU, memory and time that its task asks for. A job
that is preempted or reaches its time limit ends its worker politely, which keeps a checkpoint,
and is queued again; the worker goes on from there. The run may be left meanwhile: what was
submitted is written into each trial's folder, and a later run finds it there.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.api import BenchError, Config, Ended, Status, Task, import_extra
from bench.launchers.child import LOG, Child

if TYPE_CHECKING:
    import submitit

JOB = "slurm.json"
"""In a trial's folder: the id of its job, and the key of its task."""

_FOLDER = "slurm"
"""In the run folder: what submitit keeps of jobs under way."""
_NOTICE_SECONDS = 60
"""Before its time limit a job is told; its worker needs a while for a checkpoint."""
_SLACK = 3.0
"""A job gets this many times the estimate: one that is cut off goes on, but has to queue again."""
_UNKNOWN_HOURS = 24.0
_DEAF_SECONDS = 900.0
"""A controller that is started anew is away for a while; the jobs are not."""


class SlurmConfig(Config):
    """What a job asks for; None leaves it to the task, or to the cluster's own default.

    Parameters
    ----------
    partition, account, qos, constraint
        As ``sbatch`` names them.
    cpus, gpus, memory_gb, hours
        Of a job; None: what the plan estimates, its time times three.
    setup
        Shell lines before the worker: modules, paths.
    extra
        Further options of ``sbatch`` by their long names.
    requeues
        How often a job that reached its time limit goes on.
    grace
        Seconds that a worker has for its last checkpoint.
    look
        Seconds between two looks at the queue.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cpus: int | None = Field(None, ge=1)
    gpus: int | None = Field(None, ge=0)
    memory_gb: float | None = Field(None, gt=0)
    hours: float | None = Field(None, gt=0)
    setup: tuple[str, ...] = ()
    extra: dict[str, str] = Field(default_factory=dict)
    requeues: int = Field(20, ge=0)
    grace: float = Field(20.0, ge=0)
    look: float = Field(2.0, gt=0)


class _Work:
    """What a job does; submitit keeps it as a file, and asks it for a checkpoint before its end."""

    def __init__(self, task: Task, threads: int, grace: float) -> None:
        self.made = (task, threads, grace)
        self.child: Child | None = None

    def __call__(self) -> tuple[Status | None, str]:
        self.child = Child(*self.made)
        return self.child.wait()

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """End the worker, which keeps its state; gives what is to be queued again."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None:
            self.child.stop("interrupted", "")
            self.child.wait()
        return DelayedSubmission(_Work(*self.made))


class SlurmLauncher:
    """Submits tasks to Slurm; see :class:`bench.api.LastingLauncher`.

    Parameters
    ----------
    config
        What the cluster asks for.
    workers
        Jobs of the run that may run at the same time.

    Raises
    ------
    BenchError
        When submitit or Slurm's own commands are not there.
    """

    def __init__(self, config: SlurmConfig, workers: int) -> None:
        import_extra("submitit", "the launcher slurm", "translation-bench[slurm]")
        for command in ("sbatch", "squeue", "scancel"):
            if shutil.which(command) is None:
                raise BenchError(f"the launcher slurm needs {command}: start it on a login node")
        self.config, self.workers = config, workers
        self._waiting: list[Task] = []
        self._jobs: dict[str, tuple[Task, str]] = {}
        self._looked = self._heard = time.monotonic()

    # ------------------------------------------------------------------ contract

    def submit(self, task: Task) -> None:
        """Queue a task with the next :meth:`poll`, or find the job that was left running."""
        known = _known(task.folder)
        if known is not None and (alive := _states([known["job"]])):
            if known["key"] == task.key:
                self._jobs[task.trial] = (task, known["job"])
                return
            _cancel(list(alive))  # it does what is no longer wanted
        self._waiting.append(task)

    def poll(self) -> list[Ended]:
        """Return what has ended; submits what waits, like tasks as one array."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for alike in _alike(waiting):
                self._submit(alike)
        now = time.monotonic()
        if now - self._looked < self.config.look or not self._jobs:
            return []
        self._looked = now
        try:
            alive = _states([job for _, job in self._jobs.values()])
        except BenchError:
            if now - self._heard > _DEAF_SECONDS:
                raise
            return []
        self._heard = now
        gone = [trial for trial, (_, job) in self._jobs.items() if job not in alive]
        return [self._ended(*self._jobs.pop(trial)) for trial in gone]

    def cancel(self) -> list[Ended]:
        """Take every job out of the queue and wait until none runs any more."""
        _cancel([job for _, job in self._jobs.values()])
        ended = [Ended(trial, "interrupted") for trial in self._jobs]
        ended += [Ended(task.trial, "interrupted", "not begun") for task in self._waiting]
        while self._jobs:
            self._forget(*self._jobs.popitem()[1])
        self._waiting.clear()
        return ended

    def leave(self) -> None:
        """Submit what waits, and forget it all; the trials' folders know their jobs."""
        for alike in _alike(self._waiting):
            self._submit(alike)
        self._waiting.clear()
        self._jobs.clear()

    def queue(self, folders: Mapping[str, Path]) -> dict[str, str]:
        """Return what Slurm says of the jobs of trials that are in its queue."""
        known = {trial: known["job"] for trial in folders if (known := _known(folders[trial]))}
        alive = _states(list(known.values()))
        return {
            trial: f"{alive[job].lower()} as job {job}"
            for trial, job in known.items()
            if job in alive
        }

    # -------------------------------------------------------------------- inside

    def _submit(self, tasks: Sequence[Task]) -> None:
        import submitit

        executor = submitit.SlurmExecutor(
            folder=tasks[0].folder.parents[1] / _FOLDER, max_num_timeout=self.config.requeues
        )
        parameters = self._parameters(tasks)
        threads = parameters["cpus_per_task"]
        work = [_Work(task, threads, self.config.grace) for task in tasks]
        try:
            executor.update_parameters(**parameters, array_parallelism=self.workers)
            with executor.batch():
                jobs = [executor.submit(one) for one in work]
        except Exception as error:  # submitit raises nearly anything that sbatch says
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise BenchError(f"sbatch refused {len(tasks)} trials: {reason}") from error
        for task, job in zip(tasks, jobs, strict=True):
            self._jobs[task.trial] = (task, job.job_id)
            known = json.dumps({"job": job.job_id, "key": task.key})
            (task.folder / JOB).write_text(known, "utf-8")

    def _parameters(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """What each job of an array asks for: what the most demanding of its tasks needs."""
        config, needs = self.config, [task.resources for task in tasks]
        seconds = max(one.seconds or 0.0 for one in needs)
        hours = config.hours or seconds * _SLACK / 3600 or _UNKNOWN_HOURS
        memory = round((config.memory_gb or 0) * 1024) or max(one.memory_mb or 0 for one in needs)
        parameters = {
            "job_name": "bench",
            "partition": config.partition,
            "account": config.account,
            "qos": config.qos,
            "constraint": config.constraint,
            "cpus_per_task": config.cpus or needs[0].cpus,
            "gpus_per_node": (needs[0].gpus if config.gpus is None else config.gpus) or None,
            "mem": f"{memory}M" if memory else None,
            "time": max(5, math.ceil(hours * 60)),
            "signal_delay_s": _NOTICE_SECONDS,
            "setup": list(config.setup) or None,
            "additional_parameters": dict(config.extra) or None,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    def _ended(self, task: Task, job: str) -> Ended:
        """What the job itself knows of its end; else the worker's result counts."""
        status: Status | None = None
        reason = f"job {job} ended without a word"
        found = self._job(task, job)
        if found.paths.result_pickle.exists():
            with suppress(Exception):  # what a failed job raised is in its log
                status, reason = found.result()
        else:
            with suppress(OSError), (task.folder / LOG).open("ab") as log:
                log.write(found.paths.stderr.read_bytes())
        self._forget(task, job)
        return Ended(task.trial, status, reason)

    def _job(self, task: Task, job: str) -> submitit.SlurmJob[Any]:
        import submitit

        return submitit.SlurmJob(folder=task.folder.parents[1] / _FOLDER, job_id=job)

    def _forget(self, task: Task, job: str) -> None:
        """Remove what was kept of a job that has ended."""
        paths = self._job(task, job).paths
        files = [paths.stderr, paths.stdout, paths.result_pickle, paths.submitted_pickle]
        for file in (*files, task.folder / JOB):
            file.unlink(missing_ok=True)
        if not self._jobs:
            shutil.rmtree(paths.folder, ignore_errors=True)


def _alike(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that one array can run: those that ask for the same cores and GPUs."""
    groups: dict[tuple[int, int], list[Task]] = {}
    for task in tasks:
        groups.setdefault((task.resources.cpus, task.resources.gpus), []).append(task)
    return list(groups.values())


def _known(folder: Path) -> dict[str, str] | None:
    """Return the job that a trial was submitted as, and its key; None where there is none."""
    try:
        known = json.loads((folder / JOB).read_text("utf-8"))
        return {"job": str(known["job"]), "key": str(known["key"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _states(jobs: Sequence[str]) -> dict[str, str]:
    """Return the jobs that are still in the queue, with their states (``PENDING``, …)."""
    if not jobs:
        return {}
    found = _call("squeue", "--noheader", "--array", "--format=%i|%T", f"--jobs={','.join(jobs)}")
    rows = (line.partition("|") for line in found.splitlines())
    return {job.strip(): state.strip() for job, _, state in rows if job.strip() in set(jobs)}


def _cancel(jobs: Sequence[str]) -> None:
    """Take jobs out of the queue; returns when none of them runs any more."""
    if jobs:
        _call("scancel", *jobs)
        while _states(list(jobs)):
            time.sleep(0.5)


def _call(*command: str) -> str:
    """What one of Slurm's commands prints; a job it does not know any more is no error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "nvalid job id" not in done.stderr:
        reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise BenchError(f"{command[0]} failed: {reason}")
    return done.stdout
