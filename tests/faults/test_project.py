"""What must hold of the project as a whole: imports, the wheel, the documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
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


POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}


@pytest.mark.parametrize("root", ["bench", "methods", "datasets", "reports"])
def test_no_import_needs_posix(root: str) -> None:
    found = []
    for file in sorted((ROOT / root).rglob("*.py")):
        waiting: list[ast.AST] = [ast.parse(file.read_text("utf-8"))]
        while waiting:
            node = waiting.pop()
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{file}: {name}" for name in names if name in POSIX_ONLY]
            # What stands in a function is imported where it is used.
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                waiting += ast.iter_child_nodes(node)
    assert found == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    # Built from a copy: setuptools leaves a build folder behind.
    source = folder / "source"
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
            *("-W", "ignore", "-m", "build", "--no-isolation"),
            *("--outdir", folder / "dist", source),
        ],
        capture_output=True,
        check=True,
    )
    return folder / "dist"


@pytest.mark.slow
def test_the_wheel_installs_only_our_names(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names} - {wheel.name.split("-py3")[0] + ".dist-info"}
    assert tops
    assert {top for top in tops if top != "bench" and not top.startswith("bench_")} == set()
    for carried in ("bench/py.typed", "bench_html/page.html.j2", "bench/testing/__init__.py"):
        assert carried in names


@pytest.mark.slow
def test_the_sdist_has_its_tests_and_pages(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    pages = {"mkdocs.yml", "docs/index.md", "CITATION.cff"}
    tests = {"Makefile", "constraints.txt", "tests/conftest.py", "tests/gate/recorded.json"}
    assert (pages | tests | {"suites/study.toml"}) - inside == set()


@pytest.mark.slow
def test_what_the_wheel_installs_runs_outside_the_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        capture_output=True,
        check=True,
    )

    def bench(*args: str | Path) -> str:
        command = [sys.executable, "-P", "-m", "bench", *args]
        env = toys.environment(tmp_path / "cache", PYTHONPATH=str(site))
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert bench("--version").split() == ["translation-bench", _version()]
    bench("run", "--methods", "color_transfer,identity", "--dataset", "seasons", "--size", "32",
          "--set", "dataset.train=4", "--set", "dataset.test=3", "--preset", "demo",
          "--metrics", "lpips_input", "--device", "cpu", "--offline", "--out", "run")  # fmt: skip
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert len(list((tmp_path / "run" / "trials").glob("*/result.json"))) == 2
    photo = next((tmp_path / "run" / "inputs").rglob("*.png"))
    bench("translate", photo, "--to", "winter", "--device", "cpu", "--offline", "--out", "winters")
    assert list((tmp_path / "winters").glob("*.png"))


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def test_one_version_and_one_date_everywhere() -> None:
    version = _version()
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## (\S+) — (\d{4}-\d\d-\d\d)$", changes, re.M)
    assert newest and newest[1] == version
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {version}\ndate-released: {newest[2]}\n" in cited
    assert f"translation_bench-{version}-py3" in (ROOT / "docs" / "install.md").read_text("utf-8")


def test_every_extra_says_what_it_brings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = (ROOT / "docs" / "install.md").read_text("utf-8")
    table = "".join(line.split("|")[1] for line in said.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == set(project["optional-dependencies"])


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
