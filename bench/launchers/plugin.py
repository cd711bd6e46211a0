"""The built-in launchers, registered like anyone's."""

from __future__ import annotations

from bench.api import LauncherSpec, hookimpl
from bench.launchers.local import LocalConfig
from bench.launchers.ray import RayConfig
from bench.launchers.slurm import SlurmConfig


@hookimpl
def bench_launchers() -> list[LauncherSpec]:
    """The launchers that come with the suite."""
    return [
        LauncherSpec(
            name="local",
            summary="worker processes on this machine, one per trial, killed at a timeout",
            implementation="bench.launchers.local:LocalLauncher",
            config=LocalConfig,
        ),
        LauncherSpec(
            name="ray",
            summary="a task for each trial, on a Ray cluster",
            implementation="bench.launchers.ray:RayLauncher",
            config=RayConfig,
            elsewhere=True,
        ),
        LauncherSpec(
            name="slurm",
            summary="a job of an array for each trial, on a Slurm cluster, through submitit",
            implementation="bench.launchers.slurm:SlurmLauncher",
            config=SlurmConfig,
            elsewhere=True,
        ),
    ]
