"""A launcher in one file: what it starts, ends and says is enough for a whole run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.storage.files import read_json_lines
from bench.storage.tables import read_run
from tests import toys
from tests.e2e.conftest import ARGS, QUIET, Place, make_place, measured

LAUNCHER = '''
"""One task after the other, each waited for where it is asked after."""

import os
import subprocess
from pathlib import Path

from bench.api import Config, Ended, LauncherSpec, hookimpl


class SerialConfig(Config):
    diary: str = ""


class Serial:
    def __init__(self, config, workers):
        self.config, self.waiting = config, []

    def note(self, line):
        if self.config.diary:
            with Path(self.config.diary).open("a") as file:
                print(line, file=file)

    def submit(self, task):
        self.note(f"submit {task.label}")
        self.waiting.append(task)

    def poll(self):
        if not self.waiting:
            return []
        task = self.waiting.pop(0)
        done = subprocess.run(
            task.command, env={**os.environ, **task.environment}, timeout=task.timeout
        )
        self.note(f"{task.label} ended with {done.returncode}")
        return [Ended(task.trial)]

    def cancel(self):
        ended = [Ended(task.trial, "interrupted") for task in self.waiting]
        self.waiting.clear()
        return ended


@hookimpl
def bench_launchers():
    return [LauncherSpec("serial", "one after the other", "serial_launcher:Serial",
                         config=SerialConfig)]
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = make_place(tmp_path)
    (tmp_path / "serial_launcher.py").write_text(LAUNCHER, "utf-8")
    return place


@pytest.mark.slow
def test_a_launcher_in_one_file_runs_a_suite(place: Place) -> None:
    both: dict[str, pd.DataFrame] = {}
    for name, more in (
        ("local", ()),
        ("serial", ("--plugin", "serial_launcher.py", "--set", "serial.diary=diary.txt")),
    ):
        # Each with a cache of its own: the same must be made, not taken.
        cache = place.root / f"cache-{name}"
        args = place.args("--out", name, "--launcher", name, *more, methods="negative,toy")
        done = toys.bench(*args, cwd=place.root, cache=cache)
        assert done.returncode == 0, done.stderr
        assert list(read_run(place.root / name).trials["status"]) == ["ok", "ok"]
        both[name] = measured(place.root / name)
    pd.testing.assert_frame_equal(both["serial"], both["local"])
    diary = (place.root / "diary.txt").read_text("utf-8").splitlines()
    assert diary == [
        "submit negative", "submit toy", "negative ended with 0", "toy ended with 0"
    ]  # fmt: skip
    told = read_json_lines(place.root / "serial" / "events.jsonl")
    fits = [row for row in told if row["stage"] == "fit" and row["kind"] == "progress"]
    assert fits and {row["trial"].split("-")[0] for row in fits} == {"toy"}


def _of_the_docs() -> str:
    """The launcher that docs/plugins.md shows."""
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    return next(block for block in blocks if "def bench_launchers" in block)


@pytest.mark.slow
def test_fail_fast_and_failures_are_the_runs_business(place: Place) -> None:
    (place.root / "nightly.py").write_text(_of_the_docs(), "utf-8")
    bad = place.root / "bad.py"
    bad.write_text(
        "from bench.api import MethodSpec, hookimpl\n"
        "@hookimpl\n"
        "def bench_methods():\n"
        "    return [MethodSpec('gone', 's', 'no_such_module:X')]\n",
        "utf-8",
    )
    args = ("run", "-m", "gone,negative", "--plugin", "toy_plugin.py", "--plugin", "bad.py")
    args += ("--plugin", "nightly.py", "--launcher", "nightly", "--data-root", "data")
    args += ("--set", "nightly.nice=5")
    done = toys.bench(
        *args, *ARGS, *QUIET, "--out", "run", "--fail-fast", cwd=place.root, cache=place.cache
    )
    assert done.returncode == 1, done.stderr
    trials = read_run(place.root / "run").trials.set_index("label")
    assert trials.loc["gone", "status"] == "failed"
    assert "no_such_module:X cannot be imported" in trials.loc["gone", "reason"]
    assert trials.loc["negative", "status"] == "skipped"
    done = toys.bench(
        *args, *ARGS, *QUIET, "--out", "run", "--resume", cwd=place.root, cache=place.cache
    )
    trials = read_run(place.root / "run").trials.set_index("label")
    assert trials.loc["negative", "status"] == "ok"
