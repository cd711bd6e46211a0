"""CycleGAN's generator (Zhu et al. 2017, appendix 7.2; after Johnson et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.nn.layers import InstanceNorm
from bench.nn.winograd import Conv2d

if TYPE_CHECKING:
    from torch import Tensor

_INSIDE = 0.99
"""Largest magnitude that is still taken through the inverse of tanh."""


class ResidualBlock(nn.Module):
    """Two reflected 3×3 convolutions beside a skip; keys ``conv_block.{1,5}.{weight,bias}``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            Conv2d(width, width, 3),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            Conv2d(width, width, 3),
            InstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        out: Tensor = x + self.conv_block(x)
        return out


class ResnetGenerator(nn.Module):
    """Translates images; keys ``model.<i>…`` as in the original implementation.

    Parameters
    ----------
    ngf
        Channels after the first convolution; doubled by each downsampling.
    n_blocks
        Residual blocks: 9 for 256×256 images, 6 for smaller ones.
    n_downsampling
        Times the image is halved, and doubled again: 2 as published.
    input_skip
        The input is added before the last tanh, through its inverse: a generator whose last
        convolution gives 0 repeats its input. Not published; adds no weights.
    """

    def __init__(
        self,
        ngf: int = 64,
        n_blocks: int = 9,
        n_downsampling: int = 2,
        *,
        input_skip: bool = False,
    ) -> None:
        super().__init__()
        self.input_skip = input_skip
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, ngf, 7),
            InstanceNorm(),
            nn.ReLU(inplace=True),
        ]
        widths = [ngf * 2**level for level in range(n_downsampling)]
        for width in widths:
            layers += [
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                InstanceNorm(),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(ngf * 2**n_downsampling) for _ in range(n_blocks)]
        for width in reversed(widths):
            layers += [
                nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1),
                InstanceNorm(),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to the same shape, both in ``[-1, 1]``.

        Sides are multiples of ``2**n_downsampling``.
        """
        if not self.input_skip:
            out: Tensor = self.model(images)
            return out
        changes = self.model[:-1](images)
        return torch.tanh(changes + torch.atanh(images.clamp(-_INSIDE, _INSIDE)))
