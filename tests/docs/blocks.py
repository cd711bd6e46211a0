"""The blocks of a page, and running them as a reader would: one after the other, in one folder.

A ``python`` block runs where the ones before it left off; one that begins with the docstring
``NAME.py: …`` is the file of that name. A ``bash`` block runs in a shell that stops at the first
failure. A ``toml`` block is a suite, or a project that a plugin lives in. With
``<!-- file: NAME -->`` before it, a block is that file. ``<!-- not run: REASON -->`` before a block
says why it is not run: its commands must then still be ones that exist, with their options.

``python -m tests.docs.blocks PAGE FOLDER`` runs a page.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LANGUAGES = ("python", "bash", "toml")
_BLOCK = re.compile(
    r"(?:^<!-- (?P<word>not run|file): (?P<said>[^>]+?) -->\n+)?"
    r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.M | re.S,
)
_FILE = re.compile(r'"""(\w+\.py): ')


class Broken(Exception):
    """A block that does not do what it shows; says where it stands."""


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    where: str
    language: str
    text: str
    not_run: str = ""
    file: str = ""


def blocks(page: Path) -> Iterator[Block]:
    """Give the blocks of a page, in order."""
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        said = {found["word"]: found["said"]} if found["word"] else {}
        language, body = found["language"], found["text"]
        named = _FILE.match(body) if language == "python" else None
        file = said.get("file", named[1] if named else "")
        yield Block(f"{page.name}:{line}", language, body, said.get("not run", ""), file)


def run_page(page: Path, folder: Path) -> None:
    """Run every block of a page in a folder.

    Raises
    ------
    Broken
        At the first block that fails.
    """
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        try:
            _run(block, folder, names)
        except Exception as error:
            raise Broken(f"{block.where}: {type(error).__name__}: {error}") from error


def _run(block: Block, folder: Path, names: dict[str, Any]) -> None:
    if block.language not in LANGUAGES:
        _no_command(block.text)
    elif block.not_run:
        _CHECKED[block.language](block)
    elif block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
    elif block.language == "python":
        exec(compile(block.text, block.where, "exec"), names)
    elif block.language == "bash":
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text], capture_output=True, text=True
        )
        if done.returncode:
            raise Broken(f"ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    else:
        _toml(block)


def _no_command(text: str) -> None:
    """Refuse commands in a block without a language: nobody would run them."""
    for line in text.splitlines():
        if re.match(r"\s*\$?\s*(bench|make|pip|pytest|python3?) [\w-]", line):
            raise Broken(f"{line.strip()!r} is a command: say ```bash")


def _toml(block: Block) -> None:
    from bench.suite.schema import make_suite

    values = tomllib.loads(block.text)
    if not values.keys() & {"project", "build-system"}:
        make_suite(values, block.where)


def _commands(block: Block) -> None:
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            del words[0]
        match words:
            case ["bench", *rest]:
                _parse(rest)
            case ["make", target, *_]:
                if not re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M):
                    raise Broken(f"the Makefile has no {target}")
            case ["pytest", *rest]:
                for path in rest:
                    if "/" in path and not (ROOT / path).exists():
                        raise Broken(f"{path} does not exist")
            case ["python", "-m", module, *_]:
                if importlib.util.find_spec(module) is None:
                    raise Broken(f"there is no module {module}")


def _parse(words: list[str]) -> None:
    """Read a command line as the command does, and run nothing."""
    import typer

    from bench.cli import app

    command: Any = typer.main.get_command(app)
    context = None
    while True:
        try:
            context = command.make_context(command.name, list(words), parent=context)
        except typer.Exit as end:  # of an option that answers at once, as --version
            if end.exit_code:
                raise
            return
        if not hasattr(command, "resolve_command"):
            return
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        _, command, words = command.resolve_command(context, rest)


_CHECKED = {
    "bash": _commands,
    "python": lambda block: compile(block.text, block.where, "exec"),
    "toml": lambda block: tomllib.loads(block.text),
}
"""What is looked at in a block that is not run."""


if __name__ == "__main__":
    try:
        run_page(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    except Broken as broken:
        sys.exit(str(broken))
