"""What counts as code in a cache key, and whose code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import code
from bench.api import BenchError
from bench.code import code_hash, plugin_modules

SOURCE = """
import os
from math import pi

STEPS = 3

def area(radius):
    return pi * radius**2

class Round:
    size = 1
    def grow(self):
        return self.size + STEPS
"""
COMMENTED = '''"""A module."""

import os  # the system
from math import pi

STEPS = 3
"""How many."""

# Circles only.
def area(
    radius,
):
    """Of a circle.

    More words."""
    return pi * (radius**2)


class Round:
    """A round thing."""

    size = 1

    "Its radius."
    def grow(self):
        "Larger."
        return self.size + STEPS  # by so many
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules, its root on the path."""
    folder = tmp_path / "unit_package"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py"):
        (folder / name).write_text("", "utf-8")
    (folder / "shape.py").write_text(SOURCE, "utf-8")
    (folder / "inner" / "user.py").write_text("from ..shape import area\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_comments_docstrings_and_layout_are_no_code(package: Path) -> None:
    before = code_hash("unit_package")
    (package / "shape.py").write_text(COMMENTED, "utf-8")
    assert code_hash("unit_package") == before
    assert "unit_package" not in sys.modules


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("STEPS = 3", "STEPS = 4"),
        ("radius**2", "radius**3"),
        ("import os", "import io"),
        ("size = 1", 'size = "1"'),
        ("return pi * radius**2", '"""A docstring."""; return "a value"'),
        ("from math import pi", "from math import tau as pi"),
    ],
)
def test_everything_else_is(package: Path, old: str, new: str) -> None:
    before = code_hash("unit_package")
    assert old in SOURCE
    (package / "shape.py").write_text(SOURCE.replace(old, new), "utf-8")
    assert code_hash("unit_package") != before


def test_a_new_module_and_a_new_name_are_other_code(package: Path) -> None:
    before = code_hash("unit_package")
    (package / "shape.py").rename(package / "form.py")
    renamed = code_hash("unit_package")
    (package / "more.py").write_text("", "utf-8")
    assert len({before, renamed, code_hash("unit_package")}) == 3


def test_of_shared_modules_those_count_that_are_imported(package: Path) -> None:
    def keys() -> tuple[str, str, str]:
        inner = "unit_package.inner"
        return (
            code_hash(f"{inner}.user", follow=()),
            code_hash(f"{inner}.user", follow=("unit_package",)),
            code_hash("unit_package.other", follow=("unit_package.inner",)),
        )

    # Imported as a module, as a name of a module, relatively, and within a function.
    (package / "other.py").write_text("def f():\n    from .inner import user\n", "utf-8")
    alone, with_shape, through = keys()
    (package / "shape.py").write_text(SOURCE + "X = 1\n", "utf-8")
    assert keys() == (alone, changed := keys()[1], through)
    assert changed != with_shape
    (package / "inner" / "user.py").write_text("from ..shape import Round\n", "utf-8")
    assert keys()[2] != through
    # Beside a module's own code its package's counts only where it is imported from.
    (package / "inner" / "__init__.py").write_text("Y = 1\n", "utf-8")
    before = keys()[2]
    (package / "inner" / "__init__.py").write_text("Y = 2\n", "utf-8")
    assert keys()[2] == before
    (package / "other.py").write_text("from unit_package.inner import user, Y\n", "utf-8")
    before = keys()[2]
    (package / "inner" / "__init__.py").write_text("Y = 3\n", "utf-8")
    assert keys()[2] != before


def test_what_is_no_python_counts_as_it_is(package: Path) -> None:
    (package / "shape.py").write_text("def :", "utf-8")
    before = code_hash("unit_package")
    (package / "shape.py").write_text("def : # no", "utf-8")
    assert code_hash("unit_package") != before


@pytest.mark.parametrize(
    "name", ["no_such_module", "bench.no_such", "itertools", "bench.code.inside"]
)
def test_code_without_a_source_is_said_to_be(name: str) -> None:
    with pytest.raises(BenchError, match=f"the source of {name} cannot be found"):
        code_hash(name)


def test_a_plugin_is_its_package_and_the_harness_a_module() -> None:
    assert plugin_modules("bench_munit.method:MUNIT") == "bench_munit"
    assert plugin_modules("one_file:Method") == "one_file"
    assert plugin_modules("bench.metrics.kid:score") == "bench.metrics.kid"


def test_the_commit_is_that_of_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def git(*words: str) -> str:
        name = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        done = subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode().strip()

    (tmp_path / "bench").mkdir()
    file = tmp_path / "bench" / "code.py"
    file.write_text("x = 1\n")
    monkeypatch.setattr(code, "__file__", str(file))
    assert code.commit() == ""  # no checkout
    git("init", "-q")
    assert code.commit() == ""  # no commit
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    assert code.commit() == git("rev-parse", "HEAD")
    file.write_text("x = 2\n")
    assert code.commit() == git("rev-parse", "HEAD") + "+"
