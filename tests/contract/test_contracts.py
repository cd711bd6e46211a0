"""The contract kit over every plugin that is registered."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.api import WeightFile
from bench.metrics.score import available
from bench.plugins import GROUP, Registry, load_plugins
from bench.storage.weights import find
from bench.testing import (
    check_dataset,
    check_extractor,
    check_launcher,
    check_light,
    check_method,
    check_metric,
    check_report,
    check_spec,
)
from tests import tables, toys
from tests.factories import make_run

REGISTRY: Registry = load_plugins()
KINDS = ("methods", "datasets", "metrics", "extractors", "reports", "launchers")

_RESNET = {"ngf": 4, "ndf": 4, "n_blocks": 1, "n_layers_d": 2, "load": None, "crop": None}
_CUT = _RESNET | {"head_width": 4, "num_patches": 8}

# The smallest configuration of each method; baselines need none.
TINY: Mapping[str, Mapping[str, Any]] = {
    "munit": {
        "gen_dim": 4,
        "mlp_dim": 8,
        "style_dim": 2,
        "n_res": 1,
        "dis_dim": 4,
        "dis_n_layer": 2,
        "dis_num_scales": 1,
        "crop_size": 32,
    },
    "cyclegan": _RESNET | {"pool_size": 2},
    "bicyclegan": {
        "ngf": 4,
        "ndf": 4,
        "nef": 4,
        "nz": 2,
        "depth": 5,
        "n_blocks_e": 2,
        "n_scales_d": 1,
        "n_layers_d": 2,
        "load": None,
        "crop": None,
    },
    "cut": _CUT,
    "fastcut": _CUT,
    "neural_style": {"recipe": "fast", "iterations": 3},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: threads cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _need(files: Sequence[WeightFile], name: str) -> None:
    if files and not any(find(file, weights_dir=None, offline=True) for file in files):
        pytest.skip(f"none of the pretrained weights of {name} is on this machine")


def test_every_installed_plugin_loads() -> None:
    assert REGISTRY.broken == []
    for kind in KINDS:
        assert getattr(REGISTRY, kind), kind


def test_specs_are_light() -> None:
    check_light([entry.value for entry in importlib.metadata.entry_points(group=GROUP)])


@pytest.mark.parametrize("kind", KINDS)
def test_specs(kind: str) -> None:
    for spec in getattr(REGISTRY, kind).values():
        check_spec(spec)


@pytest.mark.parametrize("name", sorted(REGISTRY.methods))
def test_method(name: str, tmp_path: Path) -> None:
    spec = REGISTRY.methods[name]
    _need(spec.weights, name)
    check_method(spec, tmp_path, config=TINY.get(name))


@pytest.mark.parametrize("name", sorted(REGISTRY.datasets))
def test_dataset(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    config: dict[str, Any] = {}
    if name == "image_folder":
        config = {"root": str(toys.make_folder(tmp_path / "data"))}
    elif name == "yosemite":
        config = {"root": str(request.getfixturevalue("yosemite_root"))}
    elif name == "seasons":
        config = {"size": 32, "train": 3, "test": 2}
    elif name == "hf":
        config = {"root": str(tables.by_label(tmp_path / "data")), "label": "season"}
        config["domains"] = ("summer", "winter")
    elif name == "webdataset":
        config = {"root": str(tables.shards(tmp_path / "data")), "label": "cls"}
        config |= {"train_shards": "train-{0..1}.tar", "domains": ("summer", "winter")}
    check_dataset(REGISTRY.datasets[name], tmp_path / "cache", config=config)


def test_paired_folder(tmp_path: Path) -> None:
    config = {"root": str(toys.make_folder(tmp_path / "data")), "paired": True}
    spec = REGISTRY.datasets["image_folder"]
    check_dataset(spec, tmp_path / "cache", config=config)


@pytest.mark.parametrize("name", sorted(REGISTRY.metrics))
def test_metric(name: str, tmp_path: Path) -> None:
    spec = REGISTRY.metrics[name]
    (found,) = available([spec], REGISTRY.extractors, weights_dir=None, offline=True)
    if found.reason:
        pytest.skip(found.reason)
    check_metric(spec, cache=tmp_path)


@pytest.mark.parametrize("name", sorted(REGISTRY.extractors))
def test_extractor(name: str) -> None:
    spec = REGISTRY.extractors[name]
    for file in spec.weights:
        _need([file], name)
    check_extractor(spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REGISTRY.reports))
def test_report(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    spec = REGISTRY.reports[name]
    check_report(spec, run, tmp_path / "run" / "report", twice=spec.default)


def test_the_local_launcher(tmp_path: Path) -> None:
    check_launcher(REGISTRY.launchers["local"], tmp_path)
