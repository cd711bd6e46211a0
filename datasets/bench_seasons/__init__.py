"""Seasons: made-up landscapes in summer and winter, whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import DatasetSpec, hookimpl
from bench_seasons.config import SeasonsConfig

SPEC = DatasetSpec(
    name="seasons",
    summary="rendered landscapes in summer and winter with known truth; nothing to download",
    implementation="bench_seasons.dataset:Seasons",
    config=SeasonsConfig,
    presets={
        "demo": {"size": 64, "train": 300, "test": 40},
        "quick": {"size": 128, "train": 800, "test": 100},
        "paper": {"size": 256, "train": 1200, "test": 300},
    },
    paired=True,
)


@hookimpl
def bench_datasets() -> Sequence[DatasetSpec]:
    """Offer the dataset."""
    return [SPEC]
