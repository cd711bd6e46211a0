"""The one way pixels come in and go out.

Every image is decoded fully, turned upright, converted to 8-bit RGB by stated rules and
brought to a square of the asked size by one stated resampling; every output is rounded
(never stretched, never truncated) and written as PNG, whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from bench.api import BenchError, ImageItem
from bench.storage.files import replacing

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")

THREADS = os.cpu_count() or 1
"""Pictures that are decoded or encoded at once: Pillow does it outside the interpreter lock."""

_WAITING = 4096
"""Calls that wait for a thread."""

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: a decompression bomb, or a mistake."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
"""What is decoded, whatever a file is called. Others are refused: EPS would run a program."""

_MODES = {"RGB", "L", "LA", "RGBA", "P", "PA", "CMYK", "YCbCr", "1"}


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Defined conversions only: gray is repeated, alpha goes over white, 16 bit is scaled."""
    if image.mode in ("I;16", "I;16L", "I;16B"):
        wide = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.rint(wide / 257.0).astype(np.uint8)).convert("RGB")
    if image.mode not in _MODES:
        raise BenchError(
            f"{path}: pixel format {image.mode} is not supported: save it as 8-bit RGB"
        )
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def read_image(path: Path) -> Pixels:
    """Decode a picture to ``(H, W, 3)`` uint8 RGB, upright by its EXIF orientation.

    Raises
    ------
    BenchError
        When the file is missing, empty, truncated, no image, or over `MAX_PIXELS`.
    """
    return _decode(path, path)


def read_encoded(content: bytes, name: str) -> Pixels:
    """Decode a picture that lies in no file of its own, as :func:`read_image` does.

    Parameters
    ----------
    content
        What its file would hold.
    name
        What messages call it.
    """
    return _decode(io.BytesIO(content), Path(name), empty=not content)


def _decode(source: Path | io.BytesIO, path: Path, *, empty: bool = False) -> Pixels:
    try:
        with warnings.catch_warnings():
            # Pillow only warns of bombs, and Python turns its notes on odd EXIF into noise.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise BenchError(
                        f"{path}: {width}x{height} pixels are too many (over {MAX_PIXELS:,})"
                    )
                image.load()
                upright = ImageOps.exif_transpose(image)
                return np.array(_to_rgb(upright, path), dtype=np.uint8)
    except (BenchError, MemoryError):
        raise
    except FileNotFoundError:
        raise BenchError(f"{path} does not exist") from None
    except Image.DecompressionBombError:
        raise BenchError(f"{path}: the pixels are too many (over {MAX_PIXELS:,})") from None
    except Exception as error:
        # Pillow's decoders raise anything from OSError to struct.error on damaged files.
        empty = empty or (source is path and path.is_file() and path.stat().st_size == 0)
        reason = "it is empty" if empty else "it is damaged or no image"
        raise BenchError(f"{path} cannot be decoded: {reason}") from error


def fit_square(pixels: Pixels, size: int) -> Pixels:
    """Short side to `size` (bicubic, antialiased), then the centre square.

    A picture that has that size already passes through untouched.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    scale = size / min(height, width)
    resized = (max(size, round(width * scale)), max(size, round(height * scale)))
    if resized[0] * resized[1] > MAX_PIXELS:
        raise BenchError(f"a picture of {width}x{height} pixels is too narrow to make a square of")
    image = Image.fromarray(pixels).resize(resized, Image.Resampling.BICUBIC)
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    return np.array(image.crop((left, top, left + size, top + size)), dtype=np.uint8)


def reduce_detail(pixels: Pixels, side: int) -> Pixels:
    """Return a picture without the detail that `side` pixels cannot hold, at its own size.

    The shorter side is reduced to `side` by area, and the whole enlarged again (bicubic).
    """
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    image = Image.fromarray(pixels)
    small = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    return np.array(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


def holds_detail_of(size: int, side: int) -> bool:
    """Whether pictures of `size` pixels are worth reducing to `side`: by a half to an eighth."""
    return 2 * side <= size <= 8 * side


def pixel_digest(pixels: Pixels) -> str:
    """SHA-256 of shape and pixels: what a picture *is*, wherever it is kept."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def load_item(item: ImageItem, size: int | None) -> Pixels:
    """The pixels of a dataset's item, as a square of `size` (None: as they are)."""
    if item.render is not None:
        pixels = item.render()
    elif item.path is not None:
        pixels = read_image(item.path)
    else:
        raise BenchError(f"image {item.id} has neither a path nor a renderer")
    return pixels if size is None else fit_square(pixels, size)


def by_threads(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return what `act` gives of each item, a picture to be read say; as many at once as cores."""
    found: list[R] = []
    rest = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        # In parts: a hundred thousand calls that wait take more memory than what they give.
        while part := list(islice(rest, _WAITING)):
            found += pool.map(act, part)
    return found


def load_tensor(items: Sequence[ImageItem], size: int) -> torch.Tensor:
    """Items as one uint8 tensor ``(N, 3, size, size)`` on the CPU; decoded by threads."""
    import torch

    out = torch.empty((len(items), 3, size, size), dtype=torch.uint8)

    def place(index: int) -> None:
        out[index] = torch.from_numpy(load_item(items[index], size)).permute(2, 0, 1)

    by_threads(place, range(len(items)))
    return out


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 to float32 in ``[0, 1]``."""
    return pixels.float().div(255.0)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Floats in ``[0, 1]`` to uint8: clamped and rounded to the nearest of 256 levels.

    Raises
    ------
    BenchError
        When a value is not finite.
    """
    if not bool(images.isfinite().all()):
        raise BenchError("an image has values that are not finite")
    return images.float().clamp(0, 1).mul(255.0).round().to(dtype=_uint8())


def _uint8() -> torch.dtype:
    import torch

    return torch.uint8


def write_png(path: Path, pixels: Pixels) -> None:
    """Write ``(H, W, 3)`` uint8 as PNG, whole or not at all."""
    with replacing(path, sync=False) as temporary:
        # Level 1: half the time of the default for files a few percent larger.
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)


@contextmanager
def png_writer() -> Iterator[Callable[[Path, Pixels], None]]:
    """Give a :func:`write_png` that returns before the picture is written; at the end all are.

    What goes wrong is raised by a later call, or at the end. A few pictures a thread wait at
    most, so that a full disk is noticed soon and memory stays small.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        under_way: deque[Future[None]] = deque()

        def write(path: Path, pixels: Pixels) -> None:
            if len(under_way) >= 4 * THREADS:
                under_way.popleft().result()
            under_way.append(pool.submit(write_png, path, pixels))

        yield write
        for one in under_way:
            one.result()
