"""A Slurm of this machine, and a Ray of three nodes on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

START = Path(os.environ.get("BENCH_TEST_DATA", "../shared")) / "slurm" / "one-machine"
needs_slurm = [
    pytest.mark.skipif(not START.exists(), reason="no script that starts a Slurm of one machine"),
    pytest.mark.skipif(shutil.which("slurmctld") is None, reason="Slurm is not installed"),
]


@contextmanager
def slurm_of_this_machine(folder: Path) -> Iterator[None]:
    """Start a controller and a node; ``SLURM_CONF`` says where they are."""
    begun = subprocess.run(
        ["bash", str(START), "start", str(folder)], capture_output=True, text=True, check=True
    )
    os.environ["SLURM_CONF"] = begun.stdout.strip().removeprefix("export SLURM_CONF=")
    try:
        yield
    finally:
        subprocess.run(["bash", str(START), "stop", str(folder)], check=True, capture_output=True)
        del os.environ["SLURM_CONF"]


@contextmanager
def ray_of_this_machine() -> Iterator[tuple[Any, list[Any]]]:
    """Start a head without cores, and two nodes of one core that can be lost."""
    import ray
    from ray.cluster_utils import Cluster

    quiet = {"include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    nodes = [made.add_node(num_cpus=1, **quiet) for _ in range(2)]
    os.environ["RAY_ADDRESS"] = made.address
    try:
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()
        del os.environ["RAY_ADDRESS"]
