"""BicycleGAN's networks (Zhu et al. 2017b, section 4), with the original's key names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from bench.nn.antialias import BlurUpConv
from bench.nn.layers import InstanceNorm, edited
from bench.nn.patch import patch_layers
from bench.nn.state import mark_input_skip
from bench.nn.winograd import Conv2d

if TYPE_CHECKING:
    from torch import Tensor

_SMOOTH = 2
"""Levels that double through a blur: further in a grid is too coarse to be seen as one, and small
maps of many channels take three times as long that way."""


def with_code(x: Tensor, z: Tensor) -> Tensor:
    """Images or maps ``(B, C, H, W)`` with a code ``(B, nz)`` repeated at every pixel."""
    maps = z.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
    return torch.cat((x, maps), 1)


class UnetLevel(nn.Module):
    """One halving of the U-Net, everything below it, and its doubling.

    Keys ``down.{0,1}``, ``submodule…`` and ``up.1``.

    Parameters
    ----------
    outside, inside
        Channels of the level's input, and after its halving.
    out
        Channels of what it gives up, before the skip is appended.
    nz
        Numbers in the code.
    below
        The next level; None for the innermost.
    outermost
        The first level has neither activation nor norm before it, and no skip.
    dropout
        Whether half of the features are dropped on the way up, in training.
    antialias
        Maps are doubled by a blur and a 3×3 convolution, not by a transposed 4×4 one.
    """

    def __init__(
        self,
        outside: int,
        inside: int,
        out: int,
        nz: int,
        below: UnetLevel | None,
        *,
        outermost: bool = False,
        dropout: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        self.outermost = outermost
        down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
        down.append(nn.Conv2d(outside + nz, inside, 4, stride=2, padding=1))
        if not outermost and below is not None:
            down.append(InstanceNorm())
        wide = inside if below is None else 2 * inside
        double = (
            BlurUpConv(wide, out)
            if antialias
            else nn.ConvTranspose2d(wide, out, 4, stride=2, padding=1)
        )
        up: list[nn.Module] = [nn.ReLU(), double]
        if not outermost:
            up.append(InstanceNorm())
        if dropout:
            up.append(nn.Dropout(0.5))
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
        self.submodule = below

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` and codes ``(B, nz)``; H and W are even."""
        y = self.down(with_code(x, z))
        if self.submodule is not None:
            y = self.submodule(y, z)
        y = self.up(y)
        return y if self.outermost else torch.cat((y, x), 1)


class UnetGenerator(nn.Module):
    """A U-Net that is told the code at every level; keys ``model.…``.

    Parameters
    ----------
    ngf
        Channels after the first halving; doubled by each further one, up to 8 times.
    depth
        Halvings: 8 bring 256×256 to one pixel.
    nz
        Numbers in the code.
    dropout
        Whether the levels between the innermost and the fourth drop features in training.
    antialias
        The largest maps are doubled through a blur; not published.
    input_skip
        The input is added before the tanh, through its inverse: the levels say what changes.
        Their skips begin at half of the side, so that without it the finest detail of an
        image has to be drawn anew. Not published; adds no weights but leaves a mark in the
        state.
    """

    def __init__(
        self,
        ngf: int = 64,
        depth: int = 8,
        nz: int = 8,
        *,
        dropout: bool = True,
        antialias: bool = False,
        input_skip: bool = False,
    ) -> None:
        super().__init__()
        if input_skip:
            mark_input_skip(self)
        self._edits = input_skip
        widths = [ngf * min(2**level, 8) for level in range(depth)]
        level: UnetLevel | None = None
        for i in reversed(range(1, depth)):
            level = UnetLevel(
                widths[i - 1],
                widths[i],
                widths[i - 1],
                nz,
                level,
                dropout=dropout and 4 <= i < depth - 1,
                antialias=antialias and i < _SMOOTH,
            )
        self.model = UnetLevel(3, ngf, 3, nz, level, outermost=True, antialias=antialias)

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` in ``[-1, 1]`` and codes ``(B, nz)`` to images.

        Height and width are multiples of ``2**depth``.
        """
        out: Tensor = self.model(images, z)
        return edited(images, out) if self._edits else torch.tanh(out)


class EncoderBlock(nn.Module):
    """A pre-activation residual block that halves its maps by averaging.

    Keys ``conv.{2,5.0}`` and ``shortcut.1``.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            InstanceNorm(),
            nn.LeakyReLU(0.2),
            Conv2d(into, into, 3, padding=1),
            InstanceNorm(),
            nn.LeakyReLU(0.2),
            nn.Sequential(Conv2d(into, out, 3, padding=1), nn.AvgPool2d(2)),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(into, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, into, H, W)`` to ``(B, out, H/2, W/2)``."""
        out: Tensor = self.conv(x) + self.shortcut(x)
        return out


class Encoder(nn.Module):
    """Images to the mean and log-variance of their codes; keys ``conv.…``, ``fc.0``, ``fcVar.0``.

    Parameters
    ----------
    nef
        Channels after the first convolution; the blocks have 2, 3, 4, 4, … times as many.
    n_blocks
        Residual blocks.
    nz
        Numbers in the code.
    """

    def __init__(self, nef: int = 64, n_blocks: int = 4, nz: int = 8) -> None:
        super().__init__()
        widths = [nef * min(n + 1, 4) for n in range(n_blocks + 1)]
        blocks = [EncoderBlock(widths[n], widths[n + 1]) for n in range(n_blocks)]
        # The last two layers have no weights: an activation, and the mean of each map (of
        # 8×8 pixels for 256×256 images, as published).
        self.conv = nn.Sequential(
            nn.Conv2d(3, nef, 4, stride=2, padding=1),
            *blocks,
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1),
        )
        self.fc = nn.Sequential(nn.Linear(widths[-1], nz))
        self.fcVar = nn.Sequential(nn.Linear(widths[-1], nz))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, H, W)`` in ``[-1, 1]`` to ``(mu, logvar)``, both ``(B, nz)``."""
        features = self.conv(images).flatten(1)
        return self.fc(features), self.fcVar(features)


class MultiscaleDiscriminator(nn.Module):
    """PatchGANs on the image and on smaller copies; keys ``model_<scale>.{0,2,5,8,11}``.

    Parameters
    ----------
    ndf
        Channels after the first convolution at full size; halved with each scale.
    scales
        How many sizes it looks at, each half the one before.
    strided
        Stride-2 convolutions at each scale.
    """

    def __init__(self, ndf: int = 64, scales: int = 2, strided: int = 3) -> None:
        super().__init__()
        self.scales = scales
        for scale in range(scales):
            self.add_module(f"model_{scale}", patch_layers(3, max(1, ndf // 2**scale), strided))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images ``(B, 3, H, W)`` in ``[-1, 1]`` to raw patch scores, one map a scale."""
        scores = []
        for scale in range(self.scales):
            scores.append(self.get_submodule(f"model_{scale}")(images))
            images = F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
        return scores
