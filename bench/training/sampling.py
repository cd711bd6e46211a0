"""Training batches as a pure function of (seed, step)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from bench.api import BenchError
from bench.training.seeding import generator
from bench.training.transfer import Ahead, to_device

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


def _draw(
    sides: tuple[int, int], crop: int | None, count: int, *, seed: int, domain: str, step: int
) -> torch.Tensor:
    """How each image of a step is cut and mirrored.

    Parameters
    ----------
    sides
        Height and width before the crop.

    Returns
    -------
    torch.Tensor
        int64 ``(count, 3)`` on the CPU. Columns: 1 where the image is mirrored; the crop's
        first row and first column.
    """
    height, width = sides
    if crop is not None and crop > min(sides):
        raise BenchError(
            f"a crop of {crop} does not fit into training images of {width}x{height}: "
            f"lower crop, or raise the size"
        )
    free = (0, 0) if crop is None else (height - crop + 1, width - crop + 1)
    rng = generator(seed, "augment", domain, step)
    rows = []
    for _ in range(count):
        flip, top, left = torch.rand(3, generator=rng).tolist()
        rows.append((int(flip < 0.5), int(top * free[0]), int(left * free[1])))
    return torch.tensor(rows, dtype=torch.int64)


def _cut(x: torch.Tensor, draws: torch.Tensor, crop: int | None) -> torch.Tensor:
    """Images ``(B, 3, H, W)`` cut and mirrored as `draws`, on the same device, says.

    The places are looked up, not sliced: slices would have to know them on the host.
    """
    batch, channels, _, stride = x.shape
    height, width = (crop, crop) if crop is not None else x.shape[-2:]
    flip, top, left = (column[:, None] for column in draws.unbind(1))
    across = torch.arange(width, device=x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.where(flip.bool(), width - 1 - across, across)
    places = (rows[:, :, None] * stride + columns[:, None, :]).view(batch, 1, -1)
    pixels = x.flatten(2).gather(2, places.expand(-1, channels, -1))
    return pixels.view(batch, channels, height, width)


def _prepare(
    images: torch.Tensor, draws: torch.Tensor, crop: int | None, load: int | None
) -> torch.Tensor:
    """uint8 images to a training batch; see :func:`augment`."""
    if load is None or images.shape[-2:] == (load, load):
        # The crop first: no more pixels than needed are made into floats.
        return _signed(_cut(images, draws, crop))
    x = F.interpolate(_signed(images), size=(load, load), mode="bicubic", antialias=True)
    return _cut(x.clamp_(-1, 1), draws, crop)


def _signed(images: torch.Tensor) -> torch.Tensor:
    return images.float().div_(127.5).sub_(1.0)


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
    sides = _loaded(images, load)
    draws = _draw(sides, crop, len(images), seed=seed, domain=domain, step=step)
    return _prepare(images, to_device(draws, images.device), crop, load)


def _loaded(images: torch.Tensor, load: int | None) -> tuple[int, int]:
    """Height and width before the crop."""
    height, width = images.shape[-2:]
    return (height, width) if load is None else (load, load)


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


RESIDENT = 0.25
"""Share of a GPU's memory that training images may take; more of them stay on the host."""


def fits(data: TrainData, device: torch.device) -> bool:
    """Whether the images of both domains may lie on `device` throughout a training."""
    if device.type != "cuda" or data.a.device.type == data.b.device.type == "cuda":
        return True
    whole: int = torch.cuda.mem_get_info(device)[1]
    return data.a.nbytes + data.b.nbytes <= RESIDENT * whole


class Batches:
    """The batches of one domain, in two halves: what the host draws, what the device makes of it.

    The first half is a pure function of the step, and cheap. The second waits for nothing on
    the host, so that it may be part of a CUDA graph. A batch is the same to the bit wherever
    its images lie.

    Parameters
    ----------
    data, domain
        The images. With paired data both domains draw the same indices, crops and flips.
    device
        Where batches are wanted.
    resident
        Whether all images lie on the device, else each batch is sent there, a step ahead of
        time. None: as :func:`fits` says.
    batch_size, crop, load
        As in :func:`augment`.
    """

    def __init__(
        self,
        data: TrainData,
        domain: Domain,
        device: torch.device,
        *,
        seed: int,
        batch_size: int = 1,
        crop: int | None = None,
        load: int | None = None,
        resident: bool | None = None,
    ) -> None:
        self.pixels = data.of(domain)
        self.device, self.seed, self.batch_size = device, seed, batch_size
        self.crop, self.load = crop, load
        self._stream = "pair" if data.paired else domain
        self._ahead: Ahead | None = None
        if fits(data, device) if resident is None else resident:
            self.pixels = self.pixels.to(device)
        else:
            self._ahead = Ahead(self._gather, device)

    def _indices(self, step: int) -> torch.Tensor:
        return batch_indices(self.seed, self._stream, step, self.batch_size, len(self.pixels))

    def _gather(self, step: int) -> torch.Tensor:
        return self.pixels.index_select(0, self._indices(step))

    def inputs(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What :meth:`images` needs for a step: which images or their pixels, and the draws."""
        draws = _draw(
            _loaded(self.pixels, self.load),
            self.crop,
            self.batch_size,
            seed=self.seed,
            domain=self._stream,
            step=step,
        )
        return (self._indices(step) if self._ahead is None else self._ahead(step)), draws

    def images(self, chosen: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """What :meth:`inputs` gave, on the device, as float32 ``(B, 3, H, W)`` in ``[-1, 1]``."""
        pixels = self.pixels.index_select(0, chosen) if self._ahead is None else chosen
        return _prepare(pixels, draws, self.crop, self.load)

    def batch(self, step: int) -> torch.Tensor:
        """Both halves in one: the images of a step."""
        chosen, draws = self.inputs(step)
        return self.images(to_device(chosen, self.device), to_device(draws, self.device))


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

    They come where the images of `data` lie; see :class:`Batches`.
    """
    device = data.of(domain).device
    drawn = Batches(data, domain, device, seed=seed, batch_size=batch_size, crop=crop, load=load)
    return drawn.batch(step)
