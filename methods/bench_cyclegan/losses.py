"""CycleGAN's losses as pure functions (Zhu et al. 2017, section 3 and equation 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.nn.losses import lsgan

if TYPE_CHECKING:
    from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Half the sum of both least-squares terms: the half slows the discriminator down.

    Parameters
    ----------
    real, fake
        Raw scores of real and of generated images.
    """
    return 0.5 * (lsgan(real, 1.0) + lsgan(fake, 0.0))
