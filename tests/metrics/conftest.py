"""Pictures and features for the metric tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench.api import A2B, Picture
from bench.metrics.context import ScoringData
from tests.metrics.scoring import picture


def photos(n: int, *, size: int = 32, seed: int = 0, shift: float = 0.0) -> list[Picture]:
    """Smooth random pictures; `shift` moves their colours."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        coarse = torch.from_numpy(rng.normal(size=(1, 3, 4, 4)))
        smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")[0]
        tint = torch.tensor([shift, 0.0, -shift])[:, None, None]
        pixels = ((smooth * 0.25 + 0.5 + tint).clamp(0, 1) * 255).round().permute(1, 2, 0)
        made.append(picture(pixels.numpy().astype(np.uint8), f"{seed}-{index:03d}"))
    return made


@pytest.fixture(scope="session")
def make_data() -> Callable[..., ScoringData]:
    def make(
        n: int = 12, k: int = 3, *, size: int = 32, train: int = 24, **changes: object
    ) -> ScoringData:
        inputs = photos(n, size=size, seed=1, shift=-0.15)
        outputs = {
            p.id: [picture(np.roll(p.load(), 2 * s + 1, axis=2), p.id) for s in range(k)]
            for p in inputs
        }
        fields: dict[str, object] = {
            "direction": A2B,
            "domains": ("summer", "winter"),
            "outputs": outputs,
            "inputs": {p.id: p for p in inputs},
            "reference": photos(n + 2, size=size, seed=2, shift=0.15),
            "reference_train": photos(train, size=size, seed=3, shift=0.15),
            "source_train": photos(train, size=size, seed=4, shift=-0.15),
        }
        return ScoringData(**(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def clouds() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Two sets of features with some structure, float32."""

    def make(n: int, m: int, d: int = 64, shift: float = 0.2, seed: int = 0):
        rng = np.random.default_rng(seed)
        mix = rng.normal(size=(d, d)) / np.sqrt(d)
        x = np.maximum(rng.normal(size=(n, d)) @ mix + shift, 0)
        y = np.maximum(rng.normal(size=(m, d)) @ mix, 0)
        return x.astype(np.float32), y.astype(np.float32)

    return make
