"""Pictures in the tar shards of WebDataset."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import DatasetSpec, hookimpl
from bench_webdataset.config import WebDatasetConfig

SPEC = DatasetSpec(
    name="webdataset",
    summary="pictures in tar shards, as WebDataset writes them: files or addresses",
    implementation="bench_webdataset.dataset:WebDataset",
    config=WebDatasetConfig,
    paired=True,
    presets={"demo": {"train": 400, "test": 40}, "quick": {}, "paper": {}},
)


@hookimpl
def bench_datasets() -> Sequence[DatasetSpec]:
    """Offer the dataset."""
    return [SPEC]
