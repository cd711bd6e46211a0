"""A small finished run to try reports on."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.validity import open_run
from bench.api import RunView
from bench.execution.runner import execute
from bench.suite.presets import FILTER, PRESETS
from bench.suite.schema import make_suite


def toy_run(folder: Path) -> RunView:
    """Run a filter on a few small pictures into an empty folder, and return the finished run."""
    pictures = {"name": PRESETS["demo"]["datasets"][0], "config": {"train": 8, "test": 6}}
    values = {"preset": "demo", "methods": [FILTER], "size": 32, "datasets": [pictures]}
    execute(make_suite(values), out=folder, reports=())
    return open_run(folder)
