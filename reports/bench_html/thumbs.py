"""Thumbnails: one WebP strip for all samples of an input, within a budget of bytes.

A strip per input and method keeps the number of files (and of file-system blocks) small,
is a diversity strip as it stands, and lets the browser fetch one file where ten samples
are shown. Strips are named by what they are made of, so rendering a report again only
makes what has changed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.api import BenchError
from bench.data.images import read_image
from bench.storage.files import replacing

SIZES = (224, 192, 160, 128, 96, 64)
"""Sides of a thumbnail in pixels, best first."""

BUDGET = 40_000_000
"""Bytes that all thumbnails of a page may take."""

_BLOCK = 4096
_QUALITY = 72
_SHEET = 960
"""Widest that a sheet of pictures gets, in pixels."""


@dataclass(frozen=True)
class Plan:
    """How thumbnails are made.

    Parameters
    ----------
    size
        Side in pixels.
    samples
        How many samples of an input get one; the others are shown from their own files.
    """

    size: int
    samples: int


def plan(strips: Sequence[Sequence[Path]], budget: int = BUDGET) -> Plan:
    """Return the largest thumbnails that fit the budget: first smaller, then fewer samples.

    Sizes are measured on a few pictures spread over the run, with a margin of a third.
    """
    files = [file for strip in strips for file in strip[:1]]
    deepest = max((len(strip) for strip in strips), default=1)
    if not files:
        return Plan(SIZES[0], deepest)
    probe = files[:: max(1, len(files) // 12)][:12]
    bytes_of = {size: _mean_bytes(probe, size) * 4 / 3 for size in SIZES}
    for floor in (128, 96, 64):
        for samples in sorted({deepest, min(deepest, 6), min(deepest, 4), min(deepest, 2), 1})[
            ::-1
        ]:
            for size in (s for s in SIZES if s >= floor):
                total = sum(
                    min(len(strip), samples) * bytes_of[size] + _BLOCK / 2 for strip in strips
                )
                if total <= budget:
                    return Plan(size, samples)
    return Plan(SIZES[-1], 1)


def make_strips(
    strips: Sequence[Sequence[Path]], folder: Path, chosen: Plan
) -> list[tuple[str, int]]:
    """Write the strips that are not there yet and remove those of no further use.

    Parameters
    ----------
    strips
        For each strip its pictures, in order.
    folder
        Where they go; made when it is not there.

    Returns
    -------
    list of (str, int)
        For each strip its file name and the number of pictures in it; an empty name and 0
        where a picture cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def make(files: Sequence[Path]) -> tuple[str, int]:
        shown = files[: chosen.samples]
        if not shown:
            return "", 0
        try:
            name = _name(shown, chosen.size)
            if not (folder / name).is_file():
                # A thumbnail is made again when lost, so it need not be synced.
                with replacing(folder / name, sync=False) as temporary:
                    temporary.write_bytes(_strip(shown, chosen.size))
        except (BenchError, OSError):
            return "", 0
        return name, len(shown)

    # Pillow decodes, scales and encodes outside the interpreter lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        made = list(pool.map(make, strips))
    wanted = {name for name, _ in made}
    for file in folder.glob("*.webp"):
        if file.name not in wanted:
            file.unlink()
    return made


def make_sheet(sheet: Path, folder: Path) -> str:
    """Write a picture as a WebP among the thumbnails; return its name, empty where unreadable."""
    try:
        image = Image.fromarray(read_image(sheet))
        image.thumbnail((_SHEET, 8 * _SHEET))
        name = _name([sheet], _SHEET)
        with replacing(folder / name, sync=False) as temporary:
            temporary.write_bytes(_encode(image))
    except (BenchError, OSError):
        return ""
    return name


def _name(files: Sequence[Path], size: int) -> str:
    """Return a name for the content: nothing of a path, which may hold anything, is in it."""
    digest = hashlib.sha256(f"{size}/{_QUALITY}".encode())
    for file in files:
        facts = file.stat()
        digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return f"{digest.hexdigest()[:20]}.webp"


def _thumb(file: Path, size: int) -> Image.Image:
    image = Image.fromarray(read_image(file))
    side = min(size, max(image.size))
    image.thumbnail(
        (side, side), Image.Resampling.BOX if side * 4 < size else Image.Resampling.LANCZOS
    )
    if image.size == (size, size):
        return image
    # Cells of a strip are all alike, whatever shape the pictures have.
    cell = Image.new("RGB", (size, size))
    scaled = image.resize((size, size)) if image.width == image.height else image
    cell.paste(scaled, ((size - scaled.width) // 2, (size - scaled.height) // 2))
    return cell


def _strip(files: Sequence[Path], size: int) -> bytes:
    strip = Image.new("RGB", (size * len(files), size))
    for number, file in enumerate(files):
        strip.paste(_thumb(file, size), (number * size, 0))
    return _encode(strip)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY, method=2)
    return buffer.getvalue()


def _mean_bytes(files: Sequence[Path], size: int) -> float:
    sizes = []
    for file in files:
        try:
            sizes.append(len(_encode(_thumb(file, size))))
        except (BenchError, OSError):
            continue
    return sum(sizes) / len(sizes) if sizes else 0.0
