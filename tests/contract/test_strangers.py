"""Plugins of strangers, each as one file: those that docs/plugins.md shows, as they stand there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bench.api import Rule
from bench.plugins import Registry, load_plugins, make_config
from bench.testing import check_launcher, check_method, check_report, check_spec
from tests import toys
from tests.factories import make_run

_PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
_FILES = {
    match[2]: match[1]
    for match in re.finditer(
        r'^```python\n("""(\w+)\.py: .*?)^```$', _PAGE.read_text("utf-8"), re.M | re.S
    )
}

Load = Callable[[str], Registry]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a file of the page and load it, as ``--plugin`` does."""
    loaded = []

    def one(name: str) -> Registry:
        path = tmp_path / f"{name}.py"
        path.write_text(_FILES[name], "utf-8")
        loaded.append(name)
        return load_plugins([path])

    yield one
    for name in loaded:
        sys.modules.pop(name, None)


def test_the_page_shows_a_file_of_each_kind() -> None:
    assert _FILES.keys() >= {"warm", "tint", "grey", "podium"}


def test_a_method(load: Load, tmp_path: Path) -> None:
    spec = load("warm").method("warm")
    check_spec(spec)
    check_method(spec, tmp_path / "work", config={"strength": 0.2})


def test_a_method_with_a_training_loop_of_its_own(load: Load, tmp_path: Path) -> None:
    spec = load("tint").method("tint")
    check_spec(spec)
    check_method(spec, tmp_path / "work")


def test_a_baseline_with_a_rule_of_its_own(load: Load, tmp_path: Path) -> None:
    spec = load("grey").method("grey")
    check_spec(spec)
    check_method(spec, tmp_path / "work")
    assert spec.rules == (
        Rule("lpips_diversity", "equals", 0.0, "it has one output for each input"),
        Rule("kid", "above", "real_target", "real pictures are nearer to real ones"),
    )


def test_a_report_with_an_option(load: Load, tmp_path: Path) -> None:
    spec = load("podium").report("podium")
    check_spec(spec)
    run = make_run(tmp_path / "run", pictures=False)
    kid = run.measurements[run.measurements["metric"] == "kid"].groupby("method")["value"].mean()
    made = check_report(spec, run, tmp_path / "run" / "report", config={"places": 1})
    assert made.read_text("utf-8") == f"by kid:\n1. {kid.idxmin()}\n"
    diverse = run.measurements[run.measurements["metric"] == "lpips_diversity"]
    best = diverse.groupby("method")["value"].mean().idxmax()
    made = check_report(spec, run, tmp_path / "other", config={"metric": "lpips_diversity"})
    assert made.read_text("utf-8").splitlines()[:2] == ["by lpips_diversity:", f"1. {best}"]
    assert make_config("report", "podium", spec.config, {}).model_dump()["places"] == 3


def test_a_launcher(load: Load, tmp_path: Path) -> None:
    check_launcher(load("nightly").launcher("nightly"), tmp_path)


@pytest.mark.slow
def test_a_training_loop_of_its_own_runs_in_a_suite(tmp_path: Path) -> None:
    """Trained, translated, scored and written, with no loop of the harness beneath it."""
    toys.make_folder(tmp_path / "data")
    plugins = [toys.write_toy(tmp_path), tmp_path / "tint.py"]
    plugins[1].write_text(_FILES["tint"], "utf-8")
    done = toys.bench(
        *("run", "--methods", "tint,negative", "--metrics", "brightness", "--reports", "tables"),
        *("--dataset", "image_folder", "--data-root", tmp_path / "data", "--size", "32"),
        *("--budget", "20it", "--out", "run"),
        *(part for plugin in plugins for part in ("--plugin", plugin)),
        cwd=tmp_path,
        cache=tmp_path / "cache",
    )
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(tmp_path / "run" / "tables" / "trials.parquet")
    assert trials.set_index("label").loc["tint", "status"] == "ok"
    assert list((tmp_path / "run").glob("trials/tint-*/checkpoints/weights.safetensors"))


@pytest.mark.slow
def test_strangers_stand_in_one_run_as_if_built_in(tmp_path: Path) -> None:
    """A metric as a headline, a baseline as an anchor under its rules, a network, a launcher and a
    report, each a file and each with an option."""
    toys.make_folder(tmp_path / "data")
    plugins = [toys.write_toy(tmp_path)]
    for name in ("red", "grey", "podium", "nightly"):
        plugins.append(tmp_path / f"{name}.py")
        plugins[-1].write_text(_FILES[name], "utf-8")
    options = ("redness.least=0.4", "mean-cells.cells=2", "grey.strength=0.5")
    done = toys.bench(
        *(
            "run",
            "--methods",
            "negative,grey",
            "--metrics",
            "redness,lpips_diversity",
            "--samples",
            "2",
        ),
        *("--launcher", "nightly", "--reports", "tables,podium", "--out", "run"),
        *("--dataset", "image_folder", "--data-root", tmp_path / "data", "--size", "32"),
        *(part for plugin in plugins for part in ("--plugin", plugin)),
        *(part for option in options for part in ("--set", option)),
        *("--set", "podium.metric=redness", "--set", "nightly.nice=5"),
        cwd=tmp_path,
        cache=tmp_path / "cache",
    )
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(tmp_path / "run" / "report" / "summary.csv").set_index(
        ["label", "direction"]
    )
    names = [name for name in rows.columns if name in ("redness", "lpips_diversity", "latency")]
    assert names[0] == "redness" and "red " in " ".join(done.stdout.split())
    assert rows.loc["grey", "anchor"].all() and not rows.loc["negative", "anchor"].any()
    checks = pd.read_csv(tmp_path / "run" / "report" / "checks.csv").set_index("name")
    anchors = checks.loc["The anchors are in order"]
    assert anchors["verdict"] == "valid" and anchors["detail"] == "2 rules about the anchors hold"
    assert (tmp_path / "run" / "report" / "podium.txt").read_text("utf-8").startswith("by redness")
