"""Trained models with names in a run: loaded instead of trained, by what their cards say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import bench
from bench.api import BenchError
from bench.cli.options import build_suite
from bench.plugins import load_plugins
from bench.storage.models import read_card
from bench.storage.tables import read_run
from bench.storage.weights import cache_folder
from bench.suite.plan import Plan, make_plan
from bench.suite.presets import PRESETS
from bench.suite.schema import make_suite, read_suite, to_toml
from tests import toys
from tests.models import TINY, forgotten, write_model

FOLDER = {"dataset": "image_folder", "dataset_config": {}, "size": 16}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Pictures, and a plugin that brings three trainings of one thing and one of another."""
    toys.make_folder(tmp_path / "data")
    own = {"domains": ("a", "b"), "training": FOLDER}
    write_model(tmp_path, name="tiny-16", **own)
    write_model(tmp_path, name="tiny-16-s1", domains=("a", "b"), training={**FOLDER, "seed": 1})
    write_model(tmp_path, name="small", size=32)
    with forgotten():
        yield tmp_path


def plan_of(place: Path, methods: list[object], **values: object) -> Plan:
    suite = make_suite({"methods": methods, "plugins": [str(place / "brings_models.py")], **values})
    return make_plan(suite, load_plugins(suite.plugins), cache_folder())


def data(place: Path, **more: object) -> dict[str, object]:
    return {"name": "image_folder", "root": str(place / "data"), **more}


def test_a_run_loads_a_model(place: Path) -> None:
    done = toys.bench(
        *("run", "-m", "munit@tiny-16,identity", "--plugin", place / "brings_models.py"),
        *("-d", "image_folder", "--data-root", place / "data", "--metrics", "psnr"),
        *("--reports", "tables", "--out", "run"),
        cwd=place,
        cache=place / "cache",
    )
    assert done.returncode == 0, done.stderr
    card = read_card(place / "weights" / "munit-tiny-16.json")
    said = f"munit@tiny-16 (sha256 {card.sha256[:16]})"
    assert f"loaded {said}" in done.stderr
    view = read_run(place / "run")
    row = view.trials.set_index("label").loc["munit@tiny-16"]
    assert (row["method"], row["budget"], row["pretrained"], row["size"]) == (
        "munit",
        "loaded",
        said,
        16,
    )
    assert json.loads(row["config"]) == {**TINY, "ema": 0.5, "crop_size": None}
    assert len(view.samples[view.samples["label"] == "munit@tiny-16"]) == 2 * 3 * 3
    # The run's own suite says the same again.
    again = make_suite(read_suite(place / "run" / "suite.toml"))
    assert again.methods[0].full_name == "munit@tiny-16"
    assert make_suite(json.loads(again.model_dump_json(exclude_none=True))) == again


TRAINED_ON = """
metrics = ["structure_distance"]
plugins = ["brings_models.py"]
seeds = [3]

[[methods]]
name = "munit@tiny-16"
label = "on"
budget = "2it"
config = { crop_size = 16, dis_num_scales = 1, dis_n_layer = 1, dis_dim = 2 }

[[methods]]
name = "munit"
label = "file"
weights = "weights/munit-tiny-16.safetensors"
budget = "1it"
config = { crop_size = 16, dis_num_scales = 1, dis_n_layer = 1, dis_dim = 2, sample_every = 0 }

[[datasets]]
name = "image_folder"
root = "data"
size = 16
config = { domains = ["summer", "winter"] }
"""


@pytest.mark.slow
def test_a_model_is_trained_on(place: Path) -> None:
    (place / "suite.toml").write_text(TRAINED_ON)
    done = toys.bench(
        *("run", "suite.toml", "--score-at", "1it", "--reports", "tables", "--out", "run"),
        cwd=place,
        cache=place / "cache",
    )
    assert done.returncode == 0, done.stderr
    assert "training begins with munit-tiny-16.safetensors" in done.stderr
    card = read_card(place / "weights" / "munit-tiny-16.json")
    view = read_run(place / "run")
    rows = view.trials.set_index("label")
    assert rows["budget"].to_dict() == {"on": "2it", "file": "1it"}
    assert set(rows["seed"]) == {3}  # its own training's, not the model's
    assert all(card.sha256[:16] in text for text in rows["pretrained"])
    assert set(view.curves["iteration"]) == {1, 2}
    # Two iterations at its rate leave it near to where it began, and not there.
    checkpoints = place / "run" / "trials" / rows.loc["on", "trial"] / "checkpoints"
    made = load_file(checkpoints / "weights.safetensors")
    begun = load_file(place / "weights" / card.file)
    away = [float((made[key] - value.float()).abs().max()) for key, value in begun.items()]
    assert 0 < max(away) < 0.01
    packed = toys.bench(
        *("weights", "pack", "run/on", "--name", "further-16", "--out", "made", "--license", "MIT"),
        cwd=place,
        cache=place / "cache",
    )
    assert packed.returncode == 0, packed.stderr
    training = read_card(place / "made" / "munit-further-16.json").training
    assert card.sha256[:16] in training.begun_with
    assert (training.budget, training.dataset) == ("2it", "image_folder")


def test_the_key_is_that_of_the_weights(place: Path) -> None:
    (job,) = plan_of(place, ["munit@tiny-16"], dataset=data(place)).jobs
    card = read_card(place / "weights" / "munit-tiny-16.json")
    assert job.weights is not None and Path(job.weights).name == card.file
    (path,) = plan_of(
        place,
        [{"name": "munit", "weights": job.weights, "config": card.training.config}],
        dataset=data(place, size=16),
    ).jobs
    assert path.fit_key == job.fit_key  # the same file, whatever it is called
    other = plan_of(place, ["munit@tiny-16-s1"], dataset=data(place)).jobs[0]
    assert other.fit_key != job.fit_key


def test_trainings_of_one_thing_are_seeds_of_one_row(place: Path) -> None:
    one, two = ({"name": f"munit@{name}", "label": "munit"} for name in ("tiny-16", "tiny-16-s1"))
    plan = plan_of(place, [one, two, "identity"], dataset=data(place), seeds=[4, 5])
    assert [(job.label, job.seed) for job in plan.jobs] == [
        ("munit", 0),
        ("munit", 1),
        ("identity", 4),
        ("identity", 5),
    ]
    with pytest.raises(BenchError, match="munit is there twice on image_folder with seed 0"):
        plan_of(
            place,
            [one, {"name": "munit", "label": "munit", "budget": "1it"}],
            dataset=data(place),
        )
    with pytest.raises(BenchError, match="identity is named twice"):
        make_suite({"methods": ["identity", "identity"]})


def test_a_model_names_dataset_and_size(place: Path) -> None:
    def suite(**values: object) -> list[tuple[str, int | None]]:
        plugins = [str(place / "brings_models.py")]
        made = make_suite({"plugins": plugins, **values})
        assert make_suite({**json.loads(made.model_dump_json(exclude_none=True))}) == made
        return [(entry.name, entry.size or made.size) for entry in made.datasets]

    both = ["munit@small", "munit@tiny-16"]
    assert suite(methods=both, preset="paper") == [("seasons", 32), ("image_folder", 16)]
    assert suite(methods=both, size=64) == [("seasons", 64), ("image_folder", 64)]
    assert suite(methods=both, dataset="seasons") == [("seasons", 32)]
    assert suite(methods=both, dataset={"name": "seasons", "size": 48}) == [("seasons", 48)]
    assert suite(methods=both, dataset="yosemite", preset="quick") == [("yosemite", 128)]
    assert suite(methods=["identity"]) == [("seasons", 64)]


def test_models_and_datasets_find_each_other(place: Path) -> None:
    methods = ["munit@small", "munit@tiny-16", "identity"]
    seasons = {"name": "seasons", "size": 32, "config": {"train": 2, "test": 2}}
    plan = plan_of(place, methods, datasets=[seasons, data(place, size=16)])
    assert [(job.label, job.dataset, bool(job.skip)) for job in plan.jobs] == [
        ("munit@small", "seasons", False),
        ("identity", "seasons", False),
        ("munit@tiny-16", "image_folder", False),
        ("identity", "image_folder", False),
    ]
    (job,) = plan_of(place, ["munit@small"], dataset=data(place)).jobs
    assert job.skip == "munit@small knows summer and winter, and this dataset has a and b"
    named = data(place, config={"domains": ["summer", "winter"]})
    assert not plan_of(place, ["munit@small"], dataset=named).jobs[0].skip


def test_options_of_a_model_go_by_its_title(place: Path) -> None:
    suite = build_suite(
        None,
        methods="munit@tiny-16,munit",
        dataset="image_folder",
        plugins=[place / "brings_models.py"],
        settings=["munit@tiny-16.ema=0.25", "munit.gen_dim=3"],
    )
    assert [entry.config for entry in suite.methods] == [{"ema": 0.25}, {"gen_dim": 3}]
    (place / "suite.toml").write_text(to_toml(suite))
    assert make_suite(read_suite(place / "suite.toml")) == suite
    seeds = [{"name": f"munit@{name}", "label": "munit"} for name in ("tiny-16", "tiny-16-s1")]
    both = build_suite(
        None,
        methods=seeds,
        dataset="image_folder",
        plugins=[place / "brings_models.py"],
        settings=["munit.ema=0.25"],
    )
    assert [entry.config for entry in both.methods] == [{"ema": 0.25}] * 2


def test_a_preset_loads_what_train_trains(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ["munit@small", "identity", "munit", "munit@tiny-16"]
    monkeypatch.setitem(PRESETS, "demo", {**PRESETS["demo"], "methods": methods})
    plugins = [str(place / "brings_models.py")]
    loaded = make_suite({"plugins": plugins})
    assert [entry.title for entry in loaded.methods] == methods
    assert [(data.name, loaded.size) for data in loaded.datasets] == [("seasons", 64)]
    trained = make_suite({"plugins": plugins, "train": True})
    assert [entry.title for entry in trained.methods] == ["munit", "identity"]
    (place / "suite.toml").write_text(to_toml(trained))
    assert make_suite(read_suite(place / "suite.toml")) == trained
    chosen = build_suite(None, methods="munit@small", plugins=[Path(plugins[0])], train=True)
    assert [entry.full_name for entry in chosen.methods] == ["munit"]


def test_wrong_models_are_one_line(place: Path) -> None:
    for entry, says in [
        ("munit@tiny-61", "trained model of munit 'tiny-61' is unknown, did you mean 'tiny-16'"),
        ("identity@x", r"trained model of identity 'x' is unknown \(there are: none\)"),
        ("munot@x", "method 'munot' is unknown, did you mean 'munit'"),
        ({"name": "munit@tiny-16", "weights": "w.pt"}, "has its weights: it takes no other"),
        ({"name": "munit@tiny-16", "config": {"gen_dim": "wide"}}, "gen_dim"),
    ]:
        with pytest.raises(BenchError, match=says):
            plan_of(place, [entry], dataset=data(place))


def test_a_loaded_model_knows_its_domains(place: Path) -> None:
    plugins = (place / "brings_models.py",)
    one = bench.load("munit", weights="small", device="cpu", plugins=plugins)
    two = bench.load("munit@small", device="cpu", plugins=plugins)
    assert one.domains == two.domains == ("summer", "winter")
    assert one.card is not None and one.card.title == "munit@small"
    images = torch.rand(1, 3, 21, 37)
    outputs = one.translate(images, "summer2winter", samples=2)
    assert outputs.shape == (1, 2, 3, 21, 37)
    assert torch.equal(outputs, two.translate(images, "summer2winter", samples=2))
    assert one.encode(images, "winter")[1].shape == (1, 3)
    renamed = bench.load("munit@small", device="cpu", plugins=plugins, domains=("day", "night"))
    assert renamed.domains == ("day", "night")
    for name, options, says in [
        ("munit", {"weights": "smal"}, "trained model of munit 'smal' is unknown"),
        ("munit@small", {"weights": "w.pt"}, "has its weights: leave w.pt out"),
        ("munit@small", {"gen_dim": 7}, "was made with gen_dim=2, asked for 7"),
        ("identity", {"weights": "small"}, "takes no trained weights"),
    ]:
        with pytest.raises(BenchError, match=says):
            bench.load(name, device="cpu", plugins=plugins, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_plan_of_a_run_says_loaded(place: Path) -> None:
    plugin = ["--plugin", str(place / "brings_models.py"), "--data-root", str(place / "data")]
    done = toys.bench(
        *("plan", "-m", "munit@tiny-16", "-d", "image_folder", *plugin),
        cwd=place,
        cache=place / "cache",
    )
    assert done.returncode == 0, done.stderr
    assert "munit-tiny-16-s0-" in done.stdout and "loaded" in done.stdout
    assert "image_folder at 16 px" in done.stdout
    assert not list(place.glob("runs"))
