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
    names, stamps = names_below(root, paths), [_stamp(path) for path in paths]
    digests = [_told(known.get(name), stamp) for name, stamp in zip(names, stamps, strict=True)]
    unknown = [index for index, digest in enumerate(digests) if digest is None]
    read = by_threads(lambda index: _digest(paths[index], check), unknown)
    for index, digest in zip(unknown, read, strict=True):
        digests[index] = digest
    if unknown or len(known) != len(names):
        rows = zip(names, digests, stamps, strict=True)
        settled = {n: (d, *s) for n, d, s in rows if max(s[1:]) < begun - _SETTLED_NS}
        _write(kept, settled)
    return [digest for digest in digests if digest is not None]


def names_below(root: Path, paths: Sequence[Path]) -> list[str]:
    """Return what files are called from a folder on, with ``/`` between the parts."""
    begin = len(str(root)) + 1
    return [str(path)[begin:].replace(os.sep, "/") for path in paths]


def forget(memory: Path) -> None:
    """Let all files of a dataset be read again: what is kept of them goes."""
    for file in memory.glob(f"{_PREFIX}*.json"):
        with suppress(OSError):
            file.unlink()


_PREFIX = "hashes-"


def _told(kept: Any, stamp: Stamp) -> str | None:
    """The hash of a file that has not changed since; None where nothing is known."""
    return str(kept[0]) if kept is not None and tuple(kept[1:]) == stamp else None


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
