"""One training step of one direction, as a function of networks, images and noise.

Half of a batch trains the branch whose code is encoded from the true target (cVAE-GAN), the
other half supplies the real images for the branch whose code is drawn (cLR-GAN); both
branches translate the first half's inputs. The generator is called once for both branches
and a discriminator once for real and generated images. The recovery of the drawn code
updates the generator alone, so the encoder's weights rest in it; that makes one backward
pass of the published two.

Order of draws: the encoded branch's noise, then the drawn codes; dropout takes its masks
from torch's default generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.nn.layers import frozen
from bench.nn.losses import l1
from bench.nn.sharing import sharing
from bench_bicyclegan.losses import kl_divergence, multiscale_lsgan, sample_code

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench_bicyclegan.config import BicycleGANConfig


@dataclass(frozen=True)
class Networks:
    """The networks of one direction; `dis` judges encoded codes' images, `dis2` drawn ones'."""

    gen: nn.Module
    enc: nn.Module
    dis: nn.Module
    dis2: nn.Module


@dataclass(frozen=True)
class Fakes:
    """What the discriminators see: real and generated images of both branches, detached."""

    real_encoded: Tensor
    fake_encoded: Tensor
    real_drawn: Tensor
    fake_drawn: Tensor


@sharing()
def generator_losses(
    nets: Networks,
    source: Tensor,
    target: Tensor,
    noise: Tensor,
    code: Tensor,
    config: BicycleGANConfig,
) -> tuple[dict[str, Tensor], Fakes]:
    """Weighted loss terms of generator and encoder, to be summed.

    Parameters
    ----------
    source, target
        Paired images ``(B, 3, H, W)`` in ``[-1, 1]``; B is even.
    noise, code
        Standard normal ``(B/2, nz)``: for the encoded branch, and the drawn codes.
    """
    half = len(source) // 2
    inputs, real_encoded, real_drawn = source[:half], target[:half], target[half:]
    mu, logvar = (x.to(noise.dtype) for x in nets.enc(real_encoded))
    codes = torch.cat((sample_code(mu, logvar, noise), code))
    fake_encoded, fake_drawn = nets.gen(torch.cat((inputs, inputs)), codes).chunk(2)
    losses: dict[str, Tensor] = {}
    with frozen(nets.dis, nets.dis2, nets.enc):
        losses["gan"] = config.lambda_gan * multiscale_lsgan(nets.dis(fake_encoded), 1.0)
        losses["gan2"] = config.lambda_gan2 * multiscale_lsgan(nets.dis2(fake_drawn), 1.0)
        if config.lambda_z > 0:
            losses["z"] = config.lambda_z * l1(nets.enc(fake_drawn)[0], code)
    losses["l1"] = config.lambda_l1 * l1(fake_encoded, real_encoded)
    losses["kl"] = config.lambda_kl * kl_divergence(mu, logvar)
    fakes = Fakes(
        real_encoded,
        fake_encoded.detach().to(source.dtype),
        real_drawn,
        fake_drawn.detach().to(source.dtype),
    )
    return losses, fakes


def discriminator_losses(nets: Networks, fakes: Fakes) -> dict[str, Tensor]:
    """Losses of both discriminators, to be summed."""
    pairs = {
        "dis": (nets.dis, fakes.real_encoded, fakes.fake_encoded),
        "dis2": (nets.dis2, fakes.real_drawn, fakes.fake_drawn),
    }
    losses = {}
    for name, (net, real, fake) in pairs.items():
        scores = [scale.chunk(2) for scale in net(torch.cat((real, fake)))]
        losses[name] = multiscale_lsgan([s[0] for s in scores], 1.0) + multiscale_lsgan(
            [s[1] for s in scores], 0.0
        )
    return losses


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of all terms."""
    return torch.stack(list(losses.values())).sum()
