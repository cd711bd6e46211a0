"""The content-addressed cache of finished stages."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.storage.files import file_sha256, link_or_copy, write_json

MANIFEST = "MANIFEST.json"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def key_of(**parts: Any) -> str:
    """A cache key: SHA-256 of the canonical JSON of its parts."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def link_tree(source: Path, target: Path) -> None:
    """:func:`link_or_copy` for every file below a cache entry, its manifest aside."""
    for name in _files(source):
        link_or_copy(source / name, target / name)


def _files(folder: Path) -> list[str]:
    """Names of all files below a cache entry, its manifest aside."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in names if name != MANIFEST)


def _manifest(kind: str, key: str, folder: Path) -> dict[str, Any]:
    return {
        "entry": f"{kind}/{key}",
        "files": {name: file_sha256(folder / name) for name in _files(folder)},
    }


class Cache:
    """Finished stages, found by key and verified by content.

    An entry is a folder that appears whole, with a manifest of its own place and of its files'
    SHA-256. An entry that was moved, or whose content does not fit its manifest, is removed and
    counts as missing, so a poisoned or damaged cache costs time, never correctness.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _entry(self, kind: str, key: str) -> Path:
        return self.root / "stages" / kind / key[:2] / key

    def has(self, kind: str, key: str) -> bool:
        """Return whether there is an entry, unverified: enough to tell what a run will cost."""
        return (self._entry(kind, key) / MANIFEST).is_file()

    def get(self, kind: str, key: str) -> Path | None:
        """The verified folder of an entry, or None."""
        entry = self._entry(kind, key)
        try:
            manifest = json.loads((entry / MANIFEST).read_text("utf-8"))
            if manifest == _manifest(kind, key, entry):
                return entry
        except (OSError, ValueError):
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
            write_json(building / MANIFEST, _manifest(kind, key, building))
            if entry.exists():
                # Another process finished the same stage first; the same key, the same content.
                return
            with suppress(OSError):
                building.rename(entry)
        finally:
            shutil.rmtree(building, ignore_errors=True)
