"""How a picture was encoded: what its file tells, and the same done to other pictures."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.api import BenchError
from bench.data.images import FORMATS, Pixels

_LOSSY = ("JPEG", "WEBP")
_LUMA = (
    16,
    11,
    10,
    16,
    24,
    40,
    51,
    61,
    12,
    12,
    14,
    19,
    26,
    58,
    60,
    55,
    14,
    13,
    16,
    24,
    40,
    57,
    69,
    56,
)
"""The first 24 numbers of JPEG's example table for brightness (ITU T.81, table K.1), by rows."""
_ALIKE = 3
"""Steps of quality that make no difference worth telling."""


@dataclass(frozen=True)
class Encoding:
    """What a file tells of its making.

    Parameters
    ----------
    format
        As in :data:`bench.data.images.FORMATS`.
    quality
        Of a JPEG, 1 to 100 on libjpeg's scale; 0 where it is not known, or nothing is lost.
    side
        The shorter side of the picture in the file, in pixels.
    """

    format: str
    quality: int
    side: int

    def __str__(self) -> str:
        return f"{self.format} q{self.quality}" if self.quality else self.format

    def differs(self, real: Encoding | None) -> bool:
        """Whether pictures of this encoding lost other detail than real ones (None: no files)."""
        if self.format not in _LOSSY:
            return False
        if real is None or real.format != self.format:
            return True
        return abs(self.quality - real.quality) >= _ALIKE


def encoding_of(path: Path) -> Encoding:
    """Return what a picture's file tells.

    Raises
    ------
    BenchError
        When it is no picture.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            tables = getattr(image, "quantization", None) or {}
            return Encoding(str(image.format), _quality(tables.get(0)), min(image.size))
    except OSError:
        raise BenchError(f"{path} cannot be decoded: it is damaged or no image") from None


def usual_encoding(paths: Iterable[Path | None]) -> Encoding | None:
    """Return the commonest encoding of files; None where none tells."""
    found = Counter[Encoding]()
    for path in paths:
        # A damaged file is told of where its pixels are asked for.
        with suppress(BenchError):
            found.update([encoding_of(path)] if path is not None else [])
    return found.most_common(1)[0][0] if found else None


def _quality(table: list[int] | None) -> int:
    """The quality whose table is nearest: libjpeg scales the example table by it."""
    if not table:
        return 0
    mine = np.asarray(table[: len(_LUMA)], dtype=np.float64)
    quality = np.arange(100, 0, -1)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    scaled = np.clip((np.outer(scale, _LUMA) + 50) // 100, 1, 255)
    return int(quality[np.abs(scaled - mine).sum(1).argmin()])


def encode_again(pixels: Pixels, encoding: Encoding) -> Pixels:
    """Return a picture as it comes back from the encoding, at its own size.

    Where the encoding's pictures had another shorter side it is resized to that before, and back
    after (bicubic, antialiased).
    """
    height, width = pixels.shape[:2]
    scale = encoding.side / min(height, width) if encoding.side else 1.0
    file = io.BytesIO()
    options = {"quality": encoding.quality} if encoding.quality else {}
    coded = _resized(Image.fromarray(pixels), round(width * scale), round(height * scale))
    coded.save(file, encoding.format, **options)
    with Image.open(file) as image:
        back = ImageOps.exif_transpose(image).convert("RGB")
        return np.array(_resized(back, width, height))


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)
