"""A step of training and a translation, of every method: in every precision, beside the plain one.

``make speed`` measures them and keeps what it found; docs/performance.md is made from that.
``pytest -s tests/speed/test_steps.py -k faster`` prints how many times as fast a step is as the
plain one, both in turns.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.api import A2B, Context
from tests.speed.steps import Case, interleaved, profile
from tests.trainers import method_of

CASES = [
    Case("munit", "paper", 64),
    Case("munit", "paper", 128),
    Case("munit", "small", 64),
    Case("munit", "small", 64, 4),
    Case("cyclegan", "paper", 64),
    Case("cyclegan", "paper", 128),
    Case("cyclegan", "small", 64),
    Case("cyclegan", "small", 64, 4),
    Case("cut", "paper", 64),
    Case("cut", "paper", 128),
    Case("bicyclegan", "paper", 128, 2),
]
PAPER = [case for case in CASES if case.recipe == "paper"]
METHODS = ("munit", "cyclegan", "cut", "bicyclegan")


def kinds(case: Case) -> list[str]:
    """The plain step is written for published widths."""
    return ["plain", "fp32", "bf16"] if case.recipe == "paper" else ["fp32", "bf16"]


def told(benchmark: Any, what: str, **facts: Any) -> None:
    """Keep beside the times what the page needs to say what they are times of."""
    benchmark.extra_info |= {"what": what, "threads": torch.get_num_threads(), **facts}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("case", "kind"), [(case, kind) for case in CASES for kind in kinds(case)], ids=str
)
def test_step(benchmark: Any, case: Case, kind: str) -> None:
    benchmark.group = f"step: {case}"
    work = case.work(kind)
    told(benchmark, "step", **vars(case), kind=kind, flops=work.flops, bytes=work.bytes)
    rounds, step = 3 if case.recipe == "paper" else 10, case.step(kind)
    benchmark.pedantic(step, rounds=rounds, warmup_rounds=3)  # until memory is no longer fetched
    if kind != "plain":
        benchmark.extra_info["profile"] = profile(step)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("side", [128, 256])
@pytest.mark.parametrize("method", METHODS)
def test_translation(benchmark: Any, method: str, side: int, batch: int, kind: str) -> None:
    benchmark.group = f"translation: {method} {side} px, batch {batch}"
    ctx = Context(torch.device("cpu"), precision="bf16" if kind == "bf16" else "fp32")
    made = method_of(method, ctx, small=False)
    images, seeds = torch.zeros(batch, 3, side, side), torch.zeros(batch, 1, dtype=torch.long)

    def translate() -> object:
        with torch.no_grad():
            return made.translate(images, A2B, samples=1, seeds=seeds)

    told(benchmark, "translation", method=method, side=side, batch=batch, kind=kind)
    benchmark.pedantic(translate, rounds=2, warmup_rounds=1)


@pytest.mark.nightly
@pytest.mark.parametrize("case", PAPER, ids=str)
def test_a_step_is_faster_than_the_plain_one(
    case: Case, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """In turns, so that whatever else the machine does hits both alike."""
    seconds = interleaved({kind: case.step(kind) for kind in ("plain", "fp32")}, rounds=5, warm=3)
    ratio = seconds["plain"] / seconds["fp32"]
    record_property("speedup", round(ratio, 3))
    with capsys.disabled():
        print(
            f"\n  {case}: {1e3 * seconds['fp32']:.0f} ms, plain {1e3 * seconds['plain']:.0f} ms, "
            f"{ratio:.2f} times as fast"
        )
    assert ratio > 1.0


@pytest.mark.slow
def test_what_a_step_computes_is_counted_in_either_precision() -> None:
    works = {kind: Case("cyclegan", "small", 32).work(kind) for kind in ("fp32", "bf16")}
    assert works["fp32"].flops == works["bf16"].flops > 1e8
    assert works["fp32"].bytes > 0 and works["bf16"].bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_step_can_be_taken(method: str) -> None:
    case = Case(method, "paper", 128 if method == "bicyclegan" else 64, 2)
    for kind in ("plain", "fp32", "bf16"):
        case.step(kind)()
