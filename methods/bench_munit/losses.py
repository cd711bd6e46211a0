"""MUNIT's losses as pure functions (Huang et al. 2018, section 3.2, equations 1 to 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from bench.nn.losses import lsgan, lsgan_negatives
from bench.nn.norms import at_least_float32, instance_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def l1(x: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, in float32 at least; `target` is *not* detached."""
    return F.l1_loss(at_least_float32(x), at_least_float32(target))


def discriminator_loss(
    fake: Sequence[Tensor],
    real: Sequence[Tensor],
    source: Sequence[Tensor] = (),
    share: float = 0.0,
) -> Tensor:
    """Least squares against 0 and 1, summed over the scales; no factor 1/2.

    Parameters
    ----------
    fake, real
        Raw scores of generated and of real images, a map for each scale.
    source, share
        Those of real images of the other domain, and their share among the negatives.
    """
    sources: Sequence[Tensor | None] = source or [None] * len(fake)
    terms = [
        lsgan_negatives(f, s, share) + lsgan(r, 1.0)
        for f, s, r in zip(fake, sources, real, strict=True)
    ]
    return sum(terms, 0.0)  # type: ignore[return-value]


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Least squares against 1, summed over the scales."""
    return sum((lsgan(f, 1.0) for f in fake), 0.0)  # type: ignore[return-value]


def perceptual_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared difference of instance-normalised features.

    Without each map's mean and contrast the features say what is shown, hardly how it
    looks, so an image may be compared with its own translation.
    """
    return F.mse_loss(
        instance_norm(at_least_float32(features)), instance_norm(at_least_float32(target))
    )
