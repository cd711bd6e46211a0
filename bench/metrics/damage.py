"""Ways of spoiling real pictures in steps, for the report card of metrics."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from bench.api import Picture
from bench.data.images import Pixels, pixel_digest


def picture_of(pixels: Pixels, key: str) -> Picture:
    """Return pixels as a picture."""
    return Picture(key, pixel_digest(pixels), partial(np.asarray, pixels))


def jpeg(pixels: Pixels, quality: float) -> Pixels:
    """Return the picture as JPEG of this quality gives it back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file), dtype=np.uint8)


def blur(pixels: Pixels, percent: float) -> Pixels:
    """Return it through a Gaussian whose deviation is so many percent of its shorter side."""
    radius = percent / 100 * min(pixels.shape[:2])
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def crop(pixels: Pixels, percent: float) -> Pixels:
    """Return the middle of so many percent of each side, enlarged again (bicubic)."""
    height, width = pixels.shape[:2]
    h, w = round(height * percent / 100), round(width * percent / 100)
    top, left = (height - h) // 2, (width - w) // 2
    middle = Image.fromarray(pixels[top : top + h, left : left + w])
    return np.array(middle.resize((width, height), Image.Resampling.BICUBIC))


def cast(pixels: Pixels, percent: float) -> Pixels:
    """Return it with so many percent more red and less blue."""
    gain = 1 + np.array([percent, 0.0, -percent]) / 100
    return np.rint(np.clip(pixels * gain, 0, 255)).astype(np.uint8)


@dataclass(frozen=True)
class Damage:
    """One way of spoiling pictures, in steps from weak to strong.

    Parameters
    ----------
    name, unit
        What is done, and what stands behind a step's number.
    steps
        The strengths.
    spoil
        ``(pictures, source pictures, strength)`` to as many pictures.
    """

    name: str
    unit: str
    steps: tuple[float, ...]
    spoil: Callable[[Sequence[Picture], Sequence[Picture], float], list[Picture]]

    def title(self, step: float) -> str:
        """What one step is called."""
        return f"{self.name} {step:g}{self.unit}"


def each(
    change: Callable[[Pixels, float], Pixels],
) -> Callable[[Sequence[Picture], Sequence[Picture], float], list[Picture]]:
    """Return how a set of pictures is spoilt one by one."""

    def spoil(pictures: Sequence[Picture], _: Sequence[Picture], step: float) -> list[Picture]:
        return [picture_of(change(picture.load(), step), picture.id) for picture in pictures]

    return spoil


def _taken(count: int, percent: float) -> list[bool]:
    """Return so many of a hundred, spread evenly; never the first unless all are."""
    share = percent / 100
    return [int((i + 1) * share) > int(i * share) for i in range(count)]


def _mixed(
    pictures: Sequence[Picture], sources: Sequence[Picture], percent: float
) -> list[Picture]:
    """Replace a share by source pictures."""
    taken = enumerate(zip(pictures, _taken(len(pictures), percent), strict=True))
    return [sources[i % len(sources)] if wrong else picture for i, (picture, wrong) in taken]


def _doubled(pictures: Sequence[Picture], _: Sequence[Picture], percent: float) -> list[Picture]:
    """Replace a share by copies of the picture before."""
    out: list[Picture] = []
    for picture, copied in zip(pictures, _taken(len(pictures), percent), strict=True):
        out.append(out[-1] if copied else picture)
    return out


DAMAGES = (
    Damage("JPEG", "", (90, 75, 50, 25, 10), each(jpeg)),
    Damage("blur", " %", (0.25, 0.5, 1, 2), each(blur)),
    Damage("crop", " %", (95, 90, 75, 50), each(crop)),
    Damage("colour cast", " %", (5, 10, 20, 40), each(cast)),
    Damage("wrong season", " %", (10, 25, 50, 100), _mixed),
    Damage("duplicates", " %", (25, 50, 75, 90), _doubled),
)
