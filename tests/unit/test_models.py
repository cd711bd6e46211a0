"""Trained models with names: cards, weights that are what they should be, and the verbs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from bench.api import BenchError, ModelSpec, models_in
from bench.cli import app
from bench.plugins import load_plugins
from bench.storage.models import Card, Model, halved, open_model, read_card, write_card
from bench.storage.weights import read_state
from bench.suite.schema import make_suite, read_suite
from tests.models import TINY, VALUES, forgotten, write_model

ROOT = Path(__file__).parents[2] / "methods"
RECIPES = sorted((ROOT.parent / "suites" / "models").glob("*.toml"))


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A one-file plugin, its card and its weights."""
    with forgotten():
        yield write_model(tmp_path)


def card_of(plugin: Path) -> Path:
    return plugin.parent / "weights" / "munit-tiny-16.json"


def read(plugin: Path, **changes: object) -> Card:
    return read_card(card_of(plugin)).model_copy(update=changes)


def bench(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, BenchError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_a_plugin_brings_a_model(plugin: Path) -> None:
    registry = load_plugins([plugin])
    model = open_model(registry.model("munit@tiny-16"))
    card = model.card
    assert (card.title, card.domains) == ("munit@tiny-16", ("summer", "winter"))
    assert card.training.config == {**TINY, "ema": 0.5, "crop_size": None}
    state = read_state(model.weights())
    assert {value.dtype for value in state.values()} == {torch.float32}
    with pytest.raises(BenchError, match=r"trained model of munit 'tiny-9' is unknown.*tiny-16"):
        registry.model("munit@tiny-9")


def test_the_verbs(plugin: Path) -> None:
    status, text = bench("weights", "list", "--plugin", plugin)
    assert status == 0 and "munit@tiny-16" in text and "in 0.25 h on seasons" in text
    status, text = bench("weights", "show", "munit@tiny-16", "--plugin", plugin)
    assert status == 0
    assert "gen_dim=2, mlp_dim=4" in text and "everything" in text and "10 iterations" in text
    assert "summer2winter" in text and "kid 0.1 [0.05, 0.2], n 40, lite" in text
    assert "kid on the way 0.3 (5 it, 0.12 core-hours), 0.123 (10 it, 0.25 core-hours)" in text
    status, text = bench("weights", "verify", "--plugin", plugin, "munit@tiny-16")
    assert status == 0 and "numbers, sha256" in text
    assert "begun with" not in text
    card = read_card(card_of(plugin))
    begun = card.training.model_copy(update={"begun_with": "munit-first.safetensors"})
    write_card(card_of(plugin), card.model_copy(update={"training": begun}))
    status, text = bench("weights", "show", "munit@tiny-16", "--plugin", plugin)
    assert status == 0 and "begun with" in text and "munit-first.safetensors" in text
    assert bench("weights", "show", "munit", "--plugin", plugin)[0] == 2


def test_other_weights_are_refused(plugin: Path) -> None:
    file = card_of(plugin).with_suffix(".safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    status, text = bench("weights", "verify", "munit@tiny-16", "--plugin", plugin)
    assert status == 2 and "is not munit@tiny-16" in text and "install the package again" in text
    file.unlink()
    status, text = bench("weights", "verify", "munit@tiny-16", "--plugin", plugin)
    assert status == 2 and "is missing" in text
    write_card(card_of(plugin), read(plugin, name="other"))
    status, text = bench("weights", "show", "munit@tiny-16", "--plugin", plugin)
    assert status == 2 and "is that of munit@other, not of munit@tiny-16" in text


def test_weights_that_are_not_shipped_are_pinned(plugin: Path, tmp_path: Path) -> None:
    card = read(plugin, url="https://example.org/x.safetensors")
    model = Model(card, tmp_path / "card.json")
    moved = card_of(plugin).parent
    assert model.weights(weights_dir=moved) == moved / card.file
    with pytest.raises(BenchError, match=r"put https://example.org/x.safetensors into the folder"):
        model.weights()
    (moved / card.file).write_bytes(b"other")
    with pytest.raises(BenchError, match="its sha256 is"):
        model.weights(weights_dir=moved)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "short"}, "sha256"),
        ({"file": "../out.safetensors"}, "file"),
        ({"unknown": 1}, "unknown"),
        ({"training": {**VALUES["training"], "hours": -1}}, "training.hours"),
    ],
)
def test_a_wrong_card_is_one_line(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    values = {**VALUES, "sha256": "0" * 64, **change}
    (tmp_path / "card.json").write_text(json.dumps(values))
    with pytest.raises(BenchError, match=rf"^model card \S+: {says}: [^\n]+$"):
        read_card(tmp_path / "card.json")
    (tmp_path / "card.json").write_text('{"x": ')
    with pytest.raises(BenchError, match="it is damaged: Invalid JSON"):
        read_card(tmp_path / "card.json")


def test_what_half_precision_cannot_hold_is_refused() -> None:
    with pytest.raises(BenchError, match="big has values"):
        halved({"big": torch.tensor([1e6])})
    assert halved({"n": torch.tensor([3])})["n"].dtype == torch.int64


def test_what_is_shipped_is_small_and_whole() -> None:
    models = [open_model(spec) for spec in load_plugins().models.values()]
    for model in models:
        read_state(model.weights())
    files = [f for f in ROOT.rglob("weights/*") if f.suffix == ".safetensors"]
    assert {model.beside.resolve() for model in models} >= {file.resolve() for file in files}
    assert sum(file.stat().st_size for file in files) <= 48e6


def test_cards_in_a_package_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "brings_models"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("toy-a.json", "toy-a.safetensors", "other-b.json"):
        (package / "weights" / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    with forgotten():
        importlib.import_module("brings_models")
        assert models_in("brings_models", "toy") == (
            ModelSpec("a", "toy", "brings_models:weights/toy-a.json"),
        )


def names(file: Path, seeds: Sequence[int]) -> list[str]:
    """The models that a suite trains: the first seed's has its name, the others say which."""
    return [file.stem, *(f"{file.stem}-s{seed}" for seed in seeds[1:])]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_what_is_shipped_can_be_trained_again(file: Path) -> None:
    """The suite beside it asks for what its cards say was done, seed by seed."""
    registry = load_plugins()
    suite = make_suite(read_suite(file))
    (entry,), (data,) = suite.methods, suite.datasets
    spec = registry.method(file.stem.partition("-")[0])
    values = dict(spec.presets[suite.preset])
    if entry.model:
        values = open_model(registry.model(entry.full_name)).card.training.config
    config = spec.config(**{**values, **entry.config})
    for seed, title in zip(suite.seeds, names(file, suite.seeds), strict=True):
        told = open_model(registry.model(title.replace("-", "@", 1))).card.training
        assert config.model_dump(mode="json", exclude_defaults=True) == told.config
        assert (entry.budget, seed) == (told.budget, told.seed)
        assert suite.precision == told.precision or (suite.precision, told.precision) == (
            "auto",
            "fp32",
        )
        assert (data.name, data.size, data.config) == (told.dataset, told.size, told.dataset_config)
        assert bool(told.begun_with) == bool(entry.model)


def test_every_model_that_is_shipped_has_its_suite() -> None:
    trained = {name for file in RECIPES for name in names(file, make_suite(read_suite(file)).seeds)}
    assert trained == {file.stem for file in ROOT.glob("*/weights/*.json")}
