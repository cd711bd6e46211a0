"""The course of ``make gpu-check`` on a machine without a GPU, from its first line to its last."""

from __future__ import annotations

import re

import pytest
import torch

from tests import toys
from tests.gpu import check
from tests.trainers import METHODS


@pytest.mark.slow
def test_the_whole_course_can_be_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = check.PAGE.read_bytes() if check.PAGE.exists() else None
    assert check.main(["--out", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "Without a GPU" in text and "all passed: " in text
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+) \| (fp32|tf32|bf16) \|", text, re.MULTILINE)
    steps = [("munit", "plain, eager"), ("munit", "eager"), *((m, "captured") for m in METHODS)]
    assert rows == [(*step, precision) for step in steps for precision in check.PRECISIONS]
    for method in METHODS:
        assert f"| {method} | bf16 | – (–) | – (–) |" in text
    for method in ("munit", "identity"):
        assert f"| {method} | ok | – | – | – | – |" in text
    # No figure, where there is nothing to measure.
    assert not re.search(r"\| *\d+\.\d+ *\|", text)
    assert (check.PAGE.read_bytes() if check.PAGE.exists() else None) == before


def test_a_part_that_fails_is_told_of_and_costs_no_other(tmp_path, monkeypatch):
    def fails(course):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(check, "SECTIONS", {"One": fails, "Two": lambda course: "fine\n"})
    assert check.main(["--out", str(tmp_path / "page.md")]) == 1
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "**failed**: RuntimeError: no kernel" in text and "fine" in text


@pytest.mark.slow
def test_the_real_run_is_one_that_can_be_planned(tmp_path):
    """A name misspelt in its options must not be found out on the day of the GPU."""
    course = check.on_gpu()
    planned = toys.bench("plan", *course.run, cwd=tmp_path, cache=tmp_path / "cache")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "munit" in planned.stdout and 0 < course.left <= check.SECONDS == 600
