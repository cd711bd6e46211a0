"""Toy pictures to try plugins on."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F

from bench.api import MethodSpec, TrainData


def _draws(name: str) -> torch.Generator:
    """Return a generator of its own for each name."""
    digest = hashlib.sha256(repr(("toy pictures", name)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def toy_pictures(count: int, size: int | tuple[int, int], name: str) -> torch.Tensor:
    """Return smooth random pictures, uint8 ``(count, 3, H, W)``; `name` picks the stream.

    `size` is their side, or height and width.
    """
    sides = (size, size) if isinstance(size, int) else size
    coarse = torch.rand(count, 3, 4, 4, generator=_draws(name))
    return F.interpolate(coarse, size=sides, mode="bilinear").mul(255).round().to(torch.uint8)


def toy_data(spec: MethodSpec, size: int) -> TrainData:
    """Return a few training images, paired where the method needs pairs."""
    a, b = toy_pictures(5, size, "a"), toy_pictures(5 if spec.paired else 4, size, "b")
    return TrainData(a, b, ("a", "b"), paired=spec.paired)
