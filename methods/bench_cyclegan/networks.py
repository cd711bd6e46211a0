"""CycleGAN's generator (Zhu et al. 2017, appendix 7.2; after Johnson et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from bench.nn.layers import InstanceNorm

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLE_OF = 4
"""Sides of the images a generator keeps: it halves twice, and doubles twice."""


class ResidualBlock(nn.Module):
    """Two reflected 3×3 convolutions beside a skip; keys ``conv_block.{1,5}.{weight,bias}``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
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
        Channels after the first convolution; the residual blocks have four times as many.
    n_blocks
        Residual blocks: 9 for 256×256 images, 6 for smaller ones.
    """

    def __init__(self, ngf: int = 64, n_blocks: int = 9) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, ngf, 7),
            InstanceNorm(),
            nn.ReLU(inplace=True),
        ]
        for width in (ngf, 2 * ngf):
            layers += [
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                InstanceNorm(),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * ngf) for _ in range(n_blocks)]
        for width in (4 * ngf, 2 * ngf):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1),
                InstanceNorm(),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to the same shape, both in ``[-1, 1]``; sides multiples of 4."""
        out: Tensor = self.model(images)
        return out
