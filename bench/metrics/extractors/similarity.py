"""How alike the places of an image are to each other: what is left of it without its colours."""

from __future__ import annotations

import torch
from torch.nn import functional

GRID = 7
"""Self-similarity is taken between the cells of a grid of so many rows and columns."""


def self_similarity(local: torch.Tensor) -> torch.Tensor:
    """Return how alike the places of an image are to each other, whatever they look like.

    Parameters
    ----------
    local
        Local features of a middle layer, ``(B, C, h, w)``.

    Returns
    -------
    torch.Tensor
        Cosine similarities of all pairs of different cells of a `GRID` x `GRID` grid,
        float32 ``(B, 1176)``. Each channel's mean over the image is taken off first: the
        season of the whole picture shifts all places alike, its structure does not.
    """
    cells = functional.adaptive_avg_pool2d(local.float(), GRID).flatten(2).transpose(1, 2)
    cells = functional.normalize(cells - cells.mean(1, keepdim=True), dim=-1)
    row, column = torch.triu_indices(GRID**2, GRID**2, 1, device=cells.device)
    return (cells @ cells.transpose(1, 2))[:, row, column]
