"""Plugins that break in every way: each is a row with its reason, and the others run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.storage.files import read_json_lines
from bench.storage.tables import read_run
from tests import toys
from tests.e2e.conftest import Place

BAD = """
import os
import signal
import subprocess
import sys
import threading
import time

import torch

from bench.api import MethodSpec, hookimpl
from bench.training.loop import run_training


class Base:
    def __init__(self, config, ctx):
        self.ctx = ctx

    def translate(self, images, direction, *, samples, seeds):
        return images[:, None].expand(-1, samples, -1, -1, -1)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Exits(Base):
    def translate(self, images, direction, *, samples, seeds):
        raise SystemExit(0)


class Segfaults(Base):
    def translate(self, images, direction, *, samples, seeds):
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(Base):
    def translate(self, images, direction, *, samples, seeds):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)


class Prints(Base):
    def translate(self, images, direction, *, samples, seeds):
        print("PRINTED BY A PLUGIN")
        sys.stdout.write('{"kind": "log", "message": "FORGED"}\\n')
        os.write(1, b"WRITTEN TO DESCRIPTOR 1\\n")
        return super().translate(images, direction, samples=samples, seeds=seeds)


class GivesNaN(Base):
    def translate(self, images, direction, *, samples, seeds):
        return (images * float("nan"))[:, None].expand(-1, samples, -1, -1, -1)


class WrongShape(Base):
    def translate(self, images, direction, *, samples, seeds):
        return images[:, None, :, 1:]


class WrongRange(Base):
    def translate(self, images, direction, *, samples, seeds):
        return (images * 2 - 1)[:, None].expand(-1, samples, -1, -1, -1)


class NoMemory(Base):
    def translate(self, images, direction, *, samples, seeds):
        raise MemoryError


class LeavesAThread(Base):
    def translate(self, images, direction, *, samples, seeds):
        threading.Thread(target=time.sleep, args=(300,)).start()
        subprocess.Popen(["sleep", "300"])
        return super().translate(images, direction, samples=samples, seeds=seeds)


class Raises(Base):
    def __init__(self, config, ctx):
        raise ValueError("first line\\nsecond line")


class Trainer:
    def __init__(self):
        self.net = torch.nn.Linear(1, 1)
        self.modules, self.optimizers = {"net": self.net}, {}

    def step(self, iteration, total):
        return {"loss": torch.tensor(float("nan") if iteration == 3 else 1.0)}

    def extra_state(self):
        return {}

    def load_extra_state(self, state):
        pass


class Diverges(Base):
    def fit(self, data, budget):
        run_training(Trainer(), budget, self.ctx)


NAMES = ["Exits", "Segfaults", "Hangs", "Prints", "GivesNaN", "WrongShape", "WrongRange",
         "NoMemory", "Raises", "Base", "LeavesAThread"]


@hookimpl
def bench_methods():
    specs = [MethodSpec(name.lower(), "bad", f"bad_plugin:{name}") for name in NAMES]
    return [
        *specs,
        MethodSpec("unimportable", "bad", "no_such_module:Method"),
        MethodSpec("diverges", "bad", "bad_plugin:Diverges", trained=True, budgets={"demo": "9it"}),
    ]
"""

EXPECTED = {
    "unimportable": ("failed", "no_such_module:Method cannot be imported: ModuleNotFoundError"),
    "exits": ("failed", "SystemExit: 0"),
    "segfaults": ("failed", "the worker was killed by SIGSEGV"),
    "hangs": ("timeout", "stopped after"),
    "prints": ("ok", ""),
    "givesnan": ("failed", "not finite"),
    "wrongshape": ("failed", "gave shape (3, 1, 3, 31, 32), expected (3, 1, 3, 32, 32)"),
    "wrongrange": ("failed", "images lie between 0 and 1"),
    "nomemory": ("oom", "out of memory"),
    "raises": ("failed", "ValueError: first line"),
    "diverges": ("diverged", "loss is not finite at iteration 3"),
    "leavesathread": ("ok", ""),
}


@pytest.mark.slow
def test_every_kind_of_broken_plugin_is_a_row(place: Place) -> None:
    plugin = place.root / "bad_plugin.py"
    plugin.write_text(BAD, "utf-8")
    # First, and under way while the others run: a hang must hold up nobody.
    methods = ",".join(["hangs", *(name for name in EXPECTED if name != "hangs")])
    args = place.args(
        "--out", "run", "--plugin", plugin, "--workers", "2", "--timeout", "20", methods=methods
    )
    done = toys.bench(*args, cwd=place.root, cache=place.cache)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "PRINTED" not in done.stdout and "DESCRIPTOR" not in done.stdout
    run = place.root / "run"
    trials = read_run(run).trials.set_index("label")
    assert set(trials.index) == set(EXPECTED)
    for label, (status, reason) in EXPECTED.items():
        assert trials.loc[label, "status"] == status, (label, trials.loc[label, "reason"])
        assert reason in trials.loc[label, "reason"], label
        assert "\n" not in trials.loc[label, "reason"]
    log = next(run.glob("trials/prints-*/log.txt")).read_text("utf-8")
    assert "PRINTED BY A PLUGIN" in log and "WRITTEN TO DESCRIPTOR 1" in log
    assert not any(row["message"] == "FORGED" for row in read_json_lines(run / "events.jsonl"))
    assert "Traceback" in next(run.glob("trials/raises-*/log.txt")).read_text("utf-8")
    assert "Segmentation fault" in next(run.glob("trials/segfaults-*/log.txt")).read_text("utf-8")
    measurements = read_run(run).measurements
    assert set(measurements["label"]) == {"prints", "leavesathread"}
    assert not (run / "DONE").exists()
    # What failed left nothing in the cache that a second run would take for a result.
    bad = [name for name, (status, _) in EXPECTED.items() if status != "ok"]
    assert set(pd.Series(bad)) & set(measurements["label"]) == set()
    assert not list((place.cache / "stages").glob("fit/*/*"))


AT_IMPORT = """
import os
import signal
import time

from bench.api import MethodSpec, hookimpl

if "BENCH_LAUNCHER_PID" in os.environ:
    {fault}


@hookimpl
def bench_methods():
    return [MethodSpec("{name}", "bad", "toy_plugin:Fixed")]
"""


def test_a_plugin_that_dies_at_import_takes_its_own_trials_alone(place: Place) -> None:
    plugins: list[str | Path] = []
    for name, fault in (
        ("crashing", "os.kill(os.getpid(), signal.SIGSEGV)"),
        ("hanging", "time.sleep(300)"),
    ):
        file = place.root / f"{name}_plugin.py"
        file.write_text(AT_IMPORT.format(name=name, fault=fault), "utf-8")
        plugins += ["--plugin", file]
    args = place.args("--out", "run", *plugins, methods="crashing,negative")
    done = toys.bench(*args, cwd=place.root, cache=place.cache)
    assert done.returncode == 1, done.stderr
    trials = read_run(place.root / "run").trials.set_index("label")
    assert trials.loc["negative", "status"] == "ok"
    assert trials.loc["crashing", "reason"] == (
        "the worker was killed by SIGSEGV during the import of plugin crashing_plugin: "
        "see its log.txt"
    )


def test_fail_fast_begins_no_further_trial(place: Place) -> None:
    plugin = place.root / "bad_plugin.py"
    plugin.write_text(BAD, "utf-8")
    args = place.args("--out", "run", "--plugin", plugin, "--fail-fast", methods="raises,base")
    done = toys.bench(*args, cwd=place.root, cache=place.cache)
    assert done.returncode == 1, done.stderr
    trials = read_run(place.root / "run").trials.set_index("label")
    assert trials.loc["raises", "status"] == "failed"
    assert trials.loc["base", "status"] == "skipped"
    assert "--fail-fast" in trials.loc["base", "reason"]


def _one_line(stderr: str) -> str:
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("bench: ")
    return lines[0]


def test_plugin_file_that_exits_is_one_line(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("raise SystemExit(3)", "utf-8")
    done = toys.bench("run", "--plugin", plugin, "--out", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "SystemExit: 3" in _one_line(done.stderr) and "mine.py" in done.stderr
    assert not (tmp_path / "run").exists()
