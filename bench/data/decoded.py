"""Whole splits decoded: in memory where they are small, else in a file that is mapped into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.api import ImageItem
from bench.code import code_hash
from bench.data.images import load_tensor
from bench.storage.cache import PIXELS, Cache, key_of

if TYPE_CHECKING:
    import torch

MAPPED = 1 << 28
"""Bytes from which on pixels lie in a file: more than the trials of a run should each hold."""
_FILE = "pixels.u8"
_AT_ONCE = 1 << 25
"""Bytes that are decoded before they are written."""


def decode(items: Sequence[ImageItem], size: int, cache: Path | None) -> torch.Tensor:
    """Return items as one uint8 tensor ``(N, 3, size, size)`` on the CPU.

    What is large is decoded once for all processes, and read from the file as it is needed. The
    system may drop what was read at any time: it takes no memory from others.

    Parameters
    ----------
    cache
        The root of a cache; None: all is decoded into memory.
    """
    shape = (len(items), 3, size, size)
    if cache is None or math.prod(shape) < MAPPED:
        return load_tensor(items, size)
    # Without a store: what is decoded in minutes need not travel.
    entries = Cache(cache)
    key = key_of(
        pictures=[item.digest for item in items], size=size, code=code_hash("bench.data.images")
    )
    entry = entries.get(PIXELS, key)
    if entry is None:
        with suppress(OSError):  # a full disk costs memory, not the trial
            with entries.put(PIXELS, key) as building:
                _write(items, size, building / _FILE)
            entry = entries.get(PIXELS, key)
    return load_tensor(items, size) if entry is None else _mapped(entry / _FILE, shape)


def _write(items: Sequence[ImageItem], size: int, file: Path) -> None:
    step = max(1, _AT_ONCE // (3 * size * size))
    with file.open("wb") as out:
        for first in range(0, len(items), step):
            out.write(load_tensor(items[first : first + step], size).numpy().data)


def _mapped(file: Path, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    # Copied on writing: nobody changes the file, and torch takes no array it must not write.
    return torch.from_numpy(np.memmap(file, np.uint8, "c", shape=shape))
