"""What must hold of the project as a whole: imports, the wheel, the documents."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import toys

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pandas", "numpy", "scipy", "torchvision", "altair", "pyarrow", "PIL")


def _imported(*args: str, cwd: Path) -> set[str]:
    """The top-level modules that a command has imported when it ends."""
    code = (
        "import sys\n"
        "from bench.cli import main\n"
        f"sys.argv = ['bench', *{args!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=toys.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "args",
    [("--help",), ("run", "--help"), ("list", "methods"), ("list", "datasets"),
     ("list", "metrics"), ("list", "reports"), ("list", "runs")],
    ids=" ".join,
)  # fmt: skip
def test_light_commands_import_nothing_heavy(args: tuple[str, ...], tmp_path: Path) -> None:
    modules = _imported(*args, cwd=tmp_path)
    assert "bench" in modules and "typer" in modules
    assert modules & set(HEAVY) == set()


@pytest.mark.slow
def test_the_wheel_installs_only_our_names(tmp_path: Path) -> None:
    # Built from a copy: setuptools leaves a build folder behind.
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git checkout: which files belong to the project is not known")
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            *("-W", "ignore", "-m", "build", "--wheel", "--no-isolation"),
            *("--outdir", tmp_path / "dist", source),
        ],
        capture_output=True,
        check=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names} - {wheel.name.split("-py3")[0] + ".dist-info"}
    assert tops
    assert {top for top in tops if top != "bench" and not top.startswith("bench_")} == set()
    for carried in ("bench/py.typed", "bench_html/page.html.j2", "bench/testing/__init__.py"):
        assert carried in names


DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*", "bench/**/*.py", "methods/**/*.py", "datasets/**/*.py",
                    "reports/**/*.py", "tests/**/*.py", "Makefile", "pyproject.toml")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix in ("", ".md", ".py", ".toml", ".html", ".txt")
)  # fmt: skip
_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|Users|tmp)/[\w.-]+")


def test_the_search_for_paths_finds_them() -> None:
    assert _OF_A_MACHINE.search("see " + "/work" + "/main/x")
    assert not _OF_A_MACHINE.search("see docs/work/x or https://a.b/root/x")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_document_names_a_path_of_some_machine(path: Path) -> None:
    text = path.read_text("utf-8")
    assert _OF_A_MACHINE.findall(text) == []
    assert str(ROOT) not in text
