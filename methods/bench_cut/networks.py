"""What compares patches in CUT: positions of feature maps, and the networks that project them.

Generator and discriminator are the anti-aliased ones of :mod:`bench.nn.resnet` and
:mod:`bench.nn.patch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.nn.norms import at_least_float32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_EPS = 1e-7


def sample_positions(maps: Tensor, positions: Tensor, *, mirrored: bool = False) -> Tensor:
    """The feature vectors at some positions of each map.

    Parameters
    ----------
    maps
        ``(T·B, C, H, W)``: T batches of images behind one another.
    positions
        int64 ``(T, n)`` in ``[0, H·W)``, row by row: those of each batch, the same for all of
        its images.
    mirrored
        Whether the maps are of mirrored images; positions count in the image itself.

    Returns
    -------
    Tensor
        ``(T·B, n, C)``.
    """
    if mirrored:
        width = maps.shape[-1]
        positions = positions + (width - 1) - 2 * (positions % width)
    batches = maps.flatten(2).chunk(len(positions))
    chosen = [x.index_select(2, at) for x, at in zip(batches, positions, strict=True)]
    return torch.cat(chosen).transpose(1, 2)


class PatchHeads(nn.Module):
    """One small network a layer of maps; keys ``mlp_<k>.{0,2}.{weight,bias}``.

    The original makes its networks at the first batch. Here the channels are told, so that
    weights can be drawn, and checkpoints loaded, before there is one.

    Parameters
    ----------
    channels
        Of the maps of each layer.
    width
        Numbers that each network gives, and between its two layers.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        for k, into in enumerate(channels):
            layers = nn.Sequential(nn.Linear(into, width), nn.ReLU(), nn.Linear(width, width))
            self.add_module(f"mlp_{k}", layers)

    def forward(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Project the vectors of each layer, ``(B, n, C)``, to ``(B, n, width)`` of length 1.

        In float32 at least: what tells patches apart is a small part of a vector.
        """
        with torch.autocast(vectors[0].device.type, enabled=False):
            return [
                unit_length(mlp(at_least_float32(x)))
                for mlp, x in zip(self.children(), vectors, strict=True)
            ]


def unit_length(x: Tensor) -> Tensor:
    """Divide by ``length + 1e-7`` along the last axis.

    A vector of zeros stays one, and its gradient is finite: that of dividing by 1e-7. (The
    original takes the root of a sum of squares, whose gradient is not a number there.)
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (length + _EPS)
