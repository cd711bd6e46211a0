"""What a score was made from, and scoring a run again from the pictures it kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.api import BenchError
from bench.data.images import pixel_digest, read_image
from bench.execution.replay import Replayed, compare_values, replay
from bench.metrics.manifest import Changed, changes, picture_hashes
from bench.plugins import load_plugins
from tests import toys

# ---------------------------------------------------------------------------- manifest


def test_every_picture_is_hashed_once(make_data):
    data = make_data(n=3, k=2, train=4)
    repeated = {key: [samples[0]] * 2 for key, samples in data.outputs.items()}
    found = picture_hashes(dataclasses.replace(data, outputs=repeated), samples=1)
    assert {role: len(names) for role, names in found.items()} == {
        "inputs": 3,
        "outputs": 3,
        "truths": 0,
        "reference": 5,
        "reference_train": 4,
        "source_train": 4,
    }
    key = next(iter(data.outputs))
    assert found["outputs"][f"{key}/0"] == data.outputs[key][0].digest


def test_changes_name_what_is_other_gone_and_new():
    before = {"outputs": {"a/0": "1", "b/0": "2"}, "inputs": {"a": "x"}}
    now = {"outputs": {"a/0": "9", "c/0": "3"}, "inputs": {"a": "x"}}
    assert list(changes(before, before)) == []
    assert list(changes(before, now)) == [
        Changed("outputs", "a/0", "changed"),
        Changed("outputs", "b/0", "gone"),
        Changed("outputs", "c/0", "new"),
    ]


def test_values_are_compared_by_metric_subset_and_network():
    def rows(*values):
        names = ["metric", "subset", "extractor", "value", "n"]
        return pd.DataFrame(values, columns=names)

    stored = rows(
        ("kid", "all", "lite0", 0.5, 9),
        ("fid", "all", "lite0", 100.0, 9),
        ("psnr", "all", None, 20.0, 9),
        ("near_zero", "all", None, 1e-9, 9),
        ("fewer", "all", None, 1.0, 9),
    )
    replayed = rows(
        ("kid", "all", "inception", 0.5, 9),
        ("fid", "all", "lite0", 100.05, 9),
        ("psnr", "all", None, 20.1, 9),
        ("near_zero", "all", None, -1e-9, 9),
        ("fewer", "all", None, 1.0, 8),
    )
    found = compare_values(stored, replayed)
    equal = {(row.metric, row.extractor): row.equal for row in found.itertuples()}
    assert equal == {
        ("kid", "lite0"): False,
        ("kid", "inception"): False,
        ("fid", "lite0"): True,
        ("psnr", ""): False,
        ("near_zero", ""): True,
        ("fewer", ""): False,
    }
    assert found.set_index("metric").loc["psnr", "relative"] == pytest.approx(0.1 / 20.1)


def test_nothing_stored_and_nothing_replayed_are_compared_without_a_fault():
    empty = pd.DataFrame(columns=["metric", "subset", "extractor", "value", "n"])
    one = pd.DataFrame([("kid", "all", "x", 1.0, 3)], columns=list(empty.columns))
    assert compare_values(empty, empty).empty
    assert list(compare_values(one, empty)["equal"]) == [False]
    assert list(compare_values(empty, one)["equal"]) == [False]


# ------------------------------------------------------------------------------ replay


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A place with pictures, the toy plugin, and a run of two metrics; not to be changed."""
    root = tmp_path_factory.mktemp("replay")
    toys.make_folder(root / "data")
    toys.write_toy(root)
    for domain in "AB":
        direction = {"A": "a2b", "B": "b2a"}[domain]
        shutil.copytree(root / "data" / f"test{domain}", root / "made" / direction)
    done = toys.bench(
        *("run", "-m", "toy,negative,outputs:theirs=made", "--plugin", root / "toy_plugin.py"),
        *("--dataset", "image_folder", "--data-root", root / "data", "--size", "32"),
        *("--samples", "2", "--budget", "2it", "--metrics", "brightness,kid,lpips_input"),
        *("--reports", "tables", "--out", "run"),
        cwd=root,
        cache=root / "cache",
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root / "made")
    return root


@pytest.fixture
def place(finished, tmp_path) -> Path:
    shutil.copytree(finished / "data", tmp_path / "data")
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path


@pytest.fixture(scope="module")
def registry(finished):
    yield load_plugins([finished / "toy_plugin.py"])
    sys.modules.pop("toy_plugin", None)


@pytest.fixture
def again(place, registry):
    def run(*labels: str) -> list[Replayed]:
        return list(
            replay(place / "run", registry, labels=labels or None, data_root=place / "data")
        )

    return run


def named(one: Replayed) -> list[str]:
    return [str(change) for change in one.changed]


def command(place: Path, finished: Path, *more):
    return toys.bench(
        *("replay", "run", "--data-root", "data", "--plugin", finished / "toy_plugin.py", *more),
        cwd=place,
        cache=finished / "cache",
    )


def trial(place: Path, label: str) -> Path:
    (folder,) = (
        path.parent
        for path in (place / "run" / "trials").glob("*/job.json")
        if json.loads(path.read_text("utf-8"))["method"]["label"] == label
    )
    return folder


def test_a_run_records_what_its_scores_were_made_from(finished):
    record = json.loads((trial(finished, "toy") / "scored.json").read_text("utf-8"))
    assert len(record) == 2
    for direction, entry in record.items():
        folder = trial(finished, "toy") / "images" / direction
        assert set(entry["metrics"]) == {"brightness", "kid", "lpips_input"}
        assert set(entry["networks"]) == {"efficientnet-lite0", "st-lpips-alex"}
        assert all(len(sha) == 64 for sha in (entry["code"], *entry["networks"].values()))
        outputs = entry["pictures"]["outputs"]
        assert len(outputs) == 6
        for name, digest in outputs.items():
            assert pixel_digest(read_image(folder / f"{name}.png")) == digest
        seeds = [seed for row in entry["seeds"].values() for seed in row]
        assert len(set(seeds)) == len(outputs)
        assert len(entry["pictures"]["reference"]) == 3


def alter(place: Path) -> Path:
    """Invert one output of the toy; gives its file."""
    folder = trial(place, "toy") / "images"
    file = sorted(sorted(folder.iterdir())[0].glob("*/0.png"))[0]
    pixels = read_image(file)
    file.unlink()  # it may be a hard link to the cache
    Image.fromarray(255 - pixels).save(file)
    return file


def test_an_untouched_run_is_equal(again):
    found = again()
    assert {(one.label, one.direction) for one in found} == {
        (label, direction)
        for label in ("toy", "negative", "theirs")
        for direction in ("a2b", "b2a")
    }
    for one in found:
        assert not one.differs and not one.changed and not one.code_changed
        assert {"brightness", "kid", "lpips_input"} <= set(one.rows["metric"])


def test_pictures_made_elsewhere_are_replayed_without_their_folder(finished, again):
    assert not (finished / "made").exists()
    assert [one.differs for one in again("theirs")] == [False, False]
    record = json.loads((trial(finished, "theirs") / "scored.json").read_text("utf-8"))
    assert all(entry["seeds"] == {} for entry in record.values())


def test_an_altered_output_is_named_with_the_metrics_it_changed(place, again):
    file = alter(place)
    found = {one.direction: one for one in again("toy")}
    touched = found.pop(file.parent.parent.name)
    assert touched.differs
    assert named(touched) == [f"outputs {file.parent.name}/0 changed"]
    moved = set(touched.rows.loc[~touched.rows["equal"], "metric"])
    assert {"brightness", "kid", "lpips_input"} <= moved
    (other,) = found.values()
    assert not other.differs


def test_the_same_pixels_in_another_file_are_equal(place, again):
    for file in (trial(place, "negative") / "images").rglob("*.png"):
        pixels = read_image(file)
        file.unlink()
        Image.fromarray(pixels).save(file, compress_level=1)
    assert not any(one.differs for one in again("negative"))


def test_a_changed_reference_and_a_changed_input_are_named(place, again):
    file = sorted((place / "data" / "testB").iterdir())[0]
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file)
    forth, back = again("negative")
    assert f"reference {file.stem} changed" in named(forth)
    assert f"inputs {file.stem} changed" in named(back)
    assert forth.differs and back.differs


def test_missing_pictures_are_named_and_nothing_is_scored(place, again):
    for file in (trial(place, "negative") / "images").rglob("*.png"):
        file.unlink()
    for one in again("negative"):
        assert {change.role for change in one.changed} == {"output file"}
        assert not one.rows["equal"].any() and one.rows["replayed"].isna().all()


def test_an_input_that_left_the_dataset_is_named(place, again):
    file = sorted((place / "data" / "testA").iterdir())[0]
    file.unlink()
    forth, _ = again("negative")
    assert f"inputs {file.stem} is gone" in named(forth)


def test_other_code_is_said_and_is_no_difference(place, again):
    path = trial(place, "negative") / "scored.json"
    record = json.loads(path.read_text("utf-8"))
    path.unlink()
    path.write_text(
        json.dumps({direction: entry | {"code": "0"} for direction, entry in record.items()})
    )
    assert [(one.code_changed, one.differs) for one in again("negative")] == [(True, False)] * 2


def test_other_weights_are_named(place, again):
    path = trial(place, "negative") / "scored.json"
    record = json.loads(path.read_text("utf-8"))
    for entry in record.values():
        entry["networks"]["efficientnet-lite0"] = "0" * 64
    path.unlink()
    path.write_text(json.dumps(record))
    assert {text for one in again("negative") for text in named(one)} == {
        "network efficientnet-lite0 changed"
    }


@pytest.mark.slow
def test_the_command_says_what_differs(place, finished):
    done = command(place, finished, "--methods", "negative")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 2 are equal" in done.stdout
    file = alter(place)
    done = command(place, finished, "--methods", "toy")
    assert done.returncode == 1
    assert f"outputs {file.parent.name}/0 changed" in done.stdout
    assert {"brightness", "kid"} <= {line.split()[0] for line in done.stdout.splitlines()}
    assert "1 of 2 differ" in done.stdout


@pytest.mark.slow
def test_what_cannot_be_replayed_is_one_line(place, again, finished):
    with pytest.raises(BenchError, match="no finished trial of 'nobody'"):
        again("nobody")
    (trial(place, "toy") / "scored.json").unlink()
    with pytest.raises(BenchError, match=r"scored\.json is missing or damaged"):
        again()
    done = toys.bench("replay", "data", cwd=place)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "is not a run folder" in line
