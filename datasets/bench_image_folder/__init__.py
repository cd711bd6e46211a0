"""Any folder of pictures with trainA, trainB, testA and testB."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import DatasetSpec, hookimpl
from bench_image_folder.config import ImageFolderConfig

SPEC = DatasetSpec(
    name="image_folder",
    summary="your own pictures: a folder with trainA, trainB, testA and testB",
    implementation="bench_image_folder.dataset:ImageFolder",
    config=ImageFolderConfig,
    paired=True,
    presets={"demo": {"train": 400, "test": 40}, "quick": {}, "paper": {}},
)


@hookimpl
def bench_datasets() -> Sequence[DatasetSpec]:
    """Offer the dataset."""
    return [SPEC]
