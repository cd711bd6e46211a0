"""What lies in a cache, what may go, and copies of it in a store.

A run that has not ended well is on record in ``runs/``, with the keys of its fits: every entry of
a stage says which fit it follows from, so what such a run needs is known, wherever it runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.storage.cache import MANIFEST, PIXELS, Cache, object_name
from bench.storage.files import discard, replacing, write_json
from bench.storage.store import Store

_DAY = 86400.0
_RUNS = "runs"
_ENTRIES = "stages/*/*/*/" + MANIFEST
_FEATURES = "features/*/*"
# A store may hold anything: what is no name of ours is no path of ours either.
_ENTRY_NAME = re.compile(r"stages/(\w+)/[0-9a-f]{2}/([0-9a-f]{64})\.tar")
_FEATURE_NAME = re.compile(r"features/[0-9a-f]{2}/[0-9a-f]+\.bin")


@dataclass
class Part:
    """One part of a cache: how many files or entries, of how many bytes together."""

    name: str
    count: int = 0
    size: int = 0
    paths: list[Path] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count a file, or a folder as one."""
        self.count += 1
        self.size += _size(path)
        self.paths.append(path)


def begin_run(cache: Path, run: Path, fits: Iterable[str]) -> None:
    """Put on record that a run needs what follows from these fits."""
    write_json(_record(cache, run), {"run": str(run), "fits": sorted(set(fits))})


def end_run(cache: Path, run: Path) -> None:
    """Strike a run that has ended well from the record."""
    _record(cache, run).unlink(missing_ok=True)


def unfinished(cache: Path) -> dict[str, frozenset[str]]:
    """Return the runs on record with the keys of their fits."""
    found = {}
    for file in sorted(cache.glob(f"{_RUNS}/*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(file.read_text("utf-8"))
            found[str(told["run"])] = frozenset(told["fits"])
    return found


def usage(cache: Path) -> list[Part]:
    """Return the parts of a cache: each stage, then features, datasets, weights and the rest."""
    parts = _by_stage(_entries(cache))
    for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
        if folder.is_dir() and folder.name not in ("stages", _RUNS):
            part = Part(folder.name)
            for file in _files(folder):
                part.add(file)
            parts.append(part)
    return parts


def removable(cache: Path, days: float) -> list[Part]:
    """Return what may go: of no use for so many days, and needed by no run on record.

    Features say of no run that it needs them, so they stay while any is on record. What a killed
    process left half-written goes after a day.
    """
    before, runs = time.time() - days * _DAY, unfinished(cache)
    needed = frozenset().union(*runs.values())
    parts = _by_stage(
        entry
        for entry in _entries(cache)
        if _age(entry / MANIFEST) < before and not (runs and _fit_of(entry) in {"", *needed})
    )
    features, halves = Part("features"), Part("half-written")
    for file in () if runs else cache.glob(_FEATURES):
        if not file.name.startswith(".") and _age(file) < before:
            features.add(file)
    for half in (*cache.glob("stages/*/*/.*"), *cache.glob("features/*/.*")):
        if _age(half) < time.time() - _DAY:
            halves.add(half)
    return [part for part in (*parts, features, halves) if part.count]


def remove(parts: Sequence[Part]) -> None:
    """Remove what :func:`removable` found; an entry is gone at once, not file by file."""
    for path in (path for part in parts for path in part.paths):
        aside = path.with_name(f".{secrets.token_hex(8)}")
        with suppress(OSError):  # another process was first
            path.rename(aside)
            discard(aside)


def push(cache: Path, store: Store) -> list[Part]:
    """Copy all stages and features that a store lacks to it; damaged entries are left out.

    Raises
    ------
    BenchError
        When the store fails; what it has by then is whole.
    """
    there, mine = store.names(), Cache(cache)
    given = {"features": Part("features")}
    for entry in _entries(cache):
        kind, key = entry.parts[-3], entry.name
        if kind == PIXELS:
            continue
        if object_name(kind, key) not in there and mine.get(kind, key) is not None:
            mine.give(store, kind, key)
            given.setdefault(kind, Part(kind)).add(entry)
    for file in sorted(cache.glob(_FEATURES)):
        name = file.relative_to(cache).as_posix()
        if name not in there and _FEATURE_NAME.fullmatch(name):
            store.give(name, file)
            given["features"].add(file)
    return [part for part in given.values() if part.count]


def pull(cache: Path, store: Store) -> list[Part]:
    """Copy all stages and features of a store that a cache lacks into it, each verified.

    Raises
    ------
    BenchError
        When the store fails; what is here by then is whole.
    """
    mine, taken = Cache(cache), {"features": Part("features")}
    for name in sorted(store.names()):
        if match := _ENTRY_NAME.fullmatch(name):
            kind, key = match.groups()
            if not mine.has(kind, key) and (entry := mine.fetch(store, kind, key)) is not None:
                taken.setdefault(kind, Part(kind)).add(entry)
        elif _FEATURE_NAME.fullmatch(name) and not (file := cache / name).exists():
            # Whoever reads it checks its seal.
            with replacing(file, sync=False) as temporary:
                store.take(name, temporary)
            taken["features"].add(file)
    return [part for part in taken.values() if part.count]


def _record(cache: Path, run: Path) -> Path:
    return cache / _RUNS / f"{hashlib.sha256(str(run).encode()).hexdigest()[:16]}.json"


def _entries(cache: Path) -> Iterator[Path]:
    """The folders of all entries; what is half-written is none."""
    for manifest in sorted(cache.glob(_ENTRIES)):
        if not manifest.parent.name.startswith("."):
            yield manifest.parent


def _by_stage(entries: Iterable[Path]) -> list[Part]:
    parts: dict[str, Part] = {}
    for entry in entries:
        kind = entry.parts[-3]
        parts.setdefault(kind, Part(kind)).add(entry)
    return list(parts.values())


def _fit_of(entry: Path) -> str:
    """The fit that an entry follows from; empty where it does not say."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads((entry / MANIFEST).read_text("utf-8")).get("of", ""))
    return ""


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file())


def _size(path: Path) -> int:
    with suppress(OSError):  # it may go while we look
        return sum(file.stat().st_size for file in (_files(path) if path.is_dir() else (path,)))
    return 0


def _age(path: Path) -> float:
    """When it was last written or of use; what is gone is new."""
    with suppress(OSError):
        return path.stat().st_mtime
    return time.time()
