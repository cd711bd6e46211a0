"""From values to a suite to trials: presets, paths, keys, what is skipped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bench.api import BenchError, MethodSpec, WeightFile
from bench.cli.options import build_suite, settings_of
from bench.data.job import Job, select
from bench.plugins import Registry, load_plugins
from bench.storage.weights import sha256_of
from bench.suite.plan import Plan, make_plan
from bench.suite.schema import PRESETS, Suite, make_suite, read_suite, to_toml
from tests import toys


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return toys.make_folder(tmp_path / "data", count=2)


def _values(data: Path, **changes: Any) -> dict[str, Any]:
    dataset = {"name": "image_folder", "root": str(data)}
    return {"methods": ["munit"], "dataset": dataset, "size": 32, **changes}


def _plan(values: dict[str, Any], registry: Registry | None = None) -> Plan:
    cache = Path(values["dataset"]["root"]).parent / "cache"
    return make_plan(make_suite(values), registry or load_plugins(), cache)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_suites(preset: str) -> None:
    suite = make_suite({"preset": preset})
    assert suite.preset == preset and suite.methods


def test_toml_goes_round(tmp_path: Path) -> None:
    suite = make_suite(
        {
            "methods": ["identity", {"name": "munit", "label": "wide", "config": {"gen_dim": 8}}],
            "dataset": {"name": "image_folder", "root": "data", "config": {"train": 3}},
            "seeds": [1, 2],
            "weights_dir": "~/weights",
            "plugins": ["mine.py"],
        }
    )
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "suite.toml"
    path.write_text(to_toml(suite), "utf-8")
    # Wherever it is kept and read from: a resumed run must find its folders again.
    assert make_suite(read_suite(path)) == suite
    assert suite.dataset.root == Path.cwd() / "data"
    assert suite.weights_dir == Path.home() / "weights"


def test_paths_of_a_suite_file_are_read_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(
        "weights_dir = 'w'\nplugins = ['p.py', '/abs/q.py']\n"
        "methods = ['identity', {name = 'munit', weights = 'm.pt'}]\n"
        "[dataset]\nname = 'image_folder'\nroot = '../data'\n",
        "utf-8",
    )
    suite = make_suite(read_suite(path))
    assert suite.weights_dir == tmp_path / "w"
    assert suite.plugins == (tmp_path / "p.py", Path("/abs/q.py"))
    assert suite.methods[1].weights == tmp_path / "m.pt"
    assert suite.dataset.root == tmp_path / "../data"


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text("methods = ['munit', 'identity']\nsize = 64\nsamples = 2\n", "utf-8")
    suite = build_suite(
        path, size=32, settings=["munit.gen_dim=8", 'munit.init="xavier"'], methods=None
    )
    assert (suite.size, suite.samples) == (32, 2)
    assert suite.methods[0].config == {"gen_dim": 8, "init": "xavier"}
    assert suite.methods[1].config == {}


def test_a_folder_alone_means_photographs(tmp_path: Path) -> None:
    suite = build_suite(None, data_root=tmp_path, preset="demo")
    assert (suite.dataset.name, suite.dataset.root) == ("yosemite", tmp_path)


def test_settings_are_toml_values() -> None:
    given = settings_of(["a=1", "b=0.5", "c=true", "d=text", "e=[1, 2]", 'f="1"', "g=a=b"])
    assert given == {
        "a": 1, "b": 0.5, "c": True, "d": "text", "e": [1, 2], "f": "1", "g": "a=b"
    }  # fmt: skip


def test_jobs_travel_as_json(data: Path) -> None:
    plan = _plan(_values(data, metrics=["kid"], directions=["b2a"]))
    for job in plan.jobs:
        assert Job.from_json(job.to_json()) == job
        assert "\n" not in job.to_json()


def _key(data: Path, **changes: Any) -> str:
    return _plan(_values(data, **changes)).jobs[0].fit_key


def test_what_enters_a_key_and_what_does_not(data: Path, tmp_path: Path) -> None:
    plain = _key(data, budget="9it")
    assert _key(data, budget="9it") == plain
    same: list[dict[str, Any]] = [
        {"timeout": 5.0},
        {"workers": 2},
        {"name": "other"},
        {"methods": ["identity", "munit"]},
        {"methods": [{"name": "munit", "label": "x"}]},
        {"device": "cpu"},
        {"metrics": []},
        {"directions": ["a2b"]},
        {"samples": 7},
        {"test_limit": 1},
    ]
    for change in same:
        plan = _plan(_values(data, budget="9it", **change))
        assert plan.jobs[-1].fit_key == plain, change
    other: list[dict[str, Any]] = [
        {"budget": "8it"},
        {"budget": "9s"},
        {"seeds": [1]},
        {"size": 48},
        {"precision": "fp32"},
        {"methods": [{"name": "munit", "config": {"gen_dim": 8}}]},
    ]
    for change in other:
        assert _plan(_values(data, **{"budget": "9it", **change})).jobs[0].fit_key != plain, change
    moved = data.rename(tmp_path / "moved")
    (moved / "trainA" / "p0.png").rename(moved / "trainA" / "renamed.png")
    assert _key(moved, budget="9it") == plain
    (moved / "trainA" / "renamed.png").unlink()
    assert _key(moved, budget="9it") != plain


def test_seconds_depend_on_the_device(data: Path) -> None:
    assert _key(data, budget="9s", device="cpu") != _key(data, budget="9s", device="auto")


def test_pretrained_weights_enter_the_key(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "best.bin").write_bytes(b"best")
    files = (
        WeightFile("best.bin", sha256_of(folder / "best.bin"), "tests"),
        WeightFile("other.bin", "0" * 64, "tests", url="https://example.invalid/other.bin"),
    )
    registry = load_plugins()
    spec = dataclasses.replace(registry.methods["identity"], weights=files)
    registry.methods["identity"] = spec
    values = _values(data, methods=["identity"], offline=True)
    without = _plan(values, registry).jobs[0].fit_key
    beside = _plan({**values, "weights_dir": str(folder)}, registry).jobs[0].fit_key
    online = _plan({**values, "offline": False}, registry).jobs[0].fit_key
    assert len({without, beside, online}) == 3
    (folder / "best.bin").write_bytes(b"tampered")
    with pytest.raises(BenchError, match=r"best\.bin is not best\.bin"):
        _plan({**values, "weights_dir": str(folder)}, registry)


def test_trained_weights_bring_their_own_configuration(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "munit.pt"
    weights.write_bytes(b"1")
    entry = {"name": "munit", "weights": str(weights), "config": {"beta1": 0.9}}
    job = _plan(_values(data, methods=[entry])).jobs[0]
    assert (job.config, job.budget, job.weights) == ({"beta1": 0.9}, "", str(weights))
    before = job.fit_key
    weights.write_bytes(b"22")
    assert _plan(_values(data, methods=[entry])).jobs[0].fit_key != before


def test_trial_names_are_unique_and_safe(data: Path) -> None:
    labels = ["a b", "a-b", "a/b", "../x", "ü" * 5, "x" * 60 + "1", "x" * 60 + "2", "<script>"]
    methods = [{"name": "identity", "label": label} for label in labels]
    names = [job.trial for job in _plan(_values(data, methods=methods, seeds=[0, 1])).jobs]
    assert len(set(names)) == 2 * len(labels)
    for name in names:
        assert "/" not in name and not name.startswith((".", "-")) and len(name) < 64


def test_what_cannot_run_is_skipped_with_a_reason(data: Path) -> None:
    registry = load_plugins()
    registry.methods["oneway"] = MethodSpec("oneway", "s", "json:x", directions=("a2b",))
    plan = _plan(_values(data, methods=["bicyclegan", "oneway", "identity"]), registry)
    reasons = [job.skip for job in plan.jobs]
    assert "trains on pairs" in reasons[0]
    assert "cannot go b2a" in reasons[1]
    assert reasons[2] == ""


def test_deterministic_methods_draw_once_and_count_as_often(data: Path) -> None:
    plan = _plan(_values(data, methods=["munit", "identity"], samples=5, budget="9it"))
    assert [(job.samples, job.repeats) for job in plan.jobs] == [(5, 1), (1, 5)]


def test_budget_of_the_method_wins_over_the_suite(data: Path) -> None:
    methods = ["munit", {"name": "munit", "label": "short", "budget": "2m"}, "identity"]
    plan = _plan(_values(data, methods=methods, budget="9it"))
    assert [job.budget for job in plan.jobs] == ["9it", "120s", ""]


def test_select_spreads_evenly() -> None:
    items = list(range(10))
    assert select(items, None) == select(items, 10) == select(items, 99) == items  # type: ignore[arg-type]
    assert select(items, 3) == [0, 3, 6]  # type: ignore[arg-type]
    for limit in range(1, 11):
        chosen = select(items, limit)  # type: ignore[arg-type]
        assert len(set(chosen)) == limit and chosen == sorted(chosen)  # type: ignore[type-var]


def test_suite_is_closed() -> None:
    with pytest.raises(BenchError, match="did you mean 'seeds'"):
        make_suite({"sedes": [1]})
    assert json.loads(make_suite({}).model_dump_json())["preset"] == "demo"
    assert isinstance(make_suite({}), Suite)
