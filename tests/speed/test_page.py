"""docs/performance.md says what was recorded, and nothing else."""

from __future__ import annotations

import json

import pytest

from tests.speed import page


def test_the_page_is_made_from_what_was_recorded() -> None:
    kept = json.loads(page.RECORDED.read_text("utf-8"))
    text = page.PAGE.read_text("utf-8")
    assert page.with_result(text, kept) == text


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_a_step_stands_beside_the_plain_one(kind: str) -> None:
    facts = {"method": "munit", "recipe": "paper", "side": 128, "batch": 1}
    work = {"flops": 4e9, "bytes": 1e9, "profile": {"aten::bmm": 0.5}, "what": "step"}
    rows = [
        facts | work | {"kind": "plain", "seconds": 2.0},
        facts | work | {"kind": kind, "seconds": 0.5},
    ]
    rates = {"flops_fp32": 1e10, "flops_bf16": 4e10, "bytes": 1e10}
    lines = "\n".join(page._steps(rows, rates))
    arithmetic, share = ("arithmetic", "80%") if kind == "fp32" else ("memory", "20%")
    assert f"| {kind} | 0.500 | 4.00 | 4 | 1.0 | 8 | {share} | {arithmetic} |" in lines


def test_a_layer_stands_with_the_way_it_goes() -> None:
    layer = {"into": 256, "out": 128, "side": 32, "batch": 2, "taken": "F(4x4)"}
    rows = [
        layer | {"way": "direct", "seconds": 0.03},
        layer | {"way": "F(4x4)", "seconds": 0.02},
    ]
    assert "| 256 → 128 | 32² | 2 | 30.0 | 20.0 | F(4x4) | 1.50 |" in list(page._layers(rows))
    assert list(page._layers([])) == []
