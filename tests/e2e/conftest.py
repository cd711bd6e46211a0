"""A finished run that several tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bench.storage.tables import read_run
from tests import toys

ARGS = ("--dataset", "image_folder", "--size", "32", "--samples", "2", "--budget", "20it")
QUIET = ("--metrics", "brightness", "--reports", "tables")


@dataclass(frozen=True)
class Place:
    """A folder with pictures and the toy plugin, and the cache its runs share."""

    root: Path
    cache: Path

    def args(self, *more: str | Path, methods: str = "toy,negative") -> list[str | Path]:
        plugin = ("--plugin", self.root / "toy_plugin.py", "--data-root", self.root / "data")
        return ["run", "-m", methods, *plugin, *ARGS, *QUIET, *more]


def make_place(root: Path) -> Place:
    toys.make_folder(root / "data")
    toys.write_toy(root)
    return Place(root, root / "cache")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh place of the test's own."""
    return make_place(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where a run has ended well, in ``run``; nobody may change it."""
    place = make_place(tmp_path_factory.mktemp("finished"))
    done = toys.bench(*place.args("--out", "run"), cwd=place.root, cache=place.cache)
    assert done.returncode == 0, done.stderr
    return place


def measured(run: Path, *, timed: bool = False) -> pd.DataFrame:
    """The measurements of a run in a fixed order; speed and memory only when `timed`."""
    rows = read_run(run).measurements
    if not timed:
        rows = rows[~rows["kind"].isin(["throughput", "resource"])]
    order = ["label", "seed", "direction", "metric", "subset"]
    # A trial's name ends with a hash of the code, which is not what is compared here.
    return rows.drop(columns="trial").sort_values(order).reset_index(drop=True)


def same_outputs(first: Path, second: Path) -> None:
    """Assert that two runs have the same weights and the same pictures, bit for bit."""
    contents = [
        {
            (trial.name.rpartition("-")[0], file.relative_to(trial).as_posix()): file.read_bytes()
            for trial in (run / "trials").iterdir()
            for file in trial.rglob("*")
            if file.suffix in (".png", ".safetensors")
        }
        for run in (first, second)
    ]
    assert any(name.endswith(".safetensors") for _, name in contents[0])
    assert contents[0].keys() == contents[1].keys()
    for key, content in contents[0].items():
        assert content == contents[1][key], key
