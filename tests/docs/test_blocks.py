"""Everything shown is run: the blocks of README and docs, page by page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import LANGUAGES, ROOT, blocks
from tests.toys import environment

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SLOW = {"tutorial-adain.md", "tutorial-own-loop.md", "python.md"}
"""Pages that train or score."""


def _run(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    commands = folder / ".bin"
    commands.mkdir()
    for name, words in (("bench", "-m bench"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (commands / name).chmod(0o755)
    path = os.pathsep.join([str(ROOT), *sys.path])
    env = environment(Path(os.environ["BENCH_CACHE"]), PYTHONPATH=path)
    env["PATH"] = f"{commands}{os.pathsep}{env['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "tests.docs.blocks", page, folder],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.slow if p.name in SLOW else ()) for p in PAGES],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_block_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    done = _run(page, tmp_path)
    assert done.returncode == 0, done.stderr


def test_there_are_blocks_and_many_are_run() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.language in LANGUAGES]
    assert len(found) > 30
    assert sum(not block.not_run for block in found) > 15
    assert all(len(block.not_run) > 8 for block in found if block.not_run)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\n1 / 0\n```", "page.md:1: ZeroDivisionError"),
        ("```bash\nbench list nonsense\n```", "page.md:1: Broken: ended with 2"),
        ("```bash\nfalse\ntrue\n```", "ended with 1"),
        ('```toml\npreset = "quack"\n```', "page.md:1: BenchError"),
        ('```python\n"""a.py: x"""\n```\n\n```python\nimport a\na.gone\n```', "page.md:5: Attrib"),
        ("<!-- not run: slow -->\n```bash\nbench run --nonsense\n```", "No such option"),
        ("<!-- not run: slow -->\n```bash\nbench nonsense\n```", "No such command"),
        ("<!-- not run: slow -->\n```bash\nmake nonsense\n```", "no nonsense"),
        ("<!-- not run: slow -->\n```bash\npytest tests/gone.py\n```", "does not exist"),
        ("<!-- not run: slow -->\n```python\n1 +\n```", "SyntaxError"),
        ("```\nbench run\n```", "is a command"),
    ],
)
def test_a_broken_block_fails_its_page(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(f"{text}\n", "utf-8")
    done = _run(tmp_path / "page.md", tmp_path)
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_blocks_share_a_folder_and_a_program(tmp_path: Path) -> None:
    last = "assert open('y').read() == f'{x + 1}\\n'"
    page = f"```python\nx = 1\n```\n```bash\necho 2 > y\n```\n```python\n{last}\n```\n"
    (tmp_path / "page.md").write_text(page, "utf-8")
    assert _run(tmp_path / "page.md", tmp_path).returncode == 0
