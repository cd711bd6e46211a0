"""Images of any size through a method that takes multiples of something only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from bench.api import BenchError

if TYPE_CHECKING:
    from bench.api import Direction, Method


def pad_to_multiple(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Grow height and width at the right and bottom to a multiple, by reflection.

    Where a side is too short to reflect, its last row or column is repeated.
    """
    height, width = images.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return images
    reflects = down < height and right < width
    return F.pad(images, (0, right, 0, down), mode="reflect" if reflects else "replicate")


def translate_padded(
    method: Method,
    multiple: int,
    images: torch.Tensor,
    direction: Direction,
    *,
    samples: int,
    seeds: torch.Tensor,
) -> torch.Tensor:
    """``method.translate`` for any size: padded before, cropped after, its promise checked.

    Raises
    ------
    BenchError
        When the method breaks the contract: another shape.
    """
    padded = pad_to_multiple(images, multiple)
    out = method.translate(padded, direction, samples=samples, seeds=seeds)
    expected = (len(images), samples, *padded.shape[1:])
    if tuple(out.shape) != expected:
        raise BenchError(
            f"{type(method).__name__}.translate gave shape {tuple(out.shape)}, expected {expected}"
        )
    return out[..., : images.shape[-2], : images.shape[-1]]
