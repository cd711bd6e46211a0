"""3x3 convolutions with a quarter of the multiplications, for processors without tensor cores.

Winograd's minimal filtering F(4x4, 3x3) computes a tile of 4x4 outputs with 36
multiplications for every pair of channels instead of 144. Tiles and kernel go through small
fixed matrices, one matrix product for each of 36 points does the work, and a third matrix
makes outputs of the products. The gradients to image and kernel are products at the same
points, hence as much cheaper. The result is exact but for rounding, which is about seven
times that of a plain float32 convolution: 1e-6 of the outputs' spread, a thousandth of what
TF32 loses.

Tiles are gathered and laid down in whole runs of channels, so the channels of a pixel should lie
together in memory: with the pixels of a map together instead, a convolution with its gradients
takes a quarter longer.

F(2x2, 3x3) takes 16 multiplications instead of 36. Its kernel at the points is less than half
as large, which is what counts on small maps: there the kernels are most of what is moved.

Source: Lavin & Gray 2016, *Fast algorithms for convolutional neural networks*; the points of
interpolation after Barabasz et al. 2020, *Error analysis and improving the accuracy of
Winograd convolution*, whose small fractions lose less than the usual 0, ±1, ±2.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.nn.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

TILE = 4
"""Outputs of a tile along each side, on large maps."""

SMALL_TILE = 2
"""Likewise on small ones."""

SIZE = 3
"""The kernel's side."""

_POINTS = {
    TILE: (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
    SMALL_TILE: (Fraction(0), Fraction(1), Fraction(-1)),
}
"""Where the polynomials of tile and kernel are evaluated, besides infinity."""


class Matrices(NamedTuple):
    """The three transforms of a 2-D tile, for flattened tiles; P points, T outputs a side.

    Parameters
    ----------
    image
        ``(P, P)``: a tile of inputs, T + 2 a side, to its values at the points.
    kernel
        ``(P, 9)``: likewise for the kernel.
    output
        ``(T², P)``: products at the points to a tile of outputs.
    """

    image: Tensor
    kernel: Tensor
    output: Tensor


def _expand(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the monic polynomial with these roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _transforms(points: Sequence[Fraction]) -> Matrices:
    """In float64, from exact fractions (Toom-Cook).

    Notes
    -----
    A product of polynomials is fixed by its values at enough points, infinity among them;
    filtering is that product's transpose. Every 2-D matrix is a Kronecker square.
    """
    image, kernel = [], []
    for point in points:
        others = [other for other in points if other != point]
        norm = math.prod(point - other for other in others)
        kernel.append([point**k / norm for k in range(SIZE)])
        image.append([*_expand(others), Fraction(0)])
    kernel.append([Fraction(int(k == SIZE - 1)) for k in range(SIZE)])
    image.append(_expand(points))
    tile = len(points) + 2 - SIZE
    output = [[*(p**j for p in points), Fraction(int(j == tile - 1))] for j in range(tile)]

    def square(rows: Sequence[Sequence[Fraction]]) -> Tensor:
        exact = torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)
        return torch.kron(exact, exact)

    return Matrices(square(image), square(kernel), square(output))


# Made at once, not at the first call: that may be one which only traces a compiled program.
_EXACT = {tile: _transforms(points) for tile, points in _POINTS.items()}


_made: dict[tuple[int, torch.dtype, torch.device], Matrices] = {}


def matrices(tile: int, like: Tensor) -> Matrices:
    """The transforms in a tensor's precision, on its device; made once."""
    key = tile, like.dtype, like.device
    known = None if torch.compiler.is_compiling() else _made.get(key)
    if known is None:
        known = Matrices(*(matrix.to(like.device, like.dtype) for matrix in _EXACT[tile]))
        # What a tracer or a fake mode hands out stands for a tensor only while it is at work.
        if type(known.image) is Tensor and not torch.compiler.is_compiling():
            _made[key] = known
    return known


class _Kernel(torch.autograd.Function):
    """Left to itself, autograd would multiply the gradient the long way: four times as slow."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tile: int) -> Tensor:
        out, into = weight.shape[:2]
        at = matrices(tile, weight).kernel
        return (at @ weight.reshape(out * into, SIZE * SIZE).t()).view(-1, out, into)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        points, out, into = grad.shape
        at = matrices(_tile_of(grad), grad).kernel
        d_weight = (at.t() @ grad.reshape(points, -1)).view(SIZE, SIZE, out, into)
        return d_weight.permute(2, 3, 0, 1).contiguous(), None


def transform_kernel(weight: Tensor, tile: int = TILE) -> Tensor:
    """A kernel ``(O, I, 3, 3)`` at the points of a tile: ``(P, O, I)``; differentiable once."""
    kernel: Tensor = _Kernel.apply(weight, tile)
    return kernel


def _tile_of(kernel: Tensor) -> int:
    """The tile that a kernel at its points is for."""
    return math.isqrt(len(kernel)) - SIZE + 1


def _tiles(tile: int, height: int, width: int) -> tuple[int, int]:
    """Tiles down and across that cover the outputs of padded images of this size."""
    return -(-(height - SIZE + 1) // tile), -(-(width - SIZE + 1) // tile)


def _to_points(x: Tensor, tile: int) -> Tensor:
    """Overlapping tiles of ``(B, H, W, I)`` at the points: ``(P, B · tiles, I)``."""
    at, side = matrices(tile, x).image, tile + SIZE - 1
    tiles = x.unfold(1, side, tile).unfold(2, side, tile).permute(4, 5, 0, 1, 2, 3)
    return (at @ tiles.reshape(side * side, -1)).view(side * side, -1, x.shape[-1])


def _to_points_transposed(values: Tensor, shape: torch.Size, tile: int) -> Tensor:
    """The transpose of :func:`_to_points`: overlapping tiles are added up."""
    at, side = matrices(tile, values).image, tile + SIZE - 1
    tiles = at.t() @ values.view(side * side, -1)
    x = values.new_zeros(shape)
    to = x.unfold(1, side, tile).unfold(2, side, tile).permute(4, 5, 0, 1, 2, 3)
    tiles = tiles.view(to.shape)
    # A tile owns its first rows and columns and lends the last two to the next one.
    own, lent = slice(tile), slice(tile, side)
    to[own, own] = tiles[own, own]
    for rows, columns in ((lent, own), (own, lent), (lent, lent)):
        to[rows, columns] += tiles[rows, columns]
    return x


def _outputs(values: Tensor, tile: int, batch: int, down: int, across: int) -> Tensor:
    """Products at the points, ``(P, B · tiles, O)``, to ``(B, H, W, O)`` of whole tiles."""
    tiles = matrices(tile, values).output @ values.view(len(values), -1)
    tiles = tiles.view(tile, tile, batch, down, across, -1).permute(2, 3, 0, 4, 1, 5)
    return tiles.reshape(batch, down * tile, across * tile, -1)


class _Convolution(torch.autograd.Function):
    """``(B, H, W, I)`` with a kernel ``(P, O, I)`` at the points; H - 2, W - 2 fill whole tiles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        batch, height, width, _ = x.shape
        tile = _tile_of(kernel)
        image = _to_points(x, tile)
        ctx.shape = x.shape
        ctx.save_for_backward(kernel, image if ctx.needs_input_grad[1] else None)
        values = torch.bmm(image, kernel.transpose(1, 2))
        y = _outputs(values, tile, batch, *_tiles(tile, height, width))
        return y if bias is None else y.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        kernel, image = ctx.saved_tensors
        to_x, to_kernel, to_bias = ctx.needs_input_grad
        batch, height, width, out = grad.shape
        tile = _tile_of(kernel)
        tiles = grad.reshape(batch, height // tile, tile, width // tile, tile, out)
        tiles = tiles.permute(2, 4, 0, 1, 3, 5).reshape(tile * tile, -1)
        values = (matrices(tile, grad).output.t() @ tiles).view(len(kernel), -1, out)
        d_x = d_kernel = None
        if to_x:
            d_x = _to_points_transposed(torch.bmm(values, kernel), ctx.shape, tile)
        if to_kernel:
            d_kernel = torch.bmm(values.transpose(1, 2), image)
        return d_x, d_kernel, grad.sum((0, 1, 2)) if to_bias else None


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve with stride 1 and no padding, by a kernel that is transformed already.

    Parameters
    ----------
    x
        ``(B, I, H + 2, W + 2)``, best in channels-last memory.
    kernel
        ``(P, O, I)`` from :func:`transform_kernel`; it knows its tile.
    bias
        ``(O,)``.

    Returns
    -------
    Tensor
        ``(B, O, H, W)`` in channels-last memory.
    """
    height, width = (side - SIZE + 1 for side in x.shape[-2:])
    tile = _tile_of(kernel)
    rest_h, rest_w = -height % tile, -width % tile
    if rest_h or rest_w:
        x = F.pad(x, (0, rest_w, 0, rest_h))
    y: Tensor = _Convolution.apply(x.permute(0, 2, 3, 1), kernel, bias)
    return y[:, :height, :width].permute(0, 3, 1, 2)


def best_tile(x: Tensor, weight: Tensor) -> int:
    """Return the tile that is fastest for padded `x` and a kernel of stride 1; 0: go directly.

    Filtering is worth it on a CPU, in full precision, with many channels and enough tiles; else
    walking through memory costs more than is saved, above all for the kernel, which is four
    times as large at the points of a tile, and not quite twice at those of a small one. It is a
    rule and no measurement on the spot, so that a training repeats bit for bit;
    ``pytest -s tests/speed/test_layers.py`` measures the layers that it decides about.
    """
    out, into, rows, columns = weight.shape
    if (
        (rows, columns) != (SIZE, SIZE)
        or x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.float64)
        or torch.is_autocast_enabled("cpu")
        or min(out, into) < 64
    ):
        return 0
    tiles = {tile: len(x) * math.prod(_tiles(tile, *x.shape[-2:])) for tile in _POINTS}
    if tiles[TILE] >= 64 and tiles[TILE] * out * into >= 64 * 128**2:
        return TILE
    return SMALL_TILE if tiles[SMALL_TILE] >= 64 and out * into >= 256**2 else 0


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve with stride 1 and no padding, in whichever way is faster.

    Parameters
    ----------
    x
        ``(B, I, H, W)``, padded already.
    weight, bias
        ``(O, I, k, k)`` and ``(O,)``.
    """
    if tile := best_tile(x, weight):
        return convolve(x, shared(transform_kernel, weight, tile), bias)
    return F.conv2d(x, weight, bias)


class Conv2d(nn.Conv2d):
    """torch's layer with the same keys and results, computed by :func:`conv2d` where it can be."""

    def forward(self, input: Tensor) -> Tensor:
        """``(B, I, H, W)`` to ``(B, O, H', W')``."""
        if (
            self.stride != (1, 1)
            or self.kernel_size != (SIZE, SIZE)
            or self.padding_mode != "zeros"
        ):
            return super().forward(input)
        if isinstance(self.padding, str):
            return super().forward(input)
        rows, columns = self.padding
        x = F.pad(input, (columns, columns, rows, rows)) if rows or columns else input
        return conv2d(x, self.weight, self.bias)


class FrozenKernel(NamedTuple):
    """A 3x3 kernel that never changes, at the points, for :func:`frozen_conv_relu`.

    Parameters
    ----------
    forward, backward
        ``(36, I, O)`` and, for the gradient, ``(36, O, I)``.
    bias
        ``(O,)``.
    """

    forward: Tensor
    backward: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> FrozenKernel:
        """From ``(O, I, 3, 3)`` and ``(O,)``."""

        def at_points(kernel: Tensor) -> Tensor:
            return transform_kernel(kernel.contiguous()).transpose(1, 2).contiguous()

        # The derivative of a padded convolution is one again, with the kernel turned round.
        return cls(at_points(weight), at_points(weight.flip(2, 3).transpose(0, 1)), bias)


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """``(B, H, W, I)``, padded by zeros here, with a kernel ``(36, I, O)`` at the points."""
    batch, height, width, _ = x.shape
    down, across = _tiles(TILE, height + 2, width + 2)
    bottom, right = down * TILE - height, across * TILE - width
    x = F.pad(x, (0, 0, 1, 1 + right, 1, 1 + bottom))
    y = _outputs(torch.bmm(_to_points(x, TILE), kernel), TILE, batch, down, across)
    return y[:, :height, :width].contiguous()


class _FrozenConvReLU(torch.autograd.Function):
    """On ``(B, H, W, C)``; a gradient goes to the image alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, back: Tensor) -> Tensor:
        y = _filtered(x, kernel).add_(bias).relu_()
        ctx.save_for_backward(y, back)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        y, back = ctx.saved_tensors
        return _filtered(torch.ops.aten.threshold_backward(grad, y, 0), back), None, None, None


def frozen_conv_relu(x: Tensor, kernel: FrozenKernel) -> Tensor:
    """Pad by zeros, convolve, rectify: a layer of a network that is not trained.

    Parameters
    ----------
    x
        ``(B, I, H, W)``, best in channels-last memory.

    Returns
    -------
    Tensor
        ``(B, O, H, W)`` in channels-last memory.
    """
    last = x.permute(0, 2, 3, 1)
    y: Tensor = _FrozenConvReLU.apply(last, kernel.forward, kernel.bias, kernel.backward)
    return y.permute(0, 3, 1, 2)
