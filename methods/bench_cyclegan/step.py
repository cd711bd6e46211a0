"""One training step of CycleGAN as a function of networks, images and the pools' answer.

The plain order of the published algorithm runs each generator three times and each
discriminator three times in a step. Here each generator translates and reconstructs its own
target domain in one batch, each discriminator sees real and generated images in one batch,
and no gradient is computed for weights whose optimiser does not step. No layer mixes the
samples of a batch, so the numbers are the same up to the rounding of sums.

Nothing here draws random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.nn.layers import frozen
from bench.nn.losses import l1, lsgan
from bench.nn.sharing import sharing
from bench_cyclegan.losses import discriminator_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench_cyclegan.config import CycleGANConfig


@dataclass(frozen=True)
class Networks:
    """The four networks; a discriminator is named after the domain it judges."""

    a2b: nn.Module
    b2a: nn.Module
    dis_a: nn.Module
    dis_b: nn.Module


@sharing()
def generator_losses(
    nets: Networks, a: Tensor, b: Tensor, config: CycleGANConfig
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Weighted loss terms of both generators, to be summed.

    Parameters
    ----------
    a, b
        Real images ``(B, 3, H, W)`` in ``[-1, 1]``.

    Returns
    -------
    dict, Tensor, Tensor
        The terms, and the generated images of domain a and of domain b.
    """
    losses: dict[str, Tensor] = {}
    if config.lambda_identity > 0:
        fake_b, same_b = nets.a2b(torch.cat((a, b))).chunk(2)
        fake_a, same_a = nets.b2a(torch.cat((b, a))).chunk(2)
        losses["identity_a"] = config.lambda_a * config.lambda_identity * l1(same_a, a)
        losses["identity_b"] = config.lambda_b * config.lambda_identity * l1(same_b, b)
    else:
        fake_b, fake_a = nets.a2b(a), nets.b2a(b)
    with frozen(nets.dis_a, nets.dis_b):
        losses["gan_a"] = config.lambda_gan * lsgan(nets.dis_a(fake_a), 1.0)
        losses["gan_b"] = config.lambda_gan * lsgan(nets.dis_b(fake_b), 1.0)
    losses["cycle_a"] = config.lambda_a * l1(nets.b2a(fake_b), a)
    losses["cycle_b"] = config.lambda_b * l1(nets.a2b(fake_a), b)
    return losses, fake_a.detach(), fake_b.detach()


def discriminator_losses(
    nets: Networks, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor, share: float = 0.0
) -> dict[str, Tensor]:
    """Losses of both discriminators, to be summed.

    Parameters
    ----------
    a, b
        Real images ``(B, 3, H, W)`` in ``[-1, 1]``.
    fake_a, fake_b
        Generated ones, detached, as the image pools gave them.
    share
        Of real images of the other domain among the negatives.
    """
    losses = {}
    for name, judge, real, fake, source in (
        ("dis_a", nets.dis_a, a, fake_a, b),
        ("dis_b", nets.dis_b, b, fake_b, a),
    ):
        seen = (real, fake.to(real.dtype), *((source,) if share else ()))
        scores = judge(torch.cat(seen)).chunk(len(seen))
        others = scores[2] if share else None
        losses[name] = discriminator_loss(scores[0], scores[1], others, share)
    return losses


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of all terms."""
    return torch.stack(list(losses.values())).sum()
