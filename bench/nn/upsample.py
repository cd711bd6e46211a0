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

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from bench.nn.sharing import shared
from bench.nn.winograd import conv2d

Taps = Sequence[Sequence[Sequence[float]]]

# _TAPS[p][a][k] = 1 where tap k of the 5 reads low-resolution offset a - 1, for the output
# pixels of parity p: offset = floor((p + k - 2) / 2).
_TAPS = (
    ((1, 1, 0, 0, 0), (0, 0, 1, 1, 0), (0, 0, 0, 0, 1)),
    ((1, 0, 0, 0, 0), (0, 1, 1, 0, 0), (0, 0, 0, 1, 1)),
)


def _fold(kernel: Tensor, axis: int, taps: Taps) -> Tensor:
    """The taps along an axis as two times three: those of the even pixels, then the odd."""
    lines = kernel.unbind(axis)

    def added(row: Sequence[float]) -> Tensor:
        return reduce(add, (x if w == 1 else w * x for w, x in zip(row, lines, strict=True) if w))

    # Numbers of Python, as a tensor of them would be copied to the device each time.
    return torch.stack([added(row) for parity in taps for row in parity], axis)


def collapse(weight: Tensor, taps: Taps) -> Tensor:
    """A kernel that reads a doubled image, as one that reads it before it was doubled.

    Parameters
    ----------
    weight
        ``(O, I, k, k)``.
    taps
        ``[p][a][k]``: how much of low-resolution offset ``a - 1`` tap k reads, along one
        side, for the output pixels of parity p.

    Returns
    -------
    Tensor
        ``(4·O, I, 3, 3)``. Output channel ``4·o + 2·p + q`` makes the pixels of row parity p
        and column parity q: the order of :func:`torch.nn.functional.pixel_shuffle`.
    """
    out, into = weight.shape[:2]
    both = _fold(_fold(weight, 2, taps), 3, taps).view(out, into, 2, 3, 2, 3)
    return both.permute(0, 2, 4, 1, 3, 5).reshape(4 * out, into, 3, 3)


def collapse_kernel(weight: Tensor) -> Tensor:
    """A ``(O, I, 5, 5)`` kernel after nearest neighbour; see :func:`collapse`."""
    return collapse(weight, _TAPS)


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


def add_ring(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps ``(B, O, H, W)`` with lines added to their outermost ring, in place.

    Parameters
    ----------
    rows, columns
        ``(B, 2, O, W)`` for top and bottom, ``(B, 2, O, H)`` for left and right; a corner
        gets both.
    """
    out: Tensor = _AddRing.apply(x, rows.to(x.dtype), columns.to(x.dtype))
    return out


class _Edges(torch.autograd.Function):
    """As one function its backward fills maps once; autograd's slices would for every line."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, depth: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x)
        ctx.depth = depth
        lines = x[:, :, :depth], x[:, :, -depth:], x[..., :depth], x[..., -depth:]
        top, bottom, left, right = (line.clone() for line in lines)
        return top, bottom, left, right

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor
    ) -> tuple[Tensor, None]:
        (x,), depth = ctx.saved_tensors, ctx.depth
        d_x = torch.zeros_like(x)
        d_x[:, :, :depth] += top
        d_x[:, :, -depth:] += bottom
        d_x[..., :depth] += left
        d_x[..., -depth:] += right
        return d_x, None


def edges(x: Tensor, depth: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, bottom, left and right of maps ``(B, C, H, W)``: their outermost `depth` lines.

    ``(B, C, depth, W)`` twice and ``(B, C, H, depth)`` twice; for :func:`edge_pair`.
    """
    found: tuple[Tensor, Tensor, Tensor, Tensor] = _Edges.apply(x, depth)
    return found


def edge_pair(first: Tensor, last: Tensor, kernels: Tensor) -> Tensor:
    """Two lines through kernels of their own.

    Parameters
    ----------
    first, last
        ``(B, I, L + k - 1)``.
    kernels
        ``(2·O, I, k)``: those of the first line, then those of the last.

    Returns
    -------
    Tensor
        ``(B, 2, O, L)``.
    """
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
    above, below, before, behind = edges(x, 2)
    top = doubled(above[:, :, 1], "reflect") - doubled(above[:, :, 0], "replicate")
    bottom = doubled(below[:, :, 0], "reflect") - doubled(below[:, :, 1], "replicate")
    # Padding columns likewise, without the corners, which the rows have already brought.
    left, right = (
        F.pad(F.pad(side.repeat_interleave(2, -1), (1, 1), "replicate"), (1, 1))
        for side in (before[..., 1] - before[..., 0], behind[..., 0] - behind[..., 1])
    )
    rows = edge_pair(top, bottom, torch.cat([weight[:, :, 0], weight[:, :, 4]]))
    columns = edge_pair(left, right, torch.cat([weight[:, :, :, 0], weight[:, :, :, 4]]))
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
    return add_ring(y, rows, columns)


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
