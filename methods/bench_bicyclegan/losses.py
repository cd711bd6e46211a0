"""BicycleGAN's losses as pure functions (Zhu et al. 2017b, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.nn.losses import lsgan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def multiscale_lsgan(scores: Sequence[Tensor], target: float) -> Tensor:
    """Sum over the scales of :func:`bench.nn.losses.lsgan`."""
    return torch.stack([lsgan(map_, target) for map_ in scores]).sum()


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Divergence of N(mu, exp(logvar)) from N(0, 1), summed over codes and batch.

    Parameters
    ----------
    mu, logvar
        ``(B, nz)``.
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()


def sample_code(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """A code from N(mu, exp(logvar)), as a function of standard normal `noise`."""
    return mu + noise * (0.5 * logvar).exp()
