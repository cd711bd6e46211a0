"""Paths between style codes, and pictures of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.data.images import to_uint8, write_png
from bench.storage.files import replacing


def lerp(first: torch.Tensor, last: torch.Tensor, t: float) -> torch.Tensor:
    """The point at `t` on the straight line; right for encoded codes."""
    return first + t * (last - first)


def slerp(first: torch.Tensor, last: torch.Tensor, t: float) -> torch.Tensor:
    """The point at `t` on the great circle, its length interpolated too.

    Normal draws of high dimension lie near a sphere, which a straight line leaves
    (Shoemake, "Animating rotation with quaternion curves", 1985). Codes that point the same
    or the opposite way have no such circle: there the line is taken.
    """
    a, b = first.flatten(), last.flatten()
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp_min(1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if float(angle.sin()) < 1e-4:
        return lerp(first, last, t)
    mixed = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return mixed.reshape(first.shape)


def write_strip(path: Path, images: torch.Tensor) -> None:
    """Write ``(N, 3, H, W)`` in ``[0, 1]`` side by side (``.png``) or as a film (``.gif``)."""
    frames = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
    if path.suffix.lower() == ".png":
        write_png(path, np.concatenate(list(frames), axis=1))
        return
    there_and_back = [*frames, *frames[-2:0:-1]]
    first, *rest = [Image.fromarray(frame) for frame in there_and_back]
    with replacing(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=rest, duration=120, loop=0)
