"""A run through the real command: what it leaves, and what a second one need not do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.storage.files import read_json_lines
from bench.storage.tables import SCHEMAS, read_run
from tests import toys
from tests.e2e.conftest import Place, make_place, measured, same_outputs


def test_a_run_leaves_what_it_promises(finished: Place) -> None:
    run = finished.root / "run"
    view = read_run(run)
    assert list(view.trials["status"]) == ["ok", "ok"]
    assert list(view.trials["label"]) == ["toy", "negative"]
    assert view.trials["cached"].fillna("").eq("").all()
    toy = view.trials.iloc[0]
    assert toy["iterations"] == 20 and toy["parameters"] == 4 * 27 + 4 + 4 * 27 + 3
    for name, schema in SCHEMAS.items():
        assert list(getattr(view, name).columns) == list(schema)
    assert (run / "DONE").exists()
    for trial in view.trials["trial"]:
        assert (run / "trials" / trial / "DONE").exists()
    assert len(view.losses) == 20
    assert json.loads((run / "environment.json").read_text("utf-8"))["versions"]["torch"]
    kinds = {row["kind"] for row in read_json_lines(run / "events.jsonl")}
    assert {"stage", "progress"} <= kinds


def test_every_output_is_a_row_and_a_picture(finished: Place) -> None:
    run = finished.root / "run"
    samples = read_run(run).samples
    # 3 inputs, 2 directions; the toy gives 2 samples, the deterministic negative 1.
    assert len(samples[samples["label"] == "toy"]) == 12
    negative = samples[samples["label"] == "negative"]
    assert len(negative.drop_duplicates(["direction", "input_id", "sample"])) >= 6
    for row in samples[samples["label"] == "toy"].itertuples():
        assert (run / row.path).is_file() and (run / row.input_path).is_file()
        assert 0 < row.value < 1 and row.metric == "brightness"


def test_deterministic_method_is_measured_as_often_as_it_would_be_drawn(finished: Place) -> None:
    rows = measured(finished.root / "run")
    assert set(rows["n"]) == {6}


def test_pictures_of_a_row_exist_for_every_sample(finished: Place) -> None:
    run = finished.root / "run"
    paths = set(read_run(run).samples["path"])
    assert [path for path in sorted(paths) if not (run / path).is_file()] == []


@pytest.mark.slow
def test_a_second_run_computes_nothing(finished: Place, tmp_path: Path) -> None:
    out = tmp_path / "again"
    done = toys.bench(*finished.args("--out", out), cwd=tmp_path, cache=finished.cache)
    assert done.returncode == 0, done.stderr
    assert list(read_run(out).trials["cached"]) == [
        "fit+translate+score+time",
        "translate+score+time",
    ]
    pd.testing.assert_frame_equal(
        measured(out, timed=True), measured(finished.root / "run", timed=True)
    )
    same_outputs(out, finished.root / "run")


@pytest.mark.slow
def test_resuming_a_finished_run_starts_no_worker(finished: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.root / "run", run)
    before = measured(run, timed=True)
    logs = {file: file.stat().st_mtime_ns for file in run.glob("trials/*/log.txt")}
    done = toys.bench(
        "run", "--resume", "--out", "run", "--reports", "tables", cwd=tmp_path, cache=finished.cache
    )
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in logs} == logs
    pd.testing.assert_frame_equal(measured(run, timed=True), before)


@pytest.mark.slow
def test_poisoned_cache_is_noticed_and_computed_again(finished: Place, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    # A copy: links would carry the poison into the finished run.
    shutil.copytree(finished.cache, cache)
    weights = next((cache / "stages" / "fit").rglob("weights.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    pictures = sorted((cache / "stages" / "translate").rglob("*.png"))
    first, second = pictures[0].read_bytes(), pictures[1].read_bytes()
    assert first != second
    pictures[0].write_bytes(second)
    pictures[1].write_bytes(first)
    score = next((cache / "stages" / "score").rglob("measurements.json"))
    score.write_text(score.read_text("utf-8").replace("0.", "0.9", 1), "utf-8")
    out = tmp_path / "run"
    done = toys.bench(*finished.args("--out", out), cwd=tmp_path, cache=cache)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(measured(out), measured(finished.root / "run"))
    same_outputs(out, finished.root / "run")
    assert "fit" not in read_run(out).trials["cached"].iloc[0]


@pytest.mark.slow
def test_two_runs_at_once_share_one_cache(finished: Place, tmp_path: Path) -> None:
    place = make_place(tmp_path)
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench",
                *map(str, place.args("--out", f"run{number}", methods="toy")),
            ],
            cwd=tmp_path,
            env=toys.environment(place.cache),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    expected = measured(finished.root / "run")
    expected = expected[expected["label"] == "toy"].reset_index(drop=True)
    for number in range(2):
        pd.testing.assert_frame_equal(measured(tmp_path / f"run{number}"), expected)
    same_outputs(tmp_path / "run0", tmp_path / "run1")
    left_over = [path for path in place.cache.rglob(".*") if path.name != ".lock"]
    assert left_over == []
