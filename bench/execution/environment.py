"""How a run was made: versions, hardware, command."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from bench.code import commit

_VERSIONS = (
    "translation-bench",
    "torch",
    "torchvision",
    "torch-fidelity",
    "lpips",
    "numpy",
    "pandas",
    "pluggy",
)


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and the command: how the run was made."""
    from bench.devices import choose_device, describe_device, describe_gpus

    versions = {}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": shlex.join(["bench", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": describe_device(choose_device("auto")),
        "gpus": describe_gpus(),
        "versions": versions,
    }
