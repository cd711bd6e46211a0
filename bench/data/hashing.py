"""What files are by their content: hashed once, and remembered where there are many of them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.data.images import by_threads
from bench.storage.files import sha256_of, write_atomic

MANY = 10_000
"""Fewer files are hashed anew each time: it takes a second, and needs no trust in their times."""
_SETTLED_NS = 2_000_000_000
"""A file that was changed so shortly before it was hashed may change again at the same time."""

Stamp = tuple[int, int, int]
"""A file's size, and the times of its content and of its entry, which nobody can set back."""


def digests_of(
    root: Path, paths: Sequence[Path], memory: Path | None, check: Callable[[Path], None]
) -> list[str]:
    """Return the SHA-256 of files below `root`; those that are known are not read.

    Parameters
    ----------
    memory
        A folder that keeps what is known of many files; None: nothing is kept.
    check
        Raises when a file that is not known is not as it should be.

    Raises
    ------
    BenchError
        When a file cannot be read, or `check` says so.
    """
    if memory is None or len(paths) < MANY:
        return by_threads(lambda path: _digest(path, check), paths)
    kept = memory / f"{_PREFIX}{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"
    known, begun = _read(kept), time.time_ns()

    def look(path: Path) -> tuple[str, Stamp, str]:
        name, stamp = path.relative_to(root).as_posix(), _stamp(path)
        told = known.get(name)
        if told is not None and tuple(told[1:]) == stamp:
            return name, stamp, str(told[0])
        return name, stamp, _digest(path, check)

    found = by_threads(look, paths)
    settled = {
        name: (digest, *stamp)
        for name, stamp, digest in found
        if max(stamp[1:]) < begun - _SETTLED_NS
    }
    if settled.keys() != known.keys() or any(known[n] != [*told] for n, told in settled.items()):
        _write(kept, settled)
    return [digest for _, _, digest in found]


def forget(memory: Path) -> None:
    """Let all files of a dataset be read again: what is kept of them goes."""
    for file in memory.glob(f"{_PREFIX}*.json"):
        with suppress(OSError):
            file.unlink()


_PREFIX = "hashes-"


def _digest(path: Path, check: Callable[[Path], None]) -> str:
    check(path)
    return sha256_of(path)


def _stamp(path: Path) -> Stamp:
    stat = os.stat(path)  # noqa: PTH116 - a third of the time, a hundred thousand times
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(file: Path) -> Mapping[str, Any]:
    """What was kept; nothing where it is damaged."""
    with suppress(OSError, ValueError):
        seal, _, text = file.read_text("ascii").partition("\n")
        if seal == hashlib.sha256(text.encode()).hexdigest():
            found = json.loads(text)
            return found if isinstance(found, dict) else {}
    return {}


def _write(file: Path, known: Mapping[str, Any]) -> None:
    text = json.dumps(known)
    with suppress(OSError):  # it is read again next time, then
        write_atomic(file, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
