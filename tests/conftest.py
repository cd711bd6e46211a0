"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


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
