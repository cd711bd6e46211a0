"""Trials of the toy plugin in this process, for tests."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.api import Event, TrialResult
from bench.execution.trial import run_trial
from bench.execution.workspace import Workspace
from bench.plugins import Registry, load_plugins
from bench.suite.plan import make_plan
from bench.suite.schema import make_suite
from tests import toys


class Bench:
    """Runs trials of the toy plugin in one place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = toys.make_folder(root / "data")
        self.registry: Registry = load_plugins([toys.write_toy(root)])
        self.events: list[Event] = []

    def workspace(self, run: str = "run", method: Any = "toy", **changes: Any) -> Workspace:
        values = {
            "methods": [method],
            "dataset": {"name": "image_folder", "root": str(self.data)},
            "size": 32,
            "samples": 2,
            "budget": "6it",
            "metrics": ["brightness"],
            **changes,
        }
        plan = make_plan(make_suite(values), self.registry, self.root / "cache")
        job = plan.jobs[0]
        assert not job.skip
        (self.root / run / "trials" / job.trial).mkdir(parents=True, exist_ok=True)
        return Workspace(job, self.root / run, self.registry, self.events.append)

    def run(self, run: str = "run", **changes: Any) -> TrialResult:
        return run_trial(self.workspace(run, **changes))

    def warnings(self) -> list[str]:
        return [event.message for event in self.events if event.kind == "warning"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    sys.modules.pop("toy_plugin", None)  # another test's, of another folder
    yield Bench(tmp_path)
    sys.modules.pop("toy_plugin", None)


class Odd:
    """A method whose translation a test provides."""

    function: Callable[..., torch.Tensor]

    def __init__(self, config: Any, ctx: Any) -> None:
        self.ctx = ctx

    def translate(self, images: torch.Tensor, direction: Any, **rest: Any) -> torch.Tensor:
        return type(self).function(images, **rest)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


def use(bench: Bench, function: Callable[..., torch.Tensor]) -> None:
    Odd.function = staticmethod(function)
    sys.modules["toy_plugin"].Odd = Odd
    spec = bench.registry.methods["negative"]
    bench.registry.methods["negative"] = dataclasses.replace(spec, implementation="toy_plugin:Odd")


def keep(images: torch.Tensor, *, samples: int, seeds: torch.Tensor) -> torch.Tensor:
    return images[:, None].expand(-1, samples, -1, -1, -1)
