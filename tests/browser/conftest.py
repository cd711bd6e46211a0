"""A real browser for the report's page; skips where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench_html.render import render
from tests.factories import MAKERS, make_run

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
def paired_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with two true looks for each input, and something for the audit."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "paired",
        methods=("munit", "cyclegan", "identity"),
        inputs=4,
        samples=3,
        size=32,
        truths=2,
        twins=("view-001",),
    )
    first = run.path / "trials" / "cyclegan-yosemite-s0" / "images" / "summer2winter"
    for name in ("view-001", "view-002"):
        shutil.copyfile(first / "view-000" / "0.png", first / name / "0.png")
    sheet = run.path / "audit"
    (sheet / "pairs.csv").write_text(
        "kind,split_1,domain_1,id_1,split_2,domain_2,id_2\nnear,train,a,<b>one</b>,test,a,=1+1\n"
    )
    shutil.copyfile(first / "view-000" / "0.png", sheet / "near.png")
    return render(run, run.path / "report")


@pytest.fixture(scope="session")
def two_datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of two datasets; the second has true translations."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "both",
        methods=("munit", "cyclegan", "identity"),
        datasets=("yosemite", "seasons"),
        inputs=4,
        samples=3,
        size=32,
        truths=2,
    )
    return render(run, run.path / "report")


@pytest.fixture(scope="session")
def large_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ten methods, 547 inputs and ten samples."""
    makers = [replace(MAKERS["munit"], name=f"method-{n}", kid=0.03 + n / 100) for n in range(10)]
    run = make_run(
        tmp_path_factory.mktemp("runs") / "large",
        methods=makers,
        inputs=274,
        samples=10,
        size=128,
        failures=False,
        share_pictures=True,
    )
    return render(run, run.path / "report")


@pytest.fixture(scope="session")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with markup, quotes and formulas in every field."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "<b>run", inputs=2, samples=2, size=16, hostile=True
    )
    return render(run, run.path / "report")
