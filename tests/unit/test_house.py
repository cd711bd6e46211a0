"""Rules of the house that no linter knows: no plugin by its name, no file or function too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.plugins import load_plugins

ROOT = Path(__file__).parents[2]
NAMES_MAY_STAND_IN = {ROOT / "bench" / "suite" / "presets.py"}
WORDS = {"outputs"}
"""Names that are plain words of the code, too: the pictures that a method gave."""
LONGEST_FILE, LONGEST_FUNCTION = 450, 60
WHY = "# Long because"
"""The comment that excuses a file (in its head) or a function (inside it), and says why."""


def sources(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every text of a program that is not a docstring."""
    told = {
        id(body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (body := node.body)
        and isinstance(body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


@pytest.mark.parametrize("file", sources("bench", "reports"), ids=lambda f: str(f.name))
def test_the_harness_knows_no_plugin_by_its_name(file: Path) -> None:
    if file in NAMES_MAY_STAND_IN:
        pytest.skip("presets are where names may stand")
    registry = load_plugins()
    names = ({*registry.methods, *registry.datasets}) - WORDS
    tree = ast.parse(file.read_text("utf-8"))
    found = [
        f"{file.name}:{node.lineno} {node.value!r}" for node in strings(tree) if node.value in names
    ]
    assert not found


@pytest.mark.parametrize(
    "file", sources("bench", "methods", "datasets", "reports"), ids=lambda f: str(f.name)
)
def test_files_and_functions_are_short_or_say_why(file: Path) -> None:
    text = file.read_text("utf-8")
    lines = text.splitlines()
    if len(lines) > LONGEST_FILE:
        assert WHY in "\n".join(lines[:40]), f"{file} has {len(lines)} lines: cut it, or say why"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            # A docstring and a list of parameters are no work for the reader of the body.
            begin = (first.end_lineno if told else first.lineno - 1) or 0
            length = (node.end_lineno or 0) - begin
            inside = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            assert length <= LONGEST_FUNCTION or WHY in inside, (
                f"{file}:{node.lineno} {node.name} has {length} lines: cut it, or say why"
            )
