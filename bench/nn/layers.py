"""Layers that several networks are built of, and switching their gradients off."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

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
