"""From a run to a trained model with a name, and back into a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import bench
from bench.api import BenchError
from bench.execution.pack import pack
from bench.plugins import load_plugins
from bench.storage.jobs import read_plan
from bench.storage.models import Model, read_card
from bench.storage.tables import read_run, write_table
from bench.storage.weights import read_state
from tests import toys
from tests.models import forgotten

pytestmark = pytest.mark.slow  # all of them look at one training

SMALL = ("gen_dim=2", "mlp_dim=4", "n_res=1", "dis_dim=2", "ema=0.5")


def run(root: Path, out: str, *more: str) -> Path:
    done = toys.bench(
        *("run", "-d", "image_folder", "--data-root", root / "data", "--size", "32"),
        *("--metrics", "lpips_diversity,psnr", "--reports", "tables", "--samples", "2"),
        *("--set", 'dataset.domains=["summer", "winter"]', "--out", out, *more),
        cwd=root,
        cache=root / "cache",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return root / out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained a small MUNIT, scored half way as well; nobody may change it."""
    root = tmp_path_factory.mktemp("pack")
    toys.make_folder(root / "data")
    settings = [word for text in SMALL for word in ("--set", f"munit.{text}")]
    budget = ("--budget", "6it", "--score-at", "3it")
    return run(root, "run", "-m", "munit,identity", *budget, *settings)


def packed(source: Path, out: Path, name: str = "tiny", **more: object) -> Model:
    bad = {"license": "MIT", "bad_at": ["everything"], **more}
    return pack(source, name, out, load_plugins(), **bad)  # type: ignore[arg-type]


def test_a_card_tells_what_the_run_knows(trained: Path, tmp_path: Path) -> None:
    model = packed(trained / "munit", tmp_path)
    card, run_ = model.card, read_run(trained)
    assert read_card(tmp_path / "munit-tiny.json") == card
    row = run_.trials.set_index("label").loc["munit"]
    told = card.training
    assert (card.title, card.domains, card.size) == ("munit@tiny", ("summer", "winter"), 32)
    assert (told.dataset, told.iterations, told.budget, told.seed) == ("image_folder", 6, "6it", 0)
    assert told.hours == float(format(row["fit_seconds"] / 3600, ".4g")) > 0
    assert told.config["gen_dim"] == 2 and told.config["ema"] == 0.5 and "beta1" not in told.config
    data = {"domains": ["summer", "winter"], "train": 400, "test": 40}
    assert told.dataset_config == data  # no folder of this machine
    assert str(trained.parent) not in model.path.read_text()
    assert told.commit == run_.environment["commit"] and told.version and told.hardware
    assert told.fingerprint == read_plan(trained)[0].fingerprint
    scores = {(s.direction, s.metric): s for s in card.scores if s.subset == "all"}
    rows = run_.measurements.query("label == 'munit' and metric == 'lpips_diversity'")
    for score in rows.query("subset == 'all'").to_dict("records"):
        mine = scores[score["direction"], "lpips_diversity"]
        assert (mine.value, mine.low, mine.extractor) == (
            score["value"],
            score["low"],
            score["extractor"],
        )
    assert {s.metric for s in card.scores} == {"lpips_diversity"}  # psnr is no headline
    points = run_.curves.query("metric == 'lpips_diversity'")
    assert [(p.direction, p.subset, p.iteration, p.value) for p in card.curve] == list(
        points[["direction", "subset", "iteration", "value"]].itertuples(index=False, name=None)
    )
    assert {p.iteration for p in card.curve} == {3, 6}
    way = sorted({p.iteration: p.core_hours for p in card.curve}.items())
    assert 0 < way[0][1] < way[1][1]


def test_weights_are_halved_and_the_same_each_time(trained: Path, tmp_path: Path) -> None:
    one, two = packed(trained / "munit", tmp_path / "1"), packed(trained / "munit", tmp_path / "2")
    assert one.card == two.card and one.beside.read_bytes() == two.beside.read_bytes()
    trial = read_plan(trained)[0].trial
    whole = trained / "trials" / trial / "checkpoints" / "weights.safetensors"
    assert one.beside.stat().st_size < 0.6 * whole.stat().st_size
    first, second = read_state(whole), read_state(one.beside)
    for name, value in first.items():
        assert torch.equal(value.half().float(), second[name])


def test_a_checkpoint_on_the_way_is_packed_as_it_was_then(trained: Path, tmp_path: Path) -> None:
    (kept,) = trained.glob("trials/munit*/checkpoints/kept/*.safetensors")
    card = packed(kept, tmp_path).card
    end = packed(trained / "munit", tmp_path / "end").card
    assert card.training.iterations == 3 and 0 < card.training.hours <= end.training.hours
    points = read_run(trained).curves.query("iteration == 3 and metric == 'lpips_diversity'")
    assert {s.value for s in card.scores} == set(points["value"])
    assert {p.iteration for p in card.curve} == {3} < {p.iteration for p in end.curve}
    assert card.sha256 != end.sha256


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "brings_models.py"
    file.write_text(
        "from bench.api import hookimpl, models_in\n"
        "@hookimpl\ndef bench_models():\n    return models_in(__name__, 'munit')\n"
    )
    with forgotten():
        yield file


def test_what_was_packed_is_loaded_and_lends_its_scores(
    trained: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plugin.parent / "weights"
    model = packed(trained / "munit", folder)
    out = str(plugin.parent / "again")
    again = run(trained.parent, out, "-m", "munit@tiny", "--plugin", str(plugin))
    card = packed(trained / "munit", folder, scored=again / "munit@tiny").card
    assert card.sha256 == model.card.sha256 and card.training == model.card.training
    rows = read_run(again).measurements.query("metric == 'lpips_diversity'")
    assert {s.value for s in card.scores} == set(rows["value"])
    (kept,) = trained.glob("trials/munit*/checkpoints/kept/*.safetensors")
    with pytest.raises(BenchError, match="did not load munit@tiny: its scores are of"):
        packed(kept, plugin.parent / "other", scored=again / "munit@tiny")
    with pytest.raises(BenchError, match="was not trained in this run"):
        packed(again / "munit@tiny", folder)
    translator = bench.load("munit", weights="tiny", device="cpu", plugins=(plugin,))
    assert translator.domains == ("summer", "winter")
    assert translator.method.config.ema == 0.5  # type: ignore[attr-defined]


def test_what_cannot_be_packed_is_one_line(trained: Path, tmp_path: Path) -> None:
    def failed(source: Path) -> None:
        frame = read_run(source).trials
        frame.loc[frame["label"] == "munit", "status"] = "failed"
        write_table(source, "trials", frame)

    def plain(source: Path) -> None:
        pass

    cases: list[tuple[str, Callable[[Path], None], dict[str, str], str]] = [
        ("identity", plain, {}, "identity was not trained in this run"),
        ("monet", plain, {}, r"name one of the trials munit-s0-\w+, identity-s0-\w+"),
        ("munit", failed, {}, "did not end well"),
        ("munit", plain, {"name": "Not A Name"}, "model card: name: "),
        ("../elsewhere/munit", plain, {}, "write RUN/LABEL"),
    ]
    for number, (label, change, more, says) in enumerate(cases):
        source = Path(shutil.copytree(trained, tmp_path / f"{number}" / "run"))
        change(source)
        with pytest.raises(BenchError, match=says):
            packed(source / label, tmp_path / "out", **more)  # type: ignore[arg-type]
    assert not list((tmp_path / "out").glob("*.json"))


def test_the_verb(trained: Path, tmp_path: Path) -> None:
    done = toys.bench(
        *("weights", "pack", trained / "munit", "--name", "tiny-32", "--out", tmp_path / "w"),
        *("--license", "CC0", "--bad-at", "skies", "--bad-at", "trees"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "w" / "munit-tiny-32.json").read_text())
    assert (card["license"], card["bad_at"]) == ("CC0", ["skies", "trees"])
    names = [Path(line).name for line in done.stdout.split()]
    assert names == ["munit-tiny-32.json", "munit-tiny-32.safetensors"]
