"""Files and folders written whole or not at all, and what a file is by its content."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.api import BenchError

__all__ = [
    "check_writable",
    "file_sha256",
    "filling",
    "folder_name",
    "link_or_copy",
    "objects_of",
    "read_json_lines",
    "replacing",
    "sha256_of",
    "write_atomic",
    "write_json",
]


_NAME = 48
"""Characters of a file's name that its temporary name ends with: a name may be as long as the file
system allows, and nothing more fits."""


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A temporary name in the same folder, to be filled; it becomes `path` when the block ends.

    Parameters
    ----------
    path
        The file to write; its folder is made when it is not there.
    sync
        Put the content on the disk first. What can be made again may go without.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays: some writers choose the format by it. Not by process id: machines that
    # share a folder have the same ones.
    temporary = path.with_name(f".{secrets.token_hex(8)}.{path.name[-_NAME:]}")
    try:
        yield temporary
        if sync:
            with temporary.open("r+b") as file:  # a reader may not sync on every platform
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        # Also when all went well: a link to the very file it replaces keeps both names.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, to be filled; it takes the name when the block ends.

    Raises
    ------
    OSError
        Also when by then something that is no empty folder has the name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        # mkdtemp's are the owner's alone.
        temporary.chmod(0o755)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file: temporary name in the same folder, fsync, replace."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file the user named, lower-case hex.

    Raises
    ------
    BenchError
        When the file cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from None


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=False) + "\n")


def read_json_lines(path: Path) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON-lines file; a line cut off by a kill or damaged is left out."""
    return objects_of(path.read_bytes().splitlines())


def objects_of(lines: Iterable[bytes]) -> list[Mapping[str, Any]]:
    """Return the lines that are JSON objects."""
    rows: list[Mapping[str, Any]] = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            if isinstance(row := json.loads(line), dict):
                rows.append(row)
    return rows


def discard(path: Path) -> None:
    """Remove a file or a folder with all that is in it, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at a second place: a hard link where the file system can, else a copy."""
    with replacing(target, sync=False) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def folder_name(label: str) -> str:
    """Return a label as the name of a folder; two labels never have the same."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", label).strip("-.")[:40]
    if safe == label:
        return safe
    return f"{safe or 'x'}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def check_writable(folder: Path, hint: str = "choose another place with --out") -> None:
    """Make a folder and be sure that files can be written there.

    Raises
    ------
    BenchError
        When it cannot be made, is no folder, or takes no file.
    """
    probe = folder / f".probe-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"probe")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchError(f"cannot write to {folder}: {reason}; {hint}") from None
