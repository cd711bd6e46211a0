"""Pictures, and what the suite's own metrics say of them, measured on the CPU and offline."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.api import Measurement, Picture
from bench.data.images import pixel_digest
from bench.metrics.context import ScoringData
from bench.metrics.plugin import METRICS, bench_extractors
from bench.metrics.score import score
from bench.plugins import Registry

REGISTRY = Registry(
    metrics={spec.name: spec for spec in METRICS},
    extractors={spec.name: spec for spec in bench_extractors()},
)


def picture(pixels: np.ndarray, key: str = "x") -> Picture:
    return Picture(key, pixel_digest(pixels), lambda: pixels)


def coded(plain: Picture, quality: int) -> Picture:
    """A picture as a JPEG of it shows it."""
    file = io.BytesIO()
    Image.fromarray(plain.load()).save(file, "JPEG", quality=quality)
    return picture(np.array(Image.open(file)), plain.id)


def scored(
    data: ScoringData,
    *names: str,
    registry: Registry = REGISTRY,
    events: list | None = None,
    **options: Any,
) -> list[Measurement]:
    """All measurements of these metrics (none named: of all); `events` gets what is said."""
    usual = {"weights_dir": None, "cache": None, "offline": True, "device": torch.device("cpu")}
    emit = [].append if events is None else events.append
    return score(data, names or list(registry.metrics), registry, emit=emit, **usual | options)


def measure(data: ScoringData, *names: str, **options: Any) -> dict[str, Measurement]:
    """The measurements on all inputs, by name."""
    found = scored(data, *names, **options)
    return {one.metric: one for one in found if one.subset == "all"}
