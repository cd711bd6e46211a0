"""Pictures made elsewhere, through the real command: the same numbers, and every fault listed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.storage.tables import read_run
from tests import toys
from tests.e2e.conftest import Place, measured

METRICS = "brightness,kid,lpips_diversity,lpips_input,duplicates"


def _numbers(run: Path, label: str) -> pd.DataFrame:
    rows = measured(run)
    names = ["method", "label"]
    return rows[rows["label"] == label].drop(columns=names).reset_index(drop=True)


def _images(run: Path, method: str) -> Path:
    trials = read_run(run).trials
    (trial,) = trials.loc[trials["label"] == method, "trial"]
    return run / "trials" / str(trial) / "images"


@pytest.mark.slow
def test_a_folder_scores_as_the_method_that_made_it(finished: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = toys.bench(
        *finished.args("--metrics", METRICS, "--out", run), cwd=tmp_path, cache=finished.cache
    )
    assert made.returncode == 0, made.stderr
    methods = []
    for label in ("toy", "negative"):
        shutil.copytree(_images(run, label), tmp_path / f"their {label}")
        methods.append(f"outputs:{tmp_path / f'their {label}'}")
    again = toys.bench(
        *finished.args("--metrics", METRICS, "--out", "theirs", methods=",".join(methods)),
        cwd=tmp_path,
        cache=finished.cache,
    )
    assert again.returncode == 0, again.stderr
    for label in ("toy", "negative"):
        expected = _numbers(run, label)
        assert set(METRICS.split(",")) <= set(expected["metric"])
        pd.testing.assert_frame_equal(_numbers(tmp_path / "theirs", f"their {label}"), expected)
    assert set(read_run(tmp_path / "theirs").measurements["kind"]).isdisjoint({"throughput"})


@pytest.mark.slow
def test_changed_pictures_are_scored_anew_and_others_are_not(
    finished: Place, tmp_path: Path
) -> None:
    shutil.copytree(_images(finished.root / "run", "toy"), tmp_path / "theirs")

    def run(out: str) -> Path:
        args = finished.args("--out", out, methods=f"outputs:{tmp_path / 'theirs'}")
        done = toys.bench(*args, cwd=tmp_path, cache=finished.cache)
        assert done.returncode == 0, done.stderr
        return tmp_path / out

    first = run("first")
    (tmp_path / "theirs").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "theirs")
    assert list(read_run(run("second")).trials["cached"]) == ["translate+score"]
    one, other, *_ = sorted((tmp_path / "theirs").rglob("*.png"))
    one.write_bytes(other.read_bytes())
    third = run("third")
    assert list(read_run(third).trials["cached"].fillna("")) == [""]
    assert not measured(third)["value"].equals(measured(first)["value"])


@pytest.mark.slow
def test_score_takes_a_folder_and_lists_what_is_wrong(finished: Place, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shutil.copytree(_images(finished.root / "run", "negative") / "a2b", made)
    args = ("score", made, "-d", "image_folder", "--data-root", finished.root / "data")
    args += ("--direction", "a2b", "--metrics", "lpips_input", "--csv", "table.csv")
    done = toys.bench(*args, cwd=tmp_path, cache=finished.cache)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["n"]) == {3} and set(table["label"]) == {"made"}
    assert not (tmp_path / "runs").exists()

    folders = sorted(made.iterdir())
    shutil.rmtree(folders[0])
    (folders[1] / "0.png").write_bytes(b"no picture")
    shutil.copy(folders[2] / "0.png", made / "stranger.png")
    refused = toys.bench(*args, cwd=tmp_path, cache=finished.cache)
    assert refused.returncode == 2
    lines = refused.stderr.splitlines()
    assert len(lines) == 4 and "(3 listed below)" in lines[0] and "--allow-missing" in lines[0]
    for text in (f"input {folders[0].name} has no picture", "cannot be decoded", "stranger.png"):
        assert any(text in line for line in lines[1:])

    passed = toys.bench(*args, "--allow-missing", cwd=tmp_path, cache=finished.cache)
    assert passed.returncode == 0, passed.stderr
    assert set(pd.read_csv(tmp_path / "table.csv")["n"]) == {1}
    run = finished.args("--allow-missing", "--out", "run", "--directions", "a2b")
    run[2] = f"outputs:{made}"
    told = toys.bench(*run, cwd=tmp_path, cache=finished.cache)
    assert told.returncode == 0, told.stderr
    assert "made: a2b: n is 1 of 3 inputs" in told.stdout
