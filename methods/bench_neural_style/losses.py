"""The losses of neural style transfer, one value per image, and all differentiable.

Features are ``(B, C, H, W)``; Gram matrices ``(B, C, C)``; every loss is ``(B,)``.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["content_loss", "gram", "style_loss", "total_variation"]


class _Gram(torch.autograd.Function):
    """``F F' / (H W)`` with the one product its symmetric derivative needs.

    Autograd's own derivative of ``F F'`` multiplies twice, once for each factor.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:  # rows: (B, HW, C)
        ctx.save_for_backward(rows)
        return torch.bmm(rows.transpose(1, 2), rows).div_(rows.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (rows,) = ctx.saved_tensors
        symmetric = grads[0] + grads[0].transpose(1, 2)
        return torch.bmm(rows, symmetric.div_(rows.shape[1]))


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
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)
    result: torch.Tensor = _Gram.apply(rows)
    return result


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
    squares = (features - target).square().sum((1, 2, 3))
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
    squares = (matrices - target).square().mean((1, 2))
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
    vertical = (images[:, :, 1:] - images[:, :, :-1]).square().mean((1, 2, 3))
    horizontal = (images[:, :, :, 1:] - images[:, :, :, :-1]).square().mean((1, 2, 3))
    return vertical + horizontal
