"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests, fixtures of wide scope included."""
    before = os.environ.get("BENCH_CACHE")
    os.environ["BENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["BENCH_CACHE"]
    else:
        os.environ["BENCH_CACHE"] = before


@pytest.fixture(autouse=True)
def _cache_of_the_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give every test an empty cache of its own: none can lean on what another left."""
    before = os.environ["BENCH_CACHE"]
    os.environ["BENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ["BENCH_CACHE"] = before


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The optional data folder (``BENCH_TEST_DATA``, default ``../shared``)."""
    return Path(os.environ.get("BENCH_TEST_DATA", _ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def golden(data_root: Path) -> Path:
    """Tensors recorded from the original implementations; skips where they are not."""
    folder = data_root / "golden"
    if not folder.is_dir():
        pytest.skip(f"no recorded tensors at {folder} (set BENCH_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def yosemite_root(data_root: Path) -> Path:
    """The real photographs; skips where they are not."""
    folder = data_root / "data" / "summer2winter_yosemite"
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder} (set BENCH_TEST_DATA)")
    return folder
