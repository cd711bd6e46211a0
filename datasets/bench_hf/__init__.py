"""Pictures in a dataset of Hugging Face's library, on this machine or on its hub."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import DatasetSpec, hookimpl
from bench_hf.config import HfConfig

SPEC = DatasetSpec(
    name="hf",
    summary="pictures of Hugging Face datasets: save_to_disk, imagefolder, Parquet, the hub",
    implementation="bench_hf.dataset:HuggingFace",
    config=HfConfig,
    paired=True,
    presets={"demo": {"train": 400, "test": 40}, "quick": {}, "paper": {}},
)


@hookimpl
def bench_datasets() -> Sequence[DatasetSpec]:
    """Offer the dataset."""
    return [SPEC]
