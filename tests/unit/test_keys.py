"""Which cached results an edit of the source makes stale, file by file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import code
from bench.code import SHARED, plugin_modules
from bench.execution.stages import score, time, translate
from bench.execution.workspace import Workspace
from bench.metrics.declared.extractors import EFFICIENTNET
from bench.plugins import load_plugins
from bench.suite import plan
from bench.suite.schema import make_suite
from bench.training.key import JUDGE, fit_key
from bench_seasons.dataset import code_version

ROOT = Path(code.__file__).parents[1]
FILES = sorted(
    file.relative_to(ROOT).as_posix()
    for folder in ("bench", "methods", "datasets", "reports")
    for file in (ROOT / folder).rglob("*.py")
)
Keys = dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Keys]:
    """Gives the keys of all stages of a few trials, as the sources are when it is called."""
    root = tmp_path_factory.mktemp("keys")
    registry = load_plugins()
    suite = make_suite(
        {
            "methods": [
                {"name": "munit", "label": "best", "budget": "9it", "config": {"keep": "best"}},
                {"name": "cyclegan", "budget": "9it"},
                "color_transfer",
            ],
            "dataset": {"name": "seasons", "config": {"size": 32, "train": 2, "test": 2}},
            "size": 32,
            "samples": 2,
            "device": "cpu",
            "offline": True,
        }
    )
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "fit_key", lambda *a, **k: asked.append((a, k)) or fit_key(*a, **k))
        jobs = plan.make_plan(suite, registry, root / "cache").jobs
    spaces = [Workspace(job, root / "run", registry, lambda _: None) for job in jobs]

    def all_keys() -> Keys:
        found: Keys = {}
        for workspace, (args, options) in zip(spaces, asked, strict=True):
            workspace.job = replace(workspace.job, fit_key=fit_key(*args, **options))
            (direction, _) = workspace.directions
            made = translate.key(workspace, direction)
            found[workspace.job.label] = {
                "fit": workspace.job.fit_key,
                "translate": made,
                "score": score.key(workspace, direction, made),
                "time": time.key(workspace, translate.Translated((made,), cached=False)),
            }
        return found

    return all_keys


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Files that read as something else: put in by name."""
    edited: dict[str, bytes] = {}
    sources = {ROOT / name: (ROOT / name).read_bytes() for name in FILES}

    def source_of(file: Path) -> bytes:
        return edited.get(file.relative_to(ROOT).as_posix(), sources[file])

    monkeypatch.setattr(code, "source_of", source_of)
    yield edited


def stale(before: Keys, now: Keys) -> dict[str, str]:
    """For each trial the stages whose key is another one, as ``fit translate score time``."""
    return {
        label: " ".join(stage for stage, key in stages.items() if now[label][stage] != key)
        for label, stages in before.items()
    }


# ------------------------------------------------------------------------------ comments

WORDS = '"""Other words, and # no comment."""'


def reworded(source: str) -> str:
    """The same program with every docstring rewritten and comments here and there."""
    lines = source.splitlines()
    for node in sorted(ast.walk(ast.parse(source)), key=lambda n: -getattr(n, "lineno", 0)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first, last = lines[node.lineno - 1], node.end_lineno
            if isinstance(node.value.value, str) and not first[: node.col_offset].strip():
                words = " " * node.col_offset + WORDS
                lines[node.lineno - 1 : last] = ["", words + "  # and a comment"]
    return "\n".join(["# A comment.", *lines, "", "# Another.", WORDS, ""])


def test_no_comment_or_docstring_makes_anything_stale(
    keys: Callable[[], Keys], edit: dict[str, bytes]
) -> None:
    before, rendered = keys(), code_version()
    for name in FILES:
        source = (ROOT / name).read_text("utf-8")
        edit[name] = reworded(source).encode()
        assert WORDS in edit[name].decode()
        compile(edit[name], name, "exec")
    assert len(edit) > 150
    assert stale(before, keys()) == dict.fromkeys(before, "")
    assert code_version() == rendered  # the pictures of this dataset are cached, too


# ---------------------------------------------------------------------------------- code

ALL, MADE, SCORE, TIME, NONE = (
    "fit translate score time",
    "translate score time",
    "score",
    "time",
    "",
)

STALE: dict[str, tuple[str, str, str]] = {
    # A file: what it makes stale of MUNIT that keeps its best weights (which the judge names),
    # of CycleGAN, and of a baseline that is not trained. Of all other files: nothing.
    "bench/execution/workspace.py": (ALL, ALL, MADE),
    "bench/execution/stages/fit.py": (ALL, ALL, NONE),
    "bench/execution/stages/translate.py": (MADE, MADE, MADE),
    "bench/execution/stages/score.py": (SCORE, SCORE, SCORE),
    "bench/execution/stages/time.py": (TIME, TIME, TIME),
    "bench/devices.py": (TIME, TIME, TIME),
    "bench/data/encoding.py": (NONE, NONE, ALL),
    "bench/data/images.py": (ALL, ALL, ALL),
    "bench/stats.py": (ALL, SCORE, SCORE),
    "bench/training/averages.py": (ALL, ALL, NONE),
    "bench/training/config.py": (ALL, ALL, NONE),
    "bench/training/loop.py": (ALL, ALL, NONE),
    "bench/training/trainer.py": (ALL, ALL, NONE),
    "bench/training/capture.py": (ALL, ALL, NONE),
    "bench/training/compiling.py": (ALL, NONE, NONE),
    "bench/training/pool.py": (NONE, ALL, NONE),
    "bench/training/resnet_method.py": (NONE, ALL, NONE),
    "bench/training/sampling.py": (ALL, ALL, NONE),
    "bench/training/seeding.py": (ALL, ALL, ALL),
    "bench/training/transfer.py": (ALL, ALL, NONE),
    "bench/training/tuning.py": (ALL, ALL, NONE),
    "bench/training/watch.py": (ALL, ALL, NONE),
    "bench/nn/antialias.py": (ALL, ALL, NONE),
    "bench/nn/init.py": (ALL, ALL, ALL),
    "bench/nn/layers.py": (ALL, ALL, NONE),
    "bench/nn/losses.py": (ALL, ALL, NONE),
    "bench/nn/norms.py": (ALL, ALL, NONE),
    "bench/nn/padding.py": (MADE, MADE, MADE),
    "bench/nn/patch.py": (NONE, ALL, NONE),
    "bench/nn/precision.py": (ALL, ALL, MADE),
    "bench/nn/published.py": (ALL, SCORE, SCORE),
    "bench/nn/resnet.py": (NONE, ALL, NONE),
    "bench/nn/sharing.py": (ALL, ALL, NONE),
    "bench/nn/state.py": (ALL, ALL, NONE),
    "bench/nn/upsample.py": (ALL, ALL, NONE),
    "bench/nn/vgg.py": (ALL, SCORE, SCORE),
    "bench/nn/winograd.py": (ALL, ALL, NONE),
    "bench/metrics/judge.py": (ALL, NONE, NONE),
    "bench/metrics/kid.py": (ALL, SCORE, SCORE),
    "bench/metrics/extractors/efficientnet.py": (ALL, SCORE, SCORE),
    **{
        f"bench/metrics/{name}.py": (SCORE, SCORE, SCORE)
        for name in (
            *("content", "context", "fid", "layers", "manifest", "networks", "perceptual", "prc"),
            *(
                "classifier",
                "score",
                "season",
                "truth",
                "extractors/inception",
                "extractors/perceptual",
            ),
            *("scales", "extractors/similarity"),
        )
    },
    # The dataset's pictures are in the keys as they are; what their pixels show, its code says.
    **{name: (SCORE, SCORE, SCORE) for name in FILES if name.startswith("datasets/bench_seasons/")},
    **{name: (ALL, NONE, NONE) for name in FILES if name.startswith("methods/bench_munit/")},
    **{name: (NONE, ALL, NONE) for name in FILES if name.startswith("methods/bench_cyclegan/")},
    **{name: (NONE, NONE, ALL) for name in FILES if name.startswith("methods/bench_baselines/")},
}


def changed(name: str) -> bytes:
    return (ROOT / name).read_bytes() + b"\n_CHANGED = 1\n"


def test_code_makes_stale_what_it_can_change(
    keys: Callable[[], Keys], edit: dict[str, bytes]
) -> None:
    assert STALE.keys() <= set(FILES)
    before = keys()
    found = {}
    for name in STALE:
        edit.clear()
        edit[name] = changed(name)
        found[name] = tuple(stale(before, keys()).values())
    assert found == STALE


def test_another_renderer_renders_again(edit: dict[str, bytes]) -> None:
    before = code_version()
    edit["datasets/bench_seasons/sheet.py"] = changed("datasets/bench_seasons/sheet.py")
    assert code_version() == before
    edit["datasets/bench_seasons/shade.py"] = changed("datasets/bench_seasons/shade.py")
    assert code_version() != before


def test_no_other_code_makes_anything_stale(
    keys: Callable[[], Keys], edit: dict[str, bytes]
) -> None:
    before = keys()
    others = [name for name in FILES if name not in STALE]
    for name in others:
        edit[name] = changed(name)
    for folder in ("reports", "bench/launchers", "bench/cli", "bench/analysis", "bench/suite"):
        assert any(name.startswith(folder) for name in others), folder
    assert {"bench/execution/trial.py", "bench/execution/results.py"} <= set(others)
    assert stale(before, keys()) == dict.fromkeys(before, "")


# ----------------------------------------------------------------- what keys rely upon


def imports(file: Path) -> set[str]:
    """The modules of the harness that a file imports to run; not those it names in types alone."""
    tree = ast.parse(file.read_bytes())
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                known = (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
                found.add(module if known else node.module)
    return {name for name in found if name.split(".")[0] == "bench"}


def test_what_a_method_computes_with_is_followed() -> None:
    """What else it imports changes no number: contracts, and what reads files named in keys."""
    harmless = {
        *("bench.api", "bench.storage.weights", "bench.storage.files"),
        *("bench.data.folder", "bench.data.names"),
    }
    for file in (ROOT / "methods").rglob("*.py"):
        for name in imports(file):
            assert name in harmless or name.startswith(SHARED), f"{file} imports {name}"


def test_the_judge_is_what_its_code_says() -> None:
    used = imports(ROOT / "bench" / "metrics" / "judge.py")
    # What finds and builds its one network is not what the network and KID compute.
    found = {"bench.metrics.networks", "bench.metrics.declared.extractors"}
    judges = {"bench.metrics.judge", plugin_modules(EFFICIENTNET.implementation)}
    assert {name for name in used if name.startswith("bench.metrics.")} - found == (
        set(JUDGE) - judges
    )
    assert judges < set(JUDGE)
