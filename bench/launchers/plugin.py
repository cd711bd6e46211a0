"""The built-in launchers, registered like anyone's."""

from __future__ import annotations

from bench.api import LauncherSpec, hookimpl
from bench.launchers.local import LocalConfig


@hookimpl
def bench_launchers() -> list[LauncherSpec]:
    """The launchers that come with the suite."""
    return [
        LauncherSpec(
            name="local",
            summary="worker processes on this machine, one per trial, killed at a timeout",
            implementation="bench.launchers.local:LocalLauncher",
            config=LocalConfig,
        )
    ]
