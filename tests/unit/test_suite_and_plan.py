"""From values to a suite to trials: presets, paths, keys, what is skipped."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.api import BenchError, MethodSpec, WeightFile
from bench.cli.options import build_suite, settings_of
from bench.data.opening import select
from bench.plugins import Registry, load_plugins
from bench.storage.files import folder_name
from bench.storage.jobs import Job, read_plan, write_plan
from bench.storage.weights import sha256_of
from bench.suite.plan import Plan, make_plan
from bench.suite.presets import PRESETS
from bench.suite.schema import Suite, make_suite, read_suite, to_toml
from tests import toys


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return toys.make_folder(tmp_path / "data", count=2)


def _values(data: Path, **changes: Any) -> dict[str, Any]:
    dataset = {"name": "image_folder", "root": str(data)}
    return {"methods": ["munit"], "dataset": dataset, "size": 32, **changes}


def _plan(values: dict[str, Any], registry: Registry | None = None) -> Plan:
    suite = make_suite(values)
    assert suite.datasets[0].root is not None
    return make_plan(suite, registry or load_plugins(), suite.datasets[0].root.parent / "cache")


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_suites(preset: str) -> None:
    suite = make_suite({"preset": preset})
    assert suite.preset == preset and suite.methods


def test_toml_goes_round(tmp_path: Path) -> None:
    suite = make_suite(
        {
            "methods": ["identity", {"name": "munit", "label": "wide", "config": {"gen_dim": 8}}],
            "datasets": [
                {"name": "image_folder", "root": "data", "config": {"train": 3}},
                {"name": "seasons", "label": "small", "size": 32},
            ],
            "metric_options": {"kid": {}},
            "launchers": {"local": {"grace": 2.5}},
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
    assert suite.datasets[0].root == Path.cwd() / "data"
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
    assert suite.datasets[0].root == tmp_path / "../data"


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text("methods = ['munit', 'identity']\nsize = 64\nsamples = 2\n", "utf-8")
    suite = build_suite(
        path, size=32, settings=["munit.gen_dim=8", 'munit.init="xavier"'], methods=None
    )
    assert (suite.size, suite.samples) == (32, 2)
    assert suite.methods[0].config == {"gen_dim": 8, "init": "xavier"}
    assert suite.methods[1].config == {}


def test_a_budget_of_the_options_is_every_methods(tmp_path: Path) -> None:
    """A model has one only where it is trained on: without, it stays one that is loaded."""
    path = tmp_path / "suite.toml"
    on = "{ name = 'cyclegan@seasons-64', label = 'on', budget = '7it' }"
    methods = f"[{{ name = 'munit', budget = '9000it' }}, {on}, 'cyclegan@seasons-64', 'cut']"
    path.write_text(f"methods = {methods}\ndataset = 'seasons'\n", "utf-8")
    suite = build_suite(path, budget="100it")
    assert [entry.budget for entry in suite.methods] == ["100it", "100it", None, None]
    assert suite.budget == "100it"


def test_a_precision_of_the_options_is_every_methods(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text("methods = [{ name = 'munit', precision = 'bf16' }, 'identity']\n")
    suite = build_suite(path, precision="fp32")
    assert [entry.precision or suite.precision for entry in suite.methods] == ["fp32", "fp32"]
    suite = build_suite(path, budget="9it")
    assert [entry.precision for entry in suite.methods] == ["bf16", None]


def test_a_folder_alone_means_photographs(tmp_path: Path) -> None:
    suite = build_suite(None, data_root=tmp_path, preset="demo")
    assert (suite.datasets[0].name, suite.datasets[0].root) == ("yosemite", tmp_path)


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
        {"precision": "bf16"},
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


def test_precision_of_the_method_wins_over_the_suite(data: Path) -> None:
    half = {"name": "munit", "label": "half", "precision": "bf16"}
    plan = _plan(_values(data, methods=["munit", half], budget="9it", precision="fp32"))
    assert [job.precision for job in plan.jobs] == ["fp32", "bf16"]
    assert len({job.fit_key for job in plan.jobs}) == 2


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


# ---------------------------------------------------------------------- several datasets


def _several(data: Path, **changes: Any) -> dict[str, Any]:
    root = {"name": "image_folder", "root": str(data)}
    named = {**root, "label": "named", "config": {"domains": ["day", "night"]}}
    return {
        "methods": ["identity", "noise"], "size": 32, "datasets": [root, named | {"size": 48}],
        **changes,
    }  # fmt: skip


def test_a_trial_is_method_by_dataset_by_seed(data: Path) -> None:
    plan = _plan(_several(data, seeds=[0, 1]))
    order = [(job.seed, job.dataset_label, job.label) for job in plan.jobs]
    assert order == [
        (seed, dataset, method)
        for seed in (0, 1)
        for dataset in ("image_folder", "named")
        for method in ("identity", "noise")
    ]
    assert len({job.trial for job in plan.jobs}) == len({job.fit_key for job in plan.jobs}) == 8
    assert {(job.dataset_label, job.size) for job in plan.jobs} == {
        ("image_folder", 32), ("named", 48)
    }  # fmt: skip
    assert [job.columns["dataset"] for job in plan.jobs[:4:2]] == ["image_folder", "named"]
    assert [plan.dataset_of(job).label for job in plan.jobs[:4:2]] == ["image_folder", "named"]
    assert {name for data in plan.datasets for name in data.inputs} == {
        "a2b", "b2a", "day2night", "night2day"
    }  # fmt: skip


def test_one_dataset_twice_gives_trials_of_their_own(data: Path) -> None:
    root = {"name": "image_folder", "root": str(data)}
    plan = _plan(_several(data, datasets=[root, root | {"label": "again"}]))
    # What is fitted is the same, and taken from the cache; where it goes is not.
    assert len({job.fit_key for job in plan.jobs}) == 2
    assert len({job.trial for job in plan.jobs}) == 4


def test_dataset_alone_or_in_a_list(data: Path) -> None:
    root = {"name": "image_folder", "root": str(data)}
    base = {"methods": ["identity"]}
    assert make_suite(base | {"dataset": root}) == make_suite(base | {"datasets": [root]})
    with pytest.raises(BenchError, match="either dataset or datasets"):
        make_suite(base | {"dataset": root, "datasets": [root]})
    with pytest.raises(BenchError, match="image_folder is named twice: give each its own label"):
        make_suite(base | {"datasets": [root, root]})
    with pytest.raises(BenchError, match="datasets: name one at least"):
        make_suite(base | {"datasets": []})
    # Any label will do: its folders have a name of their own.
    for label in ("../x", ".hidden", "a b", "x" * 65):
        suite = make_suite(base | {"datasets": [root | {"label": label}]})
        assert suite.datasets[0].title == label
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", folder_name(label))


def test_what_one_dataset_cannot_do_is_skipped_there_alone(data: Path) -> None:
    seasons = {"name": "seasons", "config": {"train": 4, "test": 4, "pairs": True}}
    plan = _plan(_several(data, methods=["bicyclegan"], datasets=[
        {"name": "image_folder", "root": str(data)}, seasons
    ], size=64))  # fmt: skip
    assert [bool(job.skip) for job in plan.jobs] == [True, False]
    assert "this dataset has none" in plan.jobs[0].skip


def test_directions_are_known_by_dataset(data: Path) -> None:
    names = {
        job.dataset_label: job.directions
        for job in _plan(_several(data, directions=["a2b", "night2day"])).jobs
    }
    assert names == {"image_folder": ("a2b",), "named": ("a2b", "b2a")}
    with pytest.raises(BenchError, match="direction 'x2y' is unknown"):
        _plan(_several(data, directions=["a2b", "x2y"]))
    with pytest.raises(BenchError, match="image_folder knows none of the directions"):
        _plan(_several(data, directions=["day2night"]))


def test_pictures_made_elsewhere_belong_to_one_dataset(data: Path, tmp_path: Path) -> None:
    other = toys.make_folder(tmp_path / "other", count=1)
    for part in ("testA", "testB"):
        (other / part / "p0.png").rename(other / part / "q0.png")
    outputs = tmp_path / "theirs"
    (outputs / "a2b").mkdir(parents=True)
    (outputs / "a2b" / "p0.png").write_bytes((data / "testA" / "p0.png").read_bytes())
    datasets = [
        {"name": "image_folder", "root": str(data)},
        {"name": "image_folder", "root": str(other), "label": "other"},
    ]
    values = _several(
        data, methods=[f"outputs:{outputs}"], datasets=datasets, directions=["a2b"], test_limit=1
    )
    first, second = _plan(values).jobs
    assert first.skip == "" and "no picture belongs to an input" in second.skip
    with pytest.raises(BenchError, match="no picture belongs to an input"):
        _plan(values | {"datasets": datasets[1:]})


def test_datasets_and_their_folders_on_the_command_line(tmp_path: Path) -> None:
    suite = build_suite(None, dataset="seasons,yosemite", data_root=["yosemite=photos"])
    found = [(entry.name, entry.root) for entry in suite.datasets]
    assert found == [("seasons", None), ("yosemite", Path.cwd() / "photos")]
    with pytest.raises(BenchError, match="several datasets, write NAME=FOLDER"):
        build_suite(None, dataset="seasons,yosemite", data_root=["photos"])
    # A folder whose name has an equals sign is a folder.
    odd = build_suite(None, dataset="image_folder", data_root=["a=b/c"])
    assert odd.datasets[0].root == Path.cwd() / "a=b/c"
    path = tmp_path / "suite.toml"
    path.write_text("[[datasets]]\nname = 'image_folder'\nroot = 'here'\n", "utf-8")
    assert build_suite(path).datasets[0].root == tmp_path / "here"


# ------------------------------------------------------------------------------ options

PLUGIN = """
from bench.api import (
    Config, ExtractorSpec, LauncherSpec, MetricSpec, ReportSpec, hookimpl,
)

class Mine(Config):
    depth: int = 1

@hookimpl
def bench_metrics():
    return [MetricSpec("m_metric", "s", "json:x", "content", config=Mine)]

@hookimpl
def bench_extractors():
    return [ExtractorSpec("m_extractor", "s", "json:x", config=Mine)]

@hookimpl
def bench_launchers():
    return [LauncherSpec("m_launcher", "s", "json:x", config=Mine),
            LauncherSpec("identity", "s", "json:x", config=Mine)]

@hookimpl
def bench_reports():
    return [ReportSpec("m_report", "s", "json:x", config=Mine)]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "options_plugin.py"
    path.write_text(PLUGIN, "utf-8")
    yield path
    sys.modules.pop("options_plugin", None)


KINDS = [
    ("m_metric", "metric_options"),
    ("m_extractor", "extractors"),
    ("m_launcher", "launchers"),
    ("m_report", "reports"),
]


@pytest.mark.parametrize(("name", "kept"), KINDS)
def test_every_kind_has_options(data: Path, plugin: Path, name: str, kept: str) -> None:
    def suite(setting: str, **more: Any) -> Suite:
        return build_suite(
            None, settings=[setting], plugins=[plugin], methods="identity", data_root=data,
            dataset="image_folder", size=32, **more,
        )  # fmt: skip

    made = suite(f"{name}.depth=3")
    assert getattr(made, kept) == {name: {"depth": 3}}
    registry = load_plugins([plugin])
    job = make_plan(made, registry, data.parent / "cache").jobs[0]
    travels = {"metric_options": job.metric_options, "extractors": job.extractors}
    assert travels.get(kept, {name: {"depth": 3}}) == {name: {"depth": 3}}
    assert Job.from_json(job.to_json()) == job
    for setting, said in (
        (f"{name}.depht=3", "'depht' is unknown, did you mean 'depth'"),
        (f"{name}.depth=deep", "depth"),
    ):
        with pytest.raises(BenchError, match=f"{name}.*{said}") as error:
            make_plan(suite(setting), registry, data.parent / "cache")
        assert "\n" not in str(error.value)
    wrong = make_suite({**made.model_dump(mode="json"), kept: {"m_nothing": {}}})
    with pytest.raises(BenchError, match="'m_nothing' is unknown"):
        make_plan(wrong, registry, data.parent / "cache")


def test_options_of_what_is_not_there_or_there_twice(data: Path, plugin: Path) -> None:
    base: dict[str, Any] = {"methods": "identity", "plugins": [plugin], "data_root": data}
    with pytest.raises(BenchError, match="'m_metrik' is unknown, did you mean 'm_metric'"):
        build_suite(None, settings=["m_metrik.depth=1"], **base)
    with pytest.raises(BenchError, match="identity is a launcher and a method"):
        build_suite(None, settings=["identity.depth=1"], **base)
    both = {**base, "dataset": "seasons,yosemite", "data_root": None}
    suite = build_suite(None, settings=["seasons.train=3"], **both)
    assert [entry.config for entry in suite.datasets] == [{"train": 3}, {}]
    with pytest.raises(BenchError, match="'dataset' is unknown"):
        build_suite(None, settings=["dataset.train=3"], **both)


# ------------------------------------------------------------------------ plans of old


OLD_JOB = {
    "trial": "munit-s0-12345678", "method": "munit", "label": "wide", "config": {"dim": 8},
    "budget": "9it", "weights": None, "dataset": "seasons", "dataset_config": {"train": 3},
    "fingerprint": "f" * 64, "directions": ["a2b", "b2a"], "size": 64, "samples": 3,
    "repeats": 1, "seed": 0, "test_limit": 32, "metrics": ["kid"], "device": "auto",
    "precision": "auto", "weights_dir": "/w", "offline": True, "plugins": ["/p.py"],
    "cache": "/c", "fit_key": "k" * 64, "pretrained": "", "skip": "", "given": "",
    "allow_missing": False,
}  # fmt: skip
"""A line of plan.jsonl as version 0.1 wrote it."""


def test_a_plan_of_the_first_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "plan.jsonl").write_text(json.dumps(OLD_JOB) + "\n", "utf-8")
    (job,) = read_plan(tmp_path)
    for name, value in OLD_JOB.items():
        found = getattr(job, name)
        assert (list(found) if isinstance(found, tuple) else found) == value, name
    assert job.dataset_label == "seasons"
    write_plan(tmp_path, [job])
    assert read_plan(tmp_path) == [job]
    moved = job.elsewhere(metrics=("fid",), device="cpu", weights_dir="/v")
    assert (moved.metrics, moved.device, moved.weights_dir) == (("fid",), "cpu", "/v")
    assert moved.method_part == job.method_part


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\x01", b"{", b"[1]\n", b"null\n", b"{}\n", b'{"method": "x"}\n', b"7"]
)
def test_a_damaged_plan_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.jsonl").write_bytes(content)
    with pytest.raises(BenchError, match=r"plan\.jsonl is damaged") as error:
        read_plan(tmp_path)
    assert "\n" not in str(error.value)


def test_points_of_a_learning_curve() -> None:
    suite = make_suite({"methods": ["identity"], "score_at": ["9it", "100it"]})
    assert suite.points("100it") == (9,) and suite.points("60s") == (9, 100)
    assert suite.points("") == ()
    for text, says in [
        ("5m", "write iterations, as in 4000it, not 5m"),
        ("soon", "not understood"),
    ]:
        with pytest.raises(BenchError, match=f"score_at: {says}|{says}"):
            make_suite({"methods": ["identity"], "score_at": [text]})


@pytest.mark.parametrize(
    ("device", "gpu", "settled"),
    [("cpu", True, "fp32"), ("cuda", False, "tf32"), ("auto", False, "fp32")],
)
def test_precision_is_settled_by_what_a_suite_asks_for(
    device: str, gpu: bool, settled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login node has no GPU, and its keys are those of the worker that has one."""
    monkeypatch.setattr("bench.suite.plan._may_have_gpu", lambda: gpu)
    dataset = {"name": "seasons", "config": {"size": 32, "train": 1, "test": 1}}
    values = {"methods": ["identity"], "dataset": dataset, "size": 32, "device": device}
    keys = {}
    for precision in ("auto", settled, "bf16"):
        suite = make_suite({**values, "precision": precision})
        (job,) = make_plan(suite, load_plugins(), tmp_path / "cache").jobs
        assert job.precision == (settled if precision == "auto" else precision)
        keys[precision] = job.fit_key
    assert keys["auto"] == keys[settled] != keys["bf16"]


@pytest.mark.parametrize(
    ("preset", "device", "told"),
    [("paper", "auto", True), ("paper", "cpu", False), ("quick", "auto", False)],
)
def test_a_preset_for_gpus_says_that_there_is_none(
    preset: str, device: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.suite.plan._may_have_gpu", lambda: False)
    dataset = {"name": "seasons", "config": {"size": 32, "train": 1, "test": 1}}
    values = {"methods": ["identity"], "dataset": dataset, "size": 32}
    said: list[str] = []
    suite = make_suite({**values, "preset": preset, "device": device})
    make_plan(suite, load_plugins(), tmp_path / "cache", progress=said.append)
    assert any("no GPU was found" in text for text in said) == told
