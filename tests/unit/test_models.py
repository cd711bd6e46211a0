"""Trained models with names: cards, weights that are what they should be, and the verbs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from bench.api import BenchError, ModelSpec, models_in
from bench.cli import app
from bench.plugins import load_plugins
from bench.storage.files import file_sha256
from bench.storage.models import Card, Model, halved, open_model, read_card, write_card
from bench.storage.weights import read_state

ROOT = Path(__file__).parents[2] / "methods"
VALUES: dict[str, Any] = {
    "name": "tiny-8",
    "method": "toy",
    "file": "toy-tiny-8.safetensors",
    "domains": ("summer", "winter"),
    "size": 8,
    "license": "MIT",
    "trained_on": "nothing at all",
    "bad_at": ("everything",),
    "training": {
        "dataset": "seasons",
        "dataset_config": {"train": 3},
        "fingerprint": "ab" * 32,
        "size": 8,
        "config": {"gen_dim": 4, "ema": 0.5},
        "budget": "10it",
        "seed": 0,
        "precision": "fp32",
        "iterations": 10,
        "hours": 0.25,
        "hardware": "a CPU",
        "version": "0.2.0",
    },
    "scores": (
        {
            "dataset": "seasons",
            "direction": "summer2winter",
            "metric": "kid",
            "value": 0.1,
            "low": 0.05,
            "high": 0.2,
            "n": 40,
            "extractor": "lite",
        },
    ),
}

PLUGIN = """
from bench.api import Config, MethodSpec, ModelSpec, hookimpl
@hookimpl
def bench_methods():
    return [MethodSpec("toy", "a toy", "toy_brings_a_model:Toy", trained=True)]
@hookimpl
def bench_models():
    return [ModelSpec("tiny-8", "toy", "toy_brings_a_model:tiny-8.toml")]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A one-file plugin, its card and its weights."""
    state = {"w": torch.linspace(-1, 1, 9)}
    save_file(halved(state), tmp_path / VALUES["file"])
    digest = file_sha256(tmp_path / VALUES["file"])
    write_card(tmp_path / "tiny-8.toml", Card.model_validate({**VALUES, "sha256": digest}))
    file = tmp_path / "toy_brings_a_model.py"
    file.write_text(PLUGIN)
    yield file
    sys.modules.pop(file.stem, None)


def read(plugin: Path, **changes: object) -> Card:
    return read_card(plugin.with_name("tiny-8.toml")).model_copy(update=changes)


def bench(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, BenchError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_a_plugin_brings_a_model(plugin: Path) -> None:
    registry = load_plugins([plugin])
    model = open_model(registry.model("toy@tiny-8"))
    card = model.card
    assert (card.title, card.domains) == ("toy@tiny-8", ("summer", "winter"))
    assert card.training.config == {"gen_dim": 4, "ema": 0.5}
    state = read_state(model.weights())
    assert state["w"].dtype == torch.float32
    assert torch.allclose(state["w"], torch.linspace(-1, 1, 9), atol=1e-3)
    with pytest.raises(BenchError, match=r"trained model of toy 'tiny-9' is unknown.*tiny-8"):
        registry.model("toy@tiny-9")


def test_the_verbs(plugin: Path) -> None:
    status, text = bench("weights", "list", "--plugin", plugin)
    assert status == 0 and "toy@tiny-8" in text and "in 0.25 h on seasons" in text
    status, text = bench("weights", "show", "toy@tiny-8", "--plugin", plugin)
    assert status == 0
    assert "gen_dim=4, ema=0.5" in text and "everything" in text and "10 iterations" in text
    assert "summer2winter" in text and "kid 0.1 [0.05, 0.2], n 40, lite" in text
    status, text = bench("weights", "verify", "--plugin", plugin, "toy@tiny-8")
    assert status == 0 and "9 numbers" in text
    assert bench("weights", "show", "toy", "--plugin", plugin)[0] == 2


def test_other_weights_are_refused(plugin: Path) -> None:
    file = plugin.with_name(VALUES["file"])
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    status, text = bench("weights", "verify", "toy@tiny-8", "--plugin", plugin)
    assert status == 2 and "is not toy@tiny-8" in text and "install the package again" in text
    file.unlink()
    status, text = bench("weights", "verify", "toy@tiny-8", "--plugin", plugin)
    assert status == 2 and "is missing" in text
    write_card(plugin.with_name("tiny-8.toml"), read(plugin, name="other"))
    status, text = bench("weights", "show", "toy@tiny-8", "--plugin", plugin)
    assert status == 2 and "is that of toy@other, not of toy@tiny-8" in text


def test_weights_that_are_not_shipped_are_pinned(plugin: Path, tmp_path: Path) -> None:
    card = read(plugin, url="https://example.org/x.safetensors")
    model = Model(card, tmp_path / "tiny-8.toml")
    moved = tmp_path / "weights"
    moved.mkdir()
    (tmp_path / card.file).rename(moved / card.file)
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
    import tomli_w

    values = {**VALUES, "sha256": "0" * 64, **change}
    (tmp_path / "card.toml").write_text(tomli_w.dumps(values))
    with pytest.raises(BenchError, match=rf"^model card \S+: {says}: [^\n]+$"):
        read_card(tmp_path / "card.toml")
    (tmp_path / "card.toml").write_text("x = ")
    with pytest.raises(BenchError, match="cannot be read"):
        read_card(tmp_path / "card.toml")


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
    for name in ("toy-a.toml", "toy-a.safetensors", "other-b.toml"):
        (package / "weights" / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert models_in("brings_models", "toy") == (
            ModelSpec("a", "toy", "brings_models:weights/toy-a.toml"),
        )
        assert models_in("bench.nn", "toy") == ()
    finally:
        sys.modules.pop("brings_models", None)
