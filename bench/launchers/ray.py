"""Trials as tasks of a Ray cluster.

A trial is a Ray task with its cores and GPU. When its node is lost the task is tried again on
another one and goes on from the trial's checkpoint, so the run folder must lie on a file system
that all nodes share.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

from pydantic import Field

from bench.api import BenchError, Config, Ended, Status, Task, import_extra
from bench.launchers.child import Child

_ANSWER_SECONDS = 10.0


class RayConfig(Config):
    """Which cluster, and what a trial takes of it.

    Parameters
    ----------
    address
        ``HOST:PORT`` of the head; empty: ``RAY_ADDRESS``, or else a cluster of this machine alone.
    cpus, gpus
        Of a trial; None: what the plan says. A share of a GPU packs several trials on it.
    retries
        How often a trial whose node was lost is tried again.
    grace
        Seconds that a worker has for its last checkpoint.
    """

    address: str = ""
    cpus: int | None = Field(None, ge=1)
    gpus: float | None = Field(None, ge=0, le=1)
    retries: int = Field(3, ge=0)
    grace: float = Field(20.0, ge=0)


def _work(task: Task, threads: int, grace: float) -> tuple[Status | None, str]:
    """What a Ray task does: the worker as a child, ended when the task is cancelled."""
    asked = threading.Event()
    # Ray cancels a task by an interrupt, and may do so at any moment and again: as an exception it
    # could leave the worker behind.
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    try:
        return Child(task, threads, grace).wait(interrupt=asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _reach(address: str) -> None:
    """Refuse a head that nobody answers at: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not (colon and port.isdigit()):
        raise BenchError(f"Ray's address {address!r} is not understood: write HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise BenchError(
            f"Ray at {address}: {error.strerror or error}; start it with ray start --head"
        ) from None


class RayLauncher:
    """Submits tasks to Ray; see :class:`bench.api.Launcher`.

    Parameters
    ----------
    config
        Which cluster.
    workers
        Trials of the run that may run at the same time; what the cluster has room for is
        Ray's to say.

    Raises
    ------
    BenchError
        When Ray is not installed, or its cluster does not answer.
    """

    def __init__(self, config: RayConfig, workers: int) -> None:
        ray = import_extra("ray", "the launcher ray", "translation-bench[ray]")
        self.config, self.workers = config, workers
        address = config.address or os.environ.get("RAY_ADDRESS") or None
        if not ray.is_initialized():
            if address is not None:
                _reach(address)
            try:
                ray.init(address=address, log_to_driver=False, configure_logging=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = (str(error).strip().splitlines() or ["no answer"])[0]
                raise BenchError(f"Ray at {address or 'this machine'}: {reason}") from None
        self._ray = ray
        self._waiting: list[Task] = []
        self._running: dict[Any, Task] = {}

    def submit(self, task: Task) -> None:
        """Take a task; it goes to Ray when fewer than `workers` are there."""
        self._waiting.append(task)
        self._fill()

    def poll(self) -> list[Ended]:
        """Return what has ended since the last call."""
        ended = [self._ended(self._running.pop(ref), ref) for ref in self._done(0)]
        self._fill()
        return ended

    def cancel(self) -> list[Ended]:
        """End what runs, politely, and forget what waits."""
        deadline = time.monotonic() + self.config.grace + _ANSWER_SECONDS
        done: list[Any] = []
        while len(done) < len(self._running) and time.monotonic() < deadline:
            # More than once: a Ray worker that is busy with itself loses an interrupt.
            for ref in self._running.keys() - done:
                self._ray.cancel(ref, force=False)
            done = self._done(2.0)
        ended = [Ended(task.trial, "interrupted") for task in self._running.values()]
        ended += [Ended(task.trial, "interrupted", "not begun") for task in self._waiting]
        self._running.clear()
        self._waiting.clear()
        return ended

    def _done(self, timeout: float) -> list[Any]:
        """Wait at most so many seconds for all that runs; gives those that have ended."""
        refs = list(self._running)
        if not refs:
            return []
        done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=timeout, fetch_local=False)
        return list(done)

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.workers:
            task = self._waiting.pop(0)
            needs, config = task.resources, self.config
            cpus = config.cpus or needs.cpus
            remote = self._ray.remote(_work).options(
                num_cpus=cpus,
                num_gpus=needs.gpus if config.gpus is None else config.gpus,
                memory=needs.memory_mb * 2**20 if needs.memory_mb else None,
                max_retries=config.retries,
                name=task.label,
            )
            self._running[remote.remote(task, cpus, config.grace)] = task

    def _ended(self, task: Task, ref: Any) -> Ended:
        try:
            status, reason = self._ray.get(ref)
        except Exception as error:  # of Ray's many kinds: lost nodes, memory, cancellation
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Ended(task.trial, "failed", f"Ray lost it: {lines[0]}")
        return Ended(task.trial, status, reason)
