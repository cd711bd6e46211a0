"""The script that says whether two runs are the same to the last digit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import compare_runs
from tests.factories import make_run

SCRIPT = Path(compare_runs.__file__)


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Path, Path]:
    run = make_run(tmp_path / "a", methods=("munit",), inputs=2, samples=2, size=16, truths=1)
    for trial in run.trials["trial"].head(1):
        checkpoints = run.path / "trials" / trial / "checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "weights.safetensors").write_bytes(b"weights")
    shutil.copytree(run.path, tmp_path / "b")
    return run.path, tmp_path / "b"


def change(run: Path, name: str, column: str, kind: str = "") -> None:
    """Move the first number of a table to the next that a double can be."""
    file = run / "tables" / f"{name}.parquet"
    frame = pd.read_parquet(file)
    rows = frame[column].notna() & ((frame["kind"] == kind) if kind else True)
    at = frame.index[rows][0]
    frame.loc[at, column] = np.nextafter(frame.loc[at, column], 9.0)
    frame.to_parquet(file, index=False)


def one(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern))[0]


def test_a_copy_is_equal_and_other_speeds_are_no_difference(twins: tuple[Path, Path]) -> None:
    change(twins[1], "measurements", "value", kind="throughput")
    change(twins[1], "timings", "seconds")
    done = subprocess.run(
        [sys.executable, SCRIPT, *twins], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("0 differences; compared: ")


def test_the_dataset_may_have_a_level_of_its_own(twins: tuple[Path, Path]) -> None:
    run = twins[1]
    for part in ("inputs", "truths"):
        (run / part).rename(run / "moved")
        (run / part).mkdir()
        (run / "moved").rename(run / part / "yosemite")
    file = run / "tables" / "samples.parquet"
    frame = pd.read_parquet(file)
    paths = frame["input_path"].str.replace("inputs/", "inputs/yosemite/")
    frame.assign(input_path=paths).to_parquet(file, index=False)
    assert list(compare_runs.differences(*twins)) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: change(run, "measurements", "value", kind="quality"), "measurement munit"),
        (lambda run: change(run, "measurements", "low", kind="quality"), "measurement munit"),
        (lambda run: change(run, "samples", "value"), "value of a picture munit"),
        (lambda run: one(run, "trials/*/images/*/*/0.png").write_bytes(b"x"), "file output munit"),
        (lambda run: one(run, "trials/*/images/*/*/0.png").unlink(), "the file is gone"),
        (lambda run: one(run, "inputs/**/*.png").write_bytes(b"x"), "file input yosemite"),
        (lambda run: one(run, "truths/**/*.png").unlink(), "file truth yosemite"),
        (lambda run: one(run, "trials/*/checkpoints/*").write_bytes(b"x"), "file weights munit"),
        (lambda run: one(run, "trials/*/losses.jsonl").unlink(), "loss munit"),
    ],
)
def test_the_smallest_difference_is_named(
    twins: tuple[Path, Path], spoil, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(twins[1])
    assert compare_runs.main(*twins) == 1
    assert said in capsys.readouterr().out
    assert compare_runs.main(*reversed(twins)) == 1
