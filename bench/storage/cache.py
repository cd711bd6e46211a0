"""The content-addressed cache of finished stages."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.files import discard, file_sha256, link_or_copy, write_json
from bench.storage.store import Store

MANIFEST = "MANIFEST.json"
PIXELS = "pixels"
"""Decoded, they go to no store: large, and made again in less time than they take to travel."""


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


def _is_sound(kind: str, key: str, folder: Path) -> bool:
    """Whether a folder holds what its manifest says, and is the entry of this key."""
    try:
        told = json.loads((folder / MANIFEST).read_text("utf-8"))
        return isinstance(told, dict) and told | _manifest(kind, key, folder) == told
    except (OSError, ValueError):
        return False


class Cache:
    """Finished stages, found by key and verified by content.

    An entry is a folder that appears whole, with a manifest of its own place and of its files'
    SHA-256. An entry that was moved, or whose content does not fit its manifest, is removed and
    counts as missing, so a poisoned or damaged cache costs time, never correctness.

    Machines may share the folder: entries come and go by renaming alone, under names that no two
    processes choose, and no lock is needed.

    Parameters
    ----------
    root
        The folder.
    of
        The key of the fit that entries made here follow from; each says so in its manifest.
    store
        Where entries that are not here are looked for, and new ones are given to. One that fails
        is told of by `warn`, and left alone from then on.
    """

    def __init__(
        self,
        root: Path,
        of: str = "",
        *,
        store: Store | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.root, self.of, self.store, self.warn = root, of, store, warn

    def _entry(self, kind: str, key: str) -> Path:
        return self.root / "stages" / kind / key[:2] / key

    def has(self, kind: str, key: str) -> bool:
        """Return whether there is an entry, unverified: enough to tell what a run will cost."""
        return (self._entry(kind, key) / MANIFEST).is_file()

    def get(self, kind: str, key: str) -> Path | None:
        """The verified folder of an entry, or None."""
        entry = self._local(kind, key)
        if entry is None and self.store is not None:
            with self._asking():
                entry = self.fetch(self.store, kind, key)
        return entry

    def fetch(self, store: Store, kind: str, key: str) -> Path | None:
        """Take an entry from a store into the cache; gives its folder when it is what it should be.

        Raises
        ------
        BenchError
            When the store fails.
        """
        entry = self._entry(kind, key)
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{key}.", dir=entry.parent) as work:
            archive, loose = Path(work, "archive"), Path(work, "entry")
            if not store.take(object_name(kind, key), archive):
                return None
            with suppress(OSError, EOFError, tarfile.TarError), tarfile.open(archive, "r:") as tar:
                tar.extractall(loose, filter="data")
                if _is_sound(kind, key, loose):
                    loose.rename(entry)
        return self._local(kind, key)

    def give(self, store: Store, kind: str, key: str) -> None:
        """Copy an entry to a store: as one archive, which is there whole or not at all.

        Raises
        ------
        BenchError
            When the store fails.
        """
        entry = self._entry(kind, key)
        with tempfile.TemporaryDirectory(prefix=f".{key}.", dir=entry.parent) as work:
            archive = Path(work, "archive")
            with tarfile.open(archive, "w") as tar:
                tar.add(entry, arcname=".")
            store.give(object_name(kind, key), archive)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Do without the store from now on when it fails."""
        try:
            yield
        except BenchError as error:
            self.store = None
            self.warn(f"{error}; going on without it")

    def _local(self, kind: str, key: str) -> Path | None:
        entry = self._entry(kind, key)
        if _is_sound(kind, key, entry):
            with suppress(OSError):
                os.utime(entry / MANIFEST)  # when it was last of use
            return entry
        aside = _beside(entry)
        with suppress(OSError):
            entry.rename(aside)
            # Another process may have put a good one there meanwhile.
            if _is_sound(kind, key, aside):
                aside.rename(entry)
                return entry
        discard(aside)
        return None

    @contextmanager
    def put(self, kind: str, key: str) -> Iterator[Path]:
        """A folder to fill; it becomes the entry when the block ends without an error."""
        entry = self._entry(kind, key)
        building = _beside(entry)
        building.mkdir(parents=True)
        try:
            yield building
            write_json(building / MANIFEST, {**_manifest(kind, key, building), "of": self.of})
            # Refused where another process was first; the same key, the same content.
            with suppress(OSError):
                building.rename(entry)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        if self.store is not None:
            with self._asking():
                self.give(self.store, kind, key)


def object_name(kind: str, key: str) -> str:
    """Return what an entry is called in a store."""
    return f"stages/{kind}/{key[:2]}/{key}.tar"


def _beside(entry: Path) -> Path:
    """A name beside an entry that nobody else has, on no machine."""
    return entry.with_name(f".{entry.name}.{secrets.token_hex(8)}")
