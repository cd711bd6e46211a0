"""Training batches as a pure function of (seed, step)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from bench.api import BenchError
from bench.training.seeding import generator

if TYPE_CHECKING:
    from bench.api import Domain, TrainData


@lru_cache(maxsize=8)
def _permutation(seed: int, domain: str, epoch: int, n: int) -> torch.Tensor:
    return torch.randperm(n, generator=generator(seed, "order", domain, epoch))


def batch_indices(seed: int, domain: str, step: int, batch_size: int, n: int) -> torch.Tensor:
    """Which images step `step` sees: epochs without replacement, drawn anew each epoch.

    Parameters
    ----------
    seed, domain, step
        What the answer depends on, besides the sizes.
    batch_size, n
        Images per batch and images in all.

    Returns
    -------
    torch.Tensor
        int64 ``(batch_size,)`` in ``[0, n)``.
    """
    first = step * batch_size
    positions = range(first, first + batch_size)
    return torch.stack([_permutation(seed, domain, p // n, n)[p % n] for p in positions])


def augment(
    images: torch.Tensor, *, seed: int, domain: str, step: int, crop: int | None, load: int | None
) -> torch.Tensor:
    """uint8 images to a training batch in ``[-1, 1]``: resize, random crop, random flip.

    Parameters
    ----------
    images
        uint8 ``(B, 3, H, W)`` on any device.
    crop
        Side of the random square crop; None: no crop.
    load
        Side of the square to which images are resized first (bicubic, antialiased), as in
        CycleGAN's "load 286, crop 256"; None: no resize.

    Returns
    -------
    torch.Tensor
        float32 on the same device.
    """
    sides = [load, load] if load is not None else list(images.shape[-2:])
    if crop is not None and crop > min(sides):
        raise BenchError(
            f"a crop of {crop} does not fit into training images of {sides[1]}x{sides[0]}: "
            f"lower crop, or raise the size"
        )
    x = images.float().div_(127.5).sub_(1.0)
    if load is not None and x.shape[-2:] != (load, load):
        x = F.interpolate(x, size=(load, load), mode="bicubic", antialias=True).clamp_(-1, 1)
    rng = generator(seed, "augment", domain, step)
    out = []
    for image in x:
        flip, top, left = torch.rand(3, generator=rng).tolist()
        if crop is not None:
            height, width = image.shape[-2:]
            y, z = int(top * (height - crop + 1)), int(left * (width - crop + 1))
            image = image[:, y : y + crop, z : z + crop]
        out.append(image.flip(-1) if flip < 0.5 else image)
    return torch.stack(out)


def check_sides(
    data: TrainData,
    *,
    load: int | None,
    crop: int | None,
    multiple_of: int,
    least: int,
    method: str,
) -> None:
    """Refuse training images whose crops the networks of a method cannot take.

    Parameters
    ----------
    load, crop
        As in :func:`augment`.
    multiple_of, least
        What every side must divide by, and its lower bound.

    Raises
    ------
    BenchError
        Naming the domain, the sides and the option to change.
    """
    for domain, images in zip(data.domains, (data.a, data.b), strict=True):
        height, width = [load] * 2 if load is not None else images.shape[-2:]
        if crop is not None:
            if crop > min(height, width):
                raise BenchError(
                    f"crop {crop} is larger than the {width}×{height} images of {domain}: "
                    "set crop, or load to resize them first"
                )
            height = width = crop
        if any(side % multiple_of or side < least for side in (height, width)):
            raise BenchError(
                f"{method} cannot train on {width}×{height} images ({domain}): set crop to a "
                f"multiple of {multiple_of} that is at least {least}"
            )


def batch(
    data: TrainData,
    domain: Domain,
    *,
    seed: int,
    step: int,
    batch_size: int = 1,
    crop: int | None = None,
    load: int | None = None,
) -> torch.Tensor:
    """The images of one domain that step `step` trains on: float32 in ``[-1, 1]``.

    With paired data both domains draw the same indices, crops and flips.
    """
    images = data.of(domain)
    stream = "pair" if data.paired else domain
    indices = batch_indices(seed, stream, step, batch_size, len(images)).to(images.device)
    return augment(images[indices], seed=seed, domain=stream, step=step, crop=crop, load=load)
