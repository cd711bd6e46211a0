"""Layers that several networks are built of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from bench.nn.norms import instance_norm

if TYPE_CHECKING:
    from torch import Tensor


class InstanceNorm(nn.Module):
    """Instance normalisation without parameters and without running statistics, eps 1e-5.

    Holds nothing, so it leaves no key in a state dict.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape; mean 0 and biased variance 1 over H and W."""
        return instance_norm(x)
