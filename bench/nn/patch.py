"""The PatchGAN discriminator (Isola et al. 2017, section 3.2.2 and appendix 6.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from bench.nn.antialias import BlurDown
from bench.nn.layers import InstanceNorm, laid_out

if TYPE_CHECKING:
    from torch import Tensor


def patch_layers(
    channels: int, width: int, strided: int = 3, *, antialias: bool = False
) -> nn.Sequential:
    """Layers of a PatchGAN: leaky 4×4 convolutions, instance norm on all but the outer ones.

    Parameters
    ----------
    channels
        Of the input images.
    width
        Channels after the first convolution; doubled by each further one, up to 8 times.
    strided
        Convolutions of stride 2. Three see 70×70 pixels, two 34×34, one 16×16.
    antialias
        Instead of striding, a convolution of stride 1 is followed, after its activation, by
        :class:`bench.nn.antialias.BlurDown`.

    Returns
    -------
    nn.Sequential
        Keys ``{0,2,5,8,11}.{weight,bias}`` for three strided convolutions, as in the
        original implementation; anti-aliased ``{0,3,7,11,14}``, and ``{2,6,10}.filt``.
    """
    layers: list[nn.Module] = []
    narrow, wide = channels, width
    for level in range(strided + 1):
        halves = level < strided
        stride = 2 if halves and not antialias else 1
        layers.append(nn.Conv2d(narrow, wide, 4, stride=stride, padding=1))
        if level > 0:
            layers.append(InstanceNorm())
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        if halves and antialias:
            layers.append(BlurDown(wide))
        narrow, wide = wide, width * min(2 ** (level + 1), 8)
    layers.append(nn.Conv2d(narrow, 1, 4, padding=1))
    return nn.Sequential(*layers)


class PatchDiscriminator(nn.Module):
    """One PatchGAN; keys ``model.…`` as in :func:`patch_layers`.

    Parameters
    ----------
    channels, width, strided, antialias
        As in :func:`patch_layers`.
    """

    def __init__(
        self, channels: int = 3, width: int = 64, strided: int = 3, *, antialias: bool = False
    ) -> None:
        super().__init__()
        self.model = patch_layers(channels, width, strided, antialias=antialias)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in ``[-1, 1]`` to one raw score a patch, ``(B, 1, h, w)``."""
        scores: Tensor = self.model(laid_out(images))
        return scores


def smallest_side(strided: int) -> int:
    """The smallest image side for which :func:`patch_layers` still gives a score."""
    # The last two convolutions take one pixel each from the side; one must be left. The
    # instance norm before the last needs two. Anti-aliased it is the same: each halving takes
    # a pixel, and of what is left the greater half stays.
    return int(3 * 2**strided)
