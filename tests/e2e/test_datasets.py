"""Several datasets in one suite: trials, rows and folders of each are its own."""

from __future__ import annotations

import pytest

from bench.storage.jobs import read_plan
from bench.storage.tables import read_run
from tests import toys
from tests.e2e.conftest import Place, make_place

pytestmark = pytest.mark.slow

SUITE = """
methods = ["negative", "toy"]
size = 32
samples = 2
budget = "3it"
metrics = ["brightness"]
plugins = ["toy_plugin.py"]

[[datasets]]
name = "image_folder"
root = "data"

[[datasets]]
name = "image_folder"
label = "night shift"
root = "other"
size = 48
[datasets.config]
domains = ["day", "night"]

[launchers.local]
threads = 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the suite has run, in ``run``; nobody may change it."""
    place = make_place(tmp_path_factory.mktemp("datasets"))
    toys.make_folder(place.root / "other", count=2, size=48)
    (place.root / "suite.toml").write_text(SUITE, "utf-8")
    ended = toys.bench(
        "run", "suite.toml", "--out", "run", cwd=place.root, cache=place.cache, timeout=500
    )
    assert ended.returncode == 0, ended.stderr
    assert "negative on night shift" in ended.stderr
    return place


def test_each_dataset_has_its_rows_and_pictures(place: Place) -> None:
    done = place.root / "run"
    view = read_run(done)
    trials = view.trials
    assert [tuple(row) for row in trials[["dataset", "label", "size"]].itertuples(index=False)] == [
        ("image_folder", "negative", 32),
        ("image_folder", "toy", 32),
        ("night shift", "negative", 48),
        ("night shift", "toy", 48),
    ]
    rows = view.measurements[view.measurements["metric"] == "brightness"]
    assert {tuple(row) for row in rows[["dataset", "direction"]].itertuples(index=False)} == {
        ("image_folder", "a2b"),
        ("image_folder", "b2a"),
        ("night shift", "day2night"),
        ("night shift", "night2day"),
    }
    assert all((done / path).is_file() for path in view.samples["path"])
    assert all((done / path).is_file() for path in view.samples["input_path"])
    folders = {path.split("/")[1] for path in view.samples["input_path"]}
    assert len(folders) == 2 and "image_folder" in folders
    page = (done / "report" / "index.html").read_text("utf-8")
    assert "night shift" in page and "image_folder" in page


def test_plan_and_replay_know_them_apart(place: Place) -> None:
    planned = toys.bench("plan", "suite.toml", cwd=place.root, cache=place.cache)
    lines = planned.stdout.splitlines()
    assert "image_folder at 32 px — a2b: 3 inputs, b2a: 3 inputs" in lines
    assert "night shift at 48 px — day2night: 2 inputs, night2day: 2 inputs" in lines
    assert len({job.trial for job in read_plan(place.root / "run")}) == 4
    # Found by its label where it lies now, and nowhere else.
    (place.root / "other").rename(place.root / "moved")
    args = ("replay", "run", "--plugin", "toy_plugin.py")
    gone = toys.bench(*args, cwd=place.root, cache=place.cache)
    moved = ("--data-root", "night shift=moved")
    again = toys.bench(*args, *moved, cwd=place.root, cache=place.cache)
    (place.root / "moved").rename(place.root / "other")
    assert gone.returncode == 2 and "other does not exist" in gone.stderr
    assert again.returncode == 0, again.stderr
    assert "toy on night shift, seed 0, day2night" in again.stdout
