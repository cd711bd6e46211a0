"""A real browser for the report's page; skips where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from factories import make_run

from bench_html.render import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of four methods, eight inputs and five samples."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "first",
        methods=("munit", "neural_style", "cyclegan", "identity"),
        inputs=8,
        samples=5,
        size=48,
    )
    return render(run, run.path / "report")


@pytest.fixture(scope="session")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with markup, quotes and formulas in every field."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "<b>run", inputs=2, samples=2, size=16, hostile=True
    )
    return render(run, run.path / "report")
