"""``bench new`` and ``bench check``: what one writes, the other finds sound."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.api import BenchError
from bench.cli import app

KINDS = ("method", "dataset", "metric", "report", "launcher")


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Forget the plugins that a test loads."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("my_", "bad")):
            del sys.modules[name]


def _bench(*args: str | Path) -> Result:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(done.exception, BenchError):
        raise done.exception
    return done


@pytest.mark.parametrize("kind", [*KINDS[:3], KINDS[4]])
def test_a_new_plugin_keeps_every_promise(kind: str, tmp_path: Path) -> None:
    assert _bench("new", kind, f"my_{kind}", "--out", tmp_path).exit_code == 0
    done = _bench("check", tmp_path / f"my_{kind}.py")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == f"{kind} my_{kind}" and lines[-1] == "all held"
    assert len(lines) > 4 and all(line.startswith("  held ") for line in lines[1:-1])


@pytest.mark.slow
def test_a_new_report_keeps_every_promise(tmp_path: Path) -> None:
    _bench("new", "report", "my_report", "--out", tmp_path)
    done = _bench("check", tmp_path / "my_report.py")
    assert done.exit_code == 0, done.output


def test_what_is_written_is_formatted(tmp_path: Path) -> None:
    for kind in KINDS:
        _bench("new", kind, f"my_{kind}", "--out", tmp_path)
        _bench("new", kind, f"pk_{kind}", "--package", "--out", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--line-length", "100", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_new_package_passes_its_own_test_and_is_found_when_installed(tmp_path: Path) -> None:
    for kind in KINDS:
        _bench("new", kind, f"pk_{kind}", "--package", "--out", tmp_path)
    folders = [str(tmp_path / f"pk_{kind}") for kind in KINDS]
    path = os.pathsep.join([*folders, *sys.path])
    pytest_ = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
    ]
    done = subprocess.run(
        [*pytest_, *folders], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", installed, folders[0]], check=True, capture_output=True)
    path = os.pathsep.join([str(installed), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "bench", "check", "pk_method"],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "all held" in done.stdout, done.stdout + done.stderr


def test_each_broken_promise_is_named_and_the_others_are_still_tried(tmp_path: Path) -> None:
    _bench("new", "method", "bad", "--out", tmp_path)
    file = tmp_path / "bad.py"
    text = file.read_text("utf-8")
    file.write_text(text.replace(".clamp(0, 1)", ".double()"), "utf-8")
    done = _bench("check", file)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    broken = [index for index, line in enumerate(lines) if line.startswith("  broken ")]
    assert len(broken) >= 2, done.output
    mend = "outputs are torch.float64, not torch.float32: end translate with .float()"
    assert lines[broken[0] + 1].strip().endswith(mend)
    assert any(line.startswith("  held ") for line in lines[broken[0] :])
    assert lines[-1] == f"{len(broken)} broken"


def test_what_everything_rests_on_ends_the_check(tmp_path: Path) -> None:
    _bench("new", "method", "bad", "--out", tmp_path)
    file = tmp_path / "bad.py"
    file.write_text(file.read_text("utf-8").replace("bad:Bad", "bad:Gone"), "utf-8")
    done = _bench("check", file)
    assert done.exit_code == 1
    assert "the rest was not tried" in done.output


def test_a_name_or_a_whole_plugin_may_be_checked() -> None:
    assert _bench("check", "identity").output.startswith("method identity\n")
    with pytest.raises(BenchError, match="nowhere is not a run folder"):
        _bench("check", "tables", "--run", "nowhere")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("check", "identit"), "did you mean 'identity'"),
        (("check", "gone.py"), "the file does not exist"),
        (("new", "method", "Upper"), "begin with a lower-case letter"),
        (("new", "method", "class"), "begin with a lower-case letter"),
    ],
)
def test_mistakes_are_one_line(args: tuple[str, ...], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        _bench(*args)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    for more in ((), ("--package",)):
        _bench("new", "metric", "my_metric", "--out", tmp_path, *more)
        with pytest.raises(BenchError, match="exists already"):
            _bench("new", "metric", "my_metric", "--out", tmp_path, *more)
