"""Layers and last steps that several networks share, and switching their gradients off."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.nn.norms import instance_norm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class InstanceNorm(nn.Module):
    """Instance normalisation without parameters and without running statistics, eps 1e-5.

    Holds nothing, so it leaves no key in a state dict.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape; mean 0 and biased variance 1 over H and W."""
        return instance_norm(x)


def laid_out(images: Tensor) -> Tensor:
    """Return `images`, in memory as networks compute them fastest; ``(B, C, H, W)``.

    On a CPU the channels of a pixel lie together: convolutions read whole vectors of them, and
    layers keep the order. A GPU decides for itself (:mod:`bench.training.tuning`).
    """
    if images.device.type != "cpu":
        return images
    return images.contiguous(memory_format=torch.channels_last)


_INSIDE = 0.99
"""Largest magnitude that is still taken through the inverse of tanh."""


def edited(images: Tensor, change: Tensor) -> Tensor:
    """Images changed before the tanh that bounds them: where `change` is 0 they stay.

    Parameters
    ----------
    images
        ``(B, 3, H, W)`` in ``[-1, 1]``; what is nearer than 0.01 to an end is moved there.
    change
        Of the same shape, unbounded.
    """
    return torch.tanh(change + torch.atanh(images.clamp(-_INSIDE, _INSIDE)))


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within it the modules' weights take no gradient; gradients still pass through."""
    for module in modules:
        module.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for module in modules:
            module.requires_grad_(requires_grad=True)
