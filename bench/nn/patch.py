"""The PatchGAN discriminator (Isola et al. 2017, section 3.2.2 and appendix 6.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from bench.nn.layers import InstanceNorm

if TYPE_CHECKING:
    from torch import Tensor


def patch_layers(channels: int, width: int, strided: int = 3) -> nn.Sequential:
    """Layers of a PatchGAN: leaky 4×4 convolutions, instance norm on all but the outer ones.

    Parameters
    ----------
    channels
        Of the input images.
    width
        Channels after the first convolution; doubled by each further one, up to 8 times.
    strided
        Convolutions of stride 2. Three see 70×70 pixels, two 34×34, one 16×16.

    Returns
    -------
    nn.Sequential
        Keys ``{0,2,5,8,11}.{weight,bias}`` for three strided convolutions, as in the
        original implementation.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ]
    wide = width
    for level in range(1, strided + 1):
        narrow, wide = wide, width * min(2**level, 8)
        layers += [
            nn.Conv2d(narrow, wide, 4, stride=2 if level < strided else 1, padding=1),
            InstanceNorm(),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    layers.append(nn.Conv2d(wide, 1, 4, padding=1))
    return nn.Sequential(*layers)


class PatchDiscriminator(nn.Module):
    """One PatchGAN; keys ``model.{0,2,5,8,11}.{weight,bias}``.

    Parameters
    ----------
    channels, width, strided
        As in :func:`patch_layers`.
    """

    def __init__(self, channels: int = 3, width: int = 64, strided: int = 3) -> None:
        super().__init__()
        self.model = patch_layers(channels, width, strided)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in ``[-1, 1]`` to one raw score a patch, ``(B, 1, h, w)``."""
        scores: Tensor = self.model(images)
        return scores


def smallest_side(strided: int) -> int:
    """The smallest image side for which :func:`patch_layers` still gives a score."""
    # The last two convolutions take one pixel each from the side; one must be left. The
    # instance norm before the last needs two.
    return int(3 * 2**strided)
