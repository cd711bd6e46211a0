"""Halving and doubling maps without aliasing.

A map is halved by a blur with the binomial kernel (1 2 1) and every second pixel of it, and
doubled by the transpose of a blur with (1 3 3 1): each new pixel is three quarters of the
nearest old one and a quarter of the next, along each side. State dicts hold the two fixed
kernels as buffers ``filt``, as in the original implementation.

Source: Zhang 2019, *Making convolutional networks shift-invariant again*.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nn.sharing import shared
from bench.nn.upsample import add_ring, collapse, edge_pair, edges
from bench.nn.winograd import conv2d

# [p][a][k]: what tap k of a 3x3 kernel, at the doubled row 2i + p + k - 1, reads of row
# i + a - 1; see :func:`bench.nn.upsample.collapse`.
_TAPS = (
    ((0.75, 0.25, 0.0), (0.25, 0.75, 0.75), (0.0, 0.0, 0.25)),
    ((0.25, 0.0, 0.0), (0.75, 0.75, 0.25), (0.0, 0.25, 0.75)),
)


def _binomial(channels: int, row: tuple[float, ...], total: float) -> Tensor:
    """``(C, 1, k, k)``: the outer square of `row`, summing to `total`."""
    line = torch.tensor(row)
    square = line[:, None] * line
    return (square * (total / square.sum())).repeat(channels, 1, 1, 1)


class BlurDown(nn.Module):
    """Reflects by 1, blurs by (1 2 1) along each side, takes every second pixel.

    Parameters
    ----------
    channels
        Of the maps; each is blurred on its own.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial(channels, (1.0, 2.0, 1.0), 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` with sides of at least 2 to ``(B, C, ⌈H/2⌉, ⌈W/2⌉)``."""
        padded = F.pad(x, (1, 1, 1, 1), "reflect")
        return F.conv2d(padded, self.filt, stride=2, groups=len(self.filt))


class BlurUp(nn.Module):
    """The place of a doubling in a list of layers; :class:`BlurUpConv` after it does the work.

    Convolving the small maps is as good as doubling them first, and saves the doubled ones.

    Parameters
    ----------
    channels
        Of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial(channels, (1.0, 3.0, 3.0, 1.0), 4.0))

    def forward(self, x: Tensor) -> Tensor:
        """Give `x` itself."""
        return x


class BlurUpConv(nn.Conv2d):
    """Doubles maps, then convolves them by 3×3, padded by zeros; keys as a convolution's."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """``(B, I, H, W)`` to ``(B, O, 2H, 2W)``."""
        return blur_up_conv3(input, self.weight, self.bias)


def _collapse(weight: Tensor) -> Tensor:
    return collapse(weight, _TAPS)


def _doubled(line: Tensor) -> Tensor:
    """``(B, C, L)`` to ``(B, C, 2L)``; beyond its ends a line goes on as it ends."""
    ends = F.pad(line, (1, 1), "replicate")
    near = 0.75 * line
    pair = torch.stack((near + 0.25 * ends[..., :-2], near + 0.25 * ends[..., 2:]), -1)
    return pair.flatten(-2)


def blur_up_conv3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Double by the transposed blur, pad by zeros and convolve with a 3×3 kernel.

    Parameters
    ----------
    x
        ``(B, I, H, W)``.
    weight, bias
        ``(O, I, 3, 3)`` and ``(O,)``.

    Returns
    -------
    Tensor
        ``(B, O, 2H, 2W)``; equal to the plain sequence up to rounding.

    Notes
    -----
    A 3×3 window of the doubled maps reads 3×3 pixels of the small ones, whichever of the four
    parities it stands on. So there are as many multiplications as in the plain sequence, but
    the doubled maps, the largest of a decoder, are never made.

    Small maps that go on as they end double to maps that do so; with zeros around them
    instead, only the outermost ring of the outputs differs, by what the ring of replicated
    pixels brings it.
    """
    small = shared(_collapse, weight)
    offset = None if bias is None else bias.repeat_interleave(4)
    y = F.pixel_shuffle(conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), small, offset), 2)
    # The corners of that ring belong to its rows.
    above, below, before, behind = edges(x, 1)
    top, bottom = (F.pad(_doubled(at[:, :, 0]), (1, 1), "replicate") for at in (above, below))
    left, right = (F.pad(_doubled(at[..., 0]), (1, 1)) for at in (before, behind))
    rows = edge_pair(top, bottom, torch.cat([weight[:, :, 0], weight[:, :, 2]]))
    columns = edge_pair(left, right, torch.cat([weight[..., 0], weight[..., 2]]))
    return add_ring(y, -rows, -columns)
