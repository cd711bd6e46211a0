"""Trained models for tests: a one-file plugin that brings one of MUNIT's, too small to be good."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench.api import Context
from bench.storage.files import file_sha256
from bench.storage.models import Card, halved, write_card
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT

TINY = {"gen_dim": 2, "mlp_dim": 4, "n_res": 1, "style_dim": 3}

VALUES: dict[str, Any] = {
    "name": "tiny-16",
    "method": "munit",
    "file": "munit-tiny-16.safetensors",
    "domains": ("summer", "winter"),
    "size": 16,
    "license": "MIT",
    "trained_on": "nothing at all",
    "bad_at": ("everything",),
    "training": {
        "dataset": "seasons",
        "dataset_config": {"train": 3},
        "fingerprint": "ab" * 32,
        "size": 16,
        "config": {**TINY, "ema": 0.5, "crop_size": None},
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
    "curve": tuple(
        {
            "dataset": "seasons",
            "direction": "summer2winter",
            "metric": "kid",
            "value": value,
            "iteration": iteration,
            "core_hours": iteration / 40,
        }
        for iteration, value in ((5, 0.3), (10, 0.123))
    ),
}

_PLUGIN = """
from bench.api import hookimpl, models_in
@hookimpl
def bench_models():
    return models_in(__name__, "munit")
"""


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with changes, also in their tables."""
    return {
        **values,
        **{
            key: merged(values[key], value) if isinstance(value, Mapping) else value
            for key, value in changes.items()
        },
    }


def write_model(folder: Path, *, plugin: str = "brings_models", **changes: Any) -> Path:
    """A card and its weights in ``folder/weights``, and the plugin that brings them: its file."""
    values = merged(VALUES, changes)
    values["file"] = f"{values['method']}-{values['name']}.safetensors"
    weights = folder / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    method = MUNIT(MUNITConfig(**TINY), Context(torch.device("cpu"), seed=len(values["name"])))
    save_file(halved(method.state_dict()), weights / values["file"])
    digest = file_sha256(weights / values["file"])
    card = Card.model_validate({**values, "sha256": digest})
    write_card((weights / values["file"]).with_suffix(".json"), card)
    file = folder / f"{plugin}.py"
    file.write_text(_PLUGIN)
    return file


@contextmanager
def forgotten(*modules: str) -> Iterator[None]:
    """One-file plugins are modules; afterwards others may have their names."""
    yield
    for name in modules or ("brings_models",):
        sys.modules.pop(name, None)
