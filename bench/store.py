"""Run folders and the content-addressed cache; everything is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.files import write_atomic

MANIFEST = "MANIFEST.json"
LOCK = ".lock"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def key_of(**parts: Any) -> str:
    """A cache key: SHA-256 of the canonical JSON of its parts."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=False) + "\n")


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at a second place: a hard link where the file system can, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    # Replacing a name by a link to the same file leaves the temporary name behind.
    temporary.unlink(missing_ok=True)


def link_tree(source: Path, target: Path) -> None:
    """:func:`link_or_copy` for every file below a cache entry, its manifest aside."""
    for name in _files(source):
        link_or_copy(source / name, target / name)


def _files(folder: Path) -> list[str]:
    """Names of all files below a cache entry, its manifest aside."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in names if name != MANIFEST)


class Cache:
    """Finished stages, found by key and verified by content.

    An entry is a folder that appears whole, with a manifest of its files' SHA-256. An entry
    whose content does not fit its manifest is removed and counts as missing, so a poisoned
    or damaged cache costs time, never correctness.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _entry(self, kind: str, key: str) -> Path:
        return self.root / "stages" / kind / key[:2] / key

    def get(self, kind: str, key: str) -> Path | None:
        """The verified folder of an entry, or None."""
        entry = self._entry(kind, key)
        try:
            manifest = json.loads((entry / MANIFEST).read_text("utf-8"))
            found = {name: file_sha256(entry / name) for name in _files(entry)}
            if found == manifest:
                return entry
        except (OSError, ValueError, AttributeError):
            pass
        if entry.exists():
            shutil.rmtree(entry, ignore_errors=True)
        return None

    @contextmanager
    def put(self, kind: str, key: str) -> Iterator[Path]:
        """A folder to fill; it becomes the entry when the block ends without an error."""
        entry = self._entry(kind, key)
        building = entry.with_name(f".{key}.{os.getpid()}")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        try:
            yield building
            manifest = {name: file_sha256(building / name) for name in _files(building)}
            write_json(building / MANIFEST, manifest)
            if entry.exists():
                # Another process finished the same stage first; the same key, the same content.
                return
            with suppress(OSError):
                building.rename(entry)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def check_writable(folder: Path, hint: str = "choose another place with --out") -> None:
    """Make a folder and be sure that files can be written there.

    Raises
    ------
    BenchError
        When it cannot be made, is no folder, or takes no file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchError(f"cannot write to {folder}: {reason}; {hint}") from None


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for one process.

    Raises
    ------
    BenchError
        When another process holds it.
    """
    import fcntl

    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BenchError(f"{folder} is in use by another bench run") from None
        yield


def read_json_lines(path: Path) -> list[Mapping[str, Any]]:
    """The whole lines of a JSON-lines file; a line cut off by a kill is left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows
