"""One process at a time in a folder that several share, on any platform.

The system frees a lock when its holder dies, so nothing stale is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.api import BenchError

LOCK = ".lock"
"""The file in a locked folder; it stays when the lock is released."""


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder (made when missing) for the length of a ``with`` block.

    Parameters
    ----------
    folder
        What is held.
    wait
        True: wait until it is free. False: refuse a folder that another process holds.

    Raises
    ------
    BenchError
        When the folder cannot be made or written, or is held and `wait` is False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, blocking=wait)
        lock.acquire(poll_interval=0.02)
    except Timeout:
        raise BenchError(f"{folder} is in use by another bench run") from None
    except OSError as error:
        raise BenchError(
            f"{folder} cannot be written ({error.strerror}): choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
