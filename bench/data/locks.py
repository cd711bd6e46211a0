"""One writer at a time in a cache folder that several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.api import BenchError

try:
    import fcntl
except ImportError:  # pragma: no cover - systems without POSIX locks
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder (made when missing) for the length of a ``with`` block.

    The system frees the lock when its holder dies, so nothing stale is left behind.

    Raises
    ------
    BenchError
        When the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("ab")
    except OSError as error:
        raise BenchError(
            f"{folder} cannot be written ({error.strerror}): choose another cache folder"
        ) from None
    with handle:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
