"""No step, run or command costs more than it did: one line says what grew."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.gate import costs
from tests.gate.costs import CONTEXT, RECORDED, cost, more
from tests.trainers import trainer_of

pytestmark = pytest.mark.slow  # a minute and a half in all

KEPT = json.loads(RECORDED.read_text("utf-8"))
TORCH = torch.__version__.partition("+")[0]


@pytest.mark.parametrize("measure", [costs.of_steps, costs.of_translations])
def test_operators(measure: Callable[[], costs.Costs]) -> None:
    if KEPT["torch"] != TORCH:
        pytest.skip(f"recorded with torch {KEPT['torch']}, whose operators {TORCH} need not have")
    found = measure()
    assert more({what: KEPT["costs"][what] for what in found}, found) == []


@pytest.mark.parametrize("measure", [costs.of_the_cache, costs.of_imports])
def test_counts(measure: Callable[[], costs.Costs]) -> None:
    found = measure()
    assert more({what: KEPT["costs"][what] for what in found}, found) == []


def test_nothing_recorded_is_left_out() -> None:
    kinds = ("step of ", "translation of ", "cache of ", "bench --help")
    assert {next(k for k in kinds if what.startswith(k)) for what in KEPT["costs"]} == set(kinds)


def _wasteful(kind: str) -> Callable[[], object]:
    """A step that costs more in one way: the others may grow with it."""
    trainer, _ = trainer_of("cyclegan", CONTEXT)
    for step in range(2):
        trainer.step(step, 100)

    def run() -> None:
        kept = torch.zeros(4_000_000) if kind == "peak_bytes" else None
        if kind == "flops":
            F.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))
        if kind == "operators":
            torch.zeros(1).add_(1)
        trainer.step(2, 100)
        del kept

    return run


@pytest.mark.parametrize("kind", ["flops", "operators", "peak_bytes"])
def test_a_step_that_costs_more_is_caught(kind: str) -> None:
    plain, worse = cost(_wasteful("")), cost(_wasteful(kind))
    lines = more({"step": plain}, {"step": worse})
    assert any(line.startswith(f"step: {kind.replace('_', ' ')} grew from ") for line in lines)
    assert more({"step": plain}, {"step": cost(_wasteful(""))}) == []


def test_more_entries_are_caught() -> None:
    found = costs.of_the_cache("--methods", "identity,color_transfer,noise")
    lines = more(KEPT["costs"], KEPT["costs"] | found)
    assert [line.partition(" grew from")[0] for line in lines] == [
        f"cache of a small run: stages/{stage}" for stage in ("score", "time", "translate")
    ]


def test_another_import_is_caught() -> None:
    found = costs.of_imports("import numpy")
    lines = more(KEPT["costs"], KEPT["costs"] | found)
    assert len(lines) == 1 and lines[0].startswith("bench --help: numpy grew from 0 to ")


def test_what_costs_less_is_to_be_kept() -> None:
    assert more({"step": {"flops": 10}}, {"step": {"flops": 9}}) == [
        "step: flops fell from 10 to 9: make gate-record keeps it"
    ]
