"""The notebooks run from top to bottom, and show what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.toys import environment

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SHOWN = {"compare": 2, "translate": 2, "read": 3}
"""Plots and rows of pictures that each notebook shows, at least."""


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook(notebook: Path, tmp_path: Path) -> None:
    copy = tmp_path / notebook.name
    copy.write_text(notebook.read_text("utf-8"), "utf-8")
    env = environment(Path(os.environ["BENCH_CACHE"]), PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-execute"), "--inplace", "--timeout=540", copy],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    cells = json.loads(copy.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output["output_type"] == "error"]
    shown = [data for output in outputs for data in output.get("data", {}).items()]
    pictures = [
        kind
        for kind, text in shown
        if kind == "image/svg+xml" or (kind == "text/html" and "data:image/png" in "".join(text))
    ]
    assert len(pictures) >= SHOWN[notebook.stem], pictures
    assert not any(cell.get("outputs") for cell in json.loads(notebook.read_text())["cells"])


def test_there_are_three() -> None:
    assert {file.stem for file in NOTEBOOKS} == set(SHOWN)
