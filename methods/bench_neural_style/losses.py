"""The losses of neural style transfer, one value per image, and all differentiable.

Features are ``(B, C, H, W)``; Gram matrices ``(B, C, C)``; every loss is ``(B,)``.
"""

from __future__ import annotations

from typing import Any

import torch

from bench.nn.norms import at_least_float32
from bench.nn.precision import products_like_convolutions

__all__ = ["content_loss", "gram", "row_products", "row_sum", "style_loss", "total_variation"]

_BLOCK = 256


class _Gram(torch.autograd.Function):
    """``F F' / (H W)`` with the one product its symmetric derivative needs.

    Autograd's own derivative of ``F F'`` multiplies twice, once for each factor.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:  # rows: (B, HW, C)
        ctx.save_for_backward(rows)
        with products_like_convolutions():
            return row_products(rows.transpose(1, 2), rows).div_(rows.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (rows,) = ctx.saved_tensors
        symmetric = (grads[0] + grads[0].transpose(1, 2)).div_(rows.shape[1])
        with products_like_convolutions():
            return row_products(rows, symmetric)


def row_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` of every row, each the same bit for bit whatever the other rows are.

    On a CPU the threads share the products of a batch, but divide the sums of a single one.
    """
    if a.device.type != "cpu":
        return torch.bmm(a, b)
    out = a.new_empty(len(a), a.shape[1], b.shape[2])
    for left, right, into in zip(a, b, out, strict=True):
        torch.mm(left, right, out=into)
    return out


def gram(features: torch.Tensor) -> torch.Tensor:
    """Gram matrices of the channels, divided by the number of positions.

    Gatys et al. 2016, eq. 3; dividing by positions keeps images of different size
    comparable.

    Parameters
    ----------
    features
        ``(B, C, H, W)``; channels-last memory saves a copy.

    Returns
    -------
    torch.Tensor
        ``(B, C, C)``.
    """
    rows = at_least_float32(features).permute(0, 2, 3, 1).flatten(1, 2)
    result: torch.Tensor = _Gram.apply(rows)
    return result


def row_sum(rows: torch.Tensor) -> torch.Tensor:
    """Sums of the rows of ``(B, n)``, each the same bit for bit whatever the other rows are.

    A plain ``sum`` on a CPU divides long rows among threads, depending on how many rows
    there are; and L-BFGS turns a last bit into visible pixels. Summing short blocks first
    leaves no long row to divide.
    """
    whole = rows.shape[1] - rows.shape[1] % _BLOCK
    blocks = rows[:, :whole].reshape(len(rows), -1, _BLOCK).sum(2)
    return blocks.sum(1) + rows[:, whole:].sum(1)


def _last(features: torch.Tensor) -> torch.Tensor:
    """``(B, C, H, W)`` as rows in the order of channels-last memory: a view of it."""
    return features.permute(0, 2, 3, 1).flatten(1)


def content_loss(features: torch.Tensor, target: torch.Tensor, norm: str) -> torch.Tensor:
    """Squared distance of features to a target (eq. 1).

    Parameters
    ----------
    features, target
        ``(B, C, H, W)``.
    norm
        ``mean`` over all entries, or ``half_sum`` as the paper has it.

    Returns
    -------
    torch.Tensor
        ``(B,)``.
    """
    difference = at_least_float32(features) - at_least_float32(target)
    squares = row_sum(_last(difference).square())
    return squares * 0.5 if norm == "half_sum" else squares / features[0].numel()


def style_loss(matrices: torch.Tensor, target: torch.Tensor, norm: str) -> torch.Tensor:
    """Squared distance of Gram matrices to a target (eq. 4).

    Parameters
    ----------
    matrices, target
        ``(B, C, C)``, divided by the number of positions.
    norm
        ``mean`` over all entries, or ``paper``: a quarter of it, since
        ``sum (G - A)² / (4 N² M²)`` is a quarter of the mean square of ``(G - A) / M``.

    Returns
    -------
    torch.Tensor
        ``(B,)``.
    """
    squares = row_sum((matrices - target).square().flatten(1)) / matrices[0].numel()
    return squares * 0.25 if norm == "paper" else squares


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """Mean square of the vertical differences plus that of the horizontal ones.

    Parameters
    ----------
    images
        ``(B, 3, H, W)`` with sides of at least 2 pixels.

    Returns
    -------
    torch.Tensor
        ``(B,)``.
    """
    vertical = (images[:, :, 1:] - images[:, :, :-1]).square()
    horizontal = (images[:, :, :, 1:] - images[:, :, :, :-1]).square()
    return (
        row_sum(vertical.flatten(1)) / vertical[0].numel()
        + row_sum(horizontal.flatten(1)) / horizontal[0].numel()
    )
