"""The kit passes what is sound and names each broken promise."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ConfigDict

from bench.api import Column, Config, DatasetSpec, MethodSpec, MetricSpec
from bench.plugins import load_plugins
from bench.testing import check_dataset, check_light, check_method, check_spec


def _method(name: str, **traits: object) -> MethodSpec:
    return MethodSpec(name.lower(), "a test", f"tests.contract.broken:{name}", **traits)  # type: ignore[arg-type]


def test_sound_methods_pass(tmp_path: Path) -> None:
    check_method(_method("Sound", multimodal=True), tmp_path)
    check_method(_method("Trained", trained=True, budgets={"demo": "9it"}), tmp_path)


def test_the_template_of_a_plugin_keeps_the_contract(tmp_path: Path) -> None:
    from bench.cli.new import method

    method("my_first_method", tmp_path)
    registry = load_plugins([tmp_path / "my_first_method.py"])
    spec = registry.method("my_first_method")
    check_spec(spec)
    check_method(spec)
    del sys.modules["my_first_method"]


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("LooksAtNeighbours", "depends on its neighbours"),
        ("ForgetsSeeds", "the same seeds give other outputs"),
        ("IgnoresSeeds", "it is multimodal, and seeds do nothing"),
        ("CountsSamples", "depends on its place among the samples|depends on its neighbours"),
        ("LeavesRange", r"leave \[0, 1\]"),
        ("GivesNaN", "not finite"),
        ("WrongShape", "gave shape"),
        ("ChangesInput", "changes its input"),
        ("Trained", "it has fit, and is declared untrained"),
    ],
)
def test_broken_methods_are_named(name: str, promise: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=promise) as error:
        check_method(_method(name, multimodal=True), tmp_path)
    assert str(error.value).startswith(name.lower())


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("DrawsFromGlobalState", "interrupted and resumed ends with another"),
        ("KeepsNoCheckpoint", "keeps no checkpoint"),
        ("LosesItsState", "does not bring the outputs back"),
        ("TakesAnyState", "takes a state of another model"),
        ("OtherWeights", "from_weights gives another method"),
        ("SwallowsOptions", "takes options that do not exist"),
    ],
)
def test_broken_training_is_named(name: str, promise: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_method(_method(name, trained=True, budgets={"demo": "9it"}), tmp_path)


def test_deterministic_method_whose_samples_differ(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it is deterministic, and samples differ"):
        check_method(_method("Sound"), tmp_path)


def _dataset(name: str, **traits: object) -> DatasetSpec:
    return DatasetSpec(name.lower(), "a test", f"tests.contract.broken:{name}", **traits)  # type: ignore[arg-type]


def test_sound_dataset_passes(tmp_path: Path) -> None:
    check_dataset(_dataset("Stripes"), tmp_path)
    check_dataset(_dataset("Stripes"))


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("SameNames", "the domains are called"),
        ("UnsafeIds", "not safe as a folder name"),
        ("EmptySplit", "test a: it is empty"),
        ("ChangesItsMind", "a second instance differs"),
        ("ShuffledSplit", "the order is not fixed"),
        ("FlickeringPictures", "looks different the second time"),
        ("UndeclaredPairs", "not declared so"),
    ],
)
def test_broken_datasets_are_named(name: str, promise: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_dataset(_dataset(name), tmp_path)


class _Loose(Config):
    model_config = ConfigDict(extra="allow")


class _Strict(Config):
    width: int = 1


def _metric(*columns: str) -> MetricSpec:
    return MetricSpec("x", "s", "a:B", "content", gives=tuple(map(Column, columns)))


@dataclass
class _Thawed:
    name: str = "thawed"
    summary: str = "a spec that can be changed"
    implementation: str = "a:B"


@pytest.mark.parametrize(
    ("spec", "promise"),
    [
        (MethodSpec("Upper", "s", "a:B"), "lower case"),
        (MethodSpec("x", "two\nlines", "a:B"), "one line"),
        (MethodSpec("x", "s", "a.B"), "module:attribute"),
        (MethodSpec("x", "s", "a:B", config=_Loose), "accepts options it does not know"),
        (
            MethodSpec("x", "s", "a:B", config=_Strict, presets={"demo": {"widht": 2}}),
            "preset demo is refused: .*widht",
        ),
        (MethodSpec("x", "s", "a:B", presets={"fast": {}}), "preset 'fast' does not exist"),
        (MethodSpec("x", "s", "a:B", directions=("a2c",)), "directions are"),
        (MethodSpec("x", "s", "a:B", trained=True), "budgets belong"),
        (_Thawed(), "not frozen"),
        (_metric("x_floor"), "no column has the metric's own name"),
        (_metric("x", "x"), "two columns have one name"),
        (_metric("x", "x*"), "lower case"),
        (MetricSpec("x", "s", "a:B", "content", unit="s", gives=(Column("x"),)), "unit and better"),
    ],
)
def test_broken_specs_are_named(spec: MethodSpec, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_spec(spec)


def test_heavy_plugin_module_is_named() -> None:
    with pytest.raises(AssertionError, match=r"bench\.training\.loop: .* imports torch"):
        check_light(["bench.api", "bench.training.loop"])
