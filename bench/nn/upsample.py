"""Nearest-neighbour upsampling followed by a 5x5 convolution, at a third of the cost.

On an image doubled by nearest neighbour, the 25 taps of a 5x5 kernel fall on only 3x3
different pixels. So the pair equals one 3x3 convolution at low resolution with four times
the output channels, then a pixel shuffle: 9 instead of 25 multiplications per output. The
small kernels are sums of the large one's taps, thus linear in it: gradients flow to the
5x5 kernel, and a state dict does not change.

Reflection padding at high resolution is replicate padding at low resolution except for one
row and column of padding on each side; their difference is added to the outermost ring.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.nn.sharing import shared
from bench.nn.winograd import conv2d


def _fold(kernel: Tensor, axis: int) -> Tensor:
    """The five taps along an axis as two times three: those of the even pixels, then the odd.

    Tap k reads the low-resolution pixel at ``floor((p + k - 2) / 2)`` from an output of
    parity p: taps that read the same pixel add up.
    """
    first, second, third, fourth, fifth = kernel.unbind(axis)
    even = (first + second, third + fourth, fifth)
    odd = (first, second + third, fourth + fifth)
    return torch.stack([*even, *odd], axis)


def collapse_kernel(weight: Tensor) -> Tensor:
    """A ``(O, I, 5, 5)`` kernel as the ``(4·O, I, 3, 3)`` kernel of its four output parities.

    Output channel ``4·o + 2·p + q`` makes the pixels of row parity p and column parity q:
    the order of :func:`torch.nn.functional.pixel_shuffle`.
    """
    out, into = weight.shape[:2]
    both = _fold(_fold(weight, 2), 3).view(out, into, 2, 3, 2, 3)
    return both.permute(0, 2, 4, 1, 3, 5).reshape(4 * out, into, 3, 3)


class _AddRing(torch.autograd.Function):
    """Add rows to the top and bottom and columns to the left and right edge, in place.

    As one function its backward hands the incoming gradient on as it is; autograd's
    in-place slices would copy it whole four times.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        x[:, :, 0].add_(rows[:, 0])
        x[:, :, -1].add_(rows[:, 1])
        x[:, :, :, 0].add_(columns[:, 0])
        x[:, :, :, -1].add_(columns[:, 1])
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.stack([grad[:, :, 0], grad[:, :, -1]], 1)
        columns = torch.stack([grad[:, :, :, 0], grad[:, :, :, -1]], 1)
        return grad, rows, columns


def _edge_pair(first: Tensor, last: Tensor, kernels: Tensor) -> Tensor:
    """Two lines ``(B, I, L + 4)`` through their own ``(O, I, 5)`` kernels: ``(B, 2, O, L)``."""
    out = F.conv1d(torch.cat([first, last], 1), kernels, groups=2)
    return out.view(len(out), 2, -1, out.shape[-1])


def _ring(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What reflection padding adds to the outermost ring over replicate padding.

    Returns
    -------
    tuple of Tensor
        Rows ``(B, 2, O, 2W)`` (top, bottom) and columns ``(B, 2, O, 2H)`` (left, right).
        Corners get their row's share and their column's share once each.
    """

    def doubled(line: Tensor, mode: str) -> Tensor:
        return F.pad(line.repeat_interleave(2, -1), (2, 2), mode)

    # Padding rows: the reflected row 1 stands where the replicated row 0 stood.
    top = doubled(x[:, :, 1], "reflect") - doubled(x[:, :, 0], "replicate")
    bottom = doubled(x[:, :, -2], "reflect") - doubled(x[:, :, -1], "replicate")
    # Padding columns likewise, without the corners, which the rows have already brought.
    left, right = (
        F.pad(F.pad(side.repeat_interleave(2, -1), (1, 1), "replicate"), (1, 1))
        for side in (x[:, :, :, 1] - x[:, :, :, 0], x[:, :, :, -2] - x[:, :, :, -1])
    )
    rows = _edge_pair(top, bottom, torch.cat([weight[:, :, 0], weight[:, :, 4]]))
    columns = _edge_pair(left, right, torch.cat([weight[:, :, :, 0], weight[:, :, :, 4]]))
    return rows, columns


def upsample_conv5(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Double by nearest neighbour, reflect by 2 and convolve with a 5x5 kernel.

    Parameters
    ----------
    x
        ``(B, I, H, W)`` with H, W of at least 2.
    weight, bias
        ``(O, I, 5, 5)`` and ``(O,)``.

    Returns
    -------
    Tensor
        ``(B, O, 2H, 2W)``; equal to the plain sequence up to rounding.
    """
    small = shared(collapse_kernel, weight)
    offset = None if bias is None else bias.repeat_interleave(4)
    y = F.pixel_shuffle(conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), small, offset), 2)
    rows, columns = _ring(x, weight)
    out: Tensor = _AddRing.apply(y, rows.to(y.dtype), columns.to(y.dtype))
    return out


def conv_few_outputs(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve with stride 1 and no padding where there are only a few output channels.

    Kernels are built for eight or more output channels at once; an RGB image uses three.
    Computing a 2x2 block of pixels as twelve channels with stride 2, by a kernel one larger,
    costs a third more multiplications and fills those kernels four times as well.

    Parameters
    ----------
    x
        ``(B, I, H + k - 1, W + k - 1)``.
    weight, bias
        ``(O, I, k, k)`` and ``(O,)``.

    Returns
    -------
    Tensor
        ``(B, O, H, W)``; where H or W is odd, by the plain convolution.
    """
    out, into, rows, columns = weight.shape
    if (x.shape[-2] - rows) % 2 == 0 or (x.shape[-1] - columns) % 2 == 0:
        return F.conv2d(x, weight, bias)
    shifted = [F.pad(weight, (q, 1 - q, p, 1 - p)) for p in (0, 1) for q in (0, 1)]
    block = torch.stack(shifted, 1).reshape(4 * out, into, rows + 1, columns + 1)
    offset = None if bias is None else bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(x, block, offset, stride=2), 2)
