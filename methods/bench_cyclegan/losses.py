"""CycleGAN's losses as pure functions (Zhu et al. 2017, section 3 and equation 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.nn.losses import lsgan, lsgan_negatives

if TYPE_CHECKING:
    from torch import Tensor


def discriminator_loss(
    real: Tensor, fake: Tensor, source: Tensor | None = None, share: float = 0.0
) -> Tensor:
    """Half the sum of both least-squares terms: the half slows the discriminator down.

    Parameters
    ----------
    real, fake
        Raw scores of real and of generated images.
    source, share
        Those of real images of the other domain, and their share among the negatives.
    """
    return 0.5 * (lsgan(real, 1.0) + lsgan_negatives(fake, source, share))
