"""summer2winter_yosemite: the photographs of the CycleGAN authors."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import DatasetSpec, hookimpl
from bench_yosemite.config import YosemiteConfig

SPEC = DatasetSpec(
    name="yosemite",
    summary="summer2winter_yosemite: 2,740 photographs of Yosemite, 256×256 (134 MB)",
    implementation="bench_yosemite.dataset:Yosemite",
    config=YosemiteConfig,
    presets={"demo": {"train": 400, "test": 40}, "quick": {}, "paper": {}},
    source="Zhu et al., Unpaired Image-to-Image Translation using CycleGANs, ICCV 2017",
)


@hookimpl
def bench_datasets() -> Sequence[DatasetSpec]:
    """Offer the dataset."""
    return [SPEC]
