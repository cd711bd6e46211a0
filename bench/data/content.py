"""What a set of pictures *is*, whatever its files are called and wherever they lie."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.api import Domain, Split

PARTS: Mapping[str, tuple[Split, Domain]] = {
    "trainA": ("train", "a"),
    "trainB": ("train", "b"),
    "testA": ("test", "a"),
    "testB": ("test", "b"),
}
"""The four parts of a dataset: folder name to (split, domain)."""

_PREFIX = 16
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_LONGEST = 80

Contents = Mapping[str, Sequence[tuple[str, str]]]
"""Part name to its files, each ``(digest, name)``; a digest may be cut to its beginning."""


def fingerprint_of(digests: Mapping[str, Sequence[str]], *, paired: bool = False) -> str:
    """The SHA-256 of a dataset's content.

    Parameters
    ----------
    digests
        For each part (``trainA``, …), the SHA-256 of its pictures.
    paired
        True: the pictures of A and B belong together by index, which is content too.

    Returns
    -------
    str
        64 hex digits that depend on which pictures each part holds, and how often, but
        neither on their names nor on their order.
    """
    lines = []
    if paired:
        for split in ("train", "test"):
            rows = zip(digests.get(f"{split}A", ()), digests.get(f"{split}B", ()), strict=True)
            lines += [f"{split}:", *sorted(" ".join(row) for row in rows)]
    else:
        for part in PARTS:
            lines += [f"{part}:", *sorted(digests.get(part, ()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def safe_ids(names: Sequence[str], digests: Sequence[str]) -> list[str]:
    """An id for each picture: readable, unique, and safe as a folder name anywhere.

    Ids come from file names without their suffix; what is not a letter, digit, dot, dash
    or underscore becomes an underscore. Names that collide after that (also by case, for
    file systems that ignore it) get the beginning of their digest, so an id never depends
    on the order of the files.
    """
    plain = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", name.rsplit(".", 1)[0] or name)
        stem = re.sub(r"^[.\-]+", "_", stem)[:_LONGEST].rstrip(".")
        plain.append(f"_{stem}" if not stem or _RESERVED.fullmatch(stem) else stem)
    count = Counter(stem.lower() for stem in plain)
    ids = [
        stem if count[stem.lower()] == 1 else f"{stem}-{digest[:8]}"
        for stem, digest in zip(plain, digests, strict=True)
    ]
    seen: set[str] = set()
    for index, one in enumerate(ids):
        unique, copy = one, 1
        while unique.lower() in seen:
            copy += 1
            unique = f"{one}-{copy}"
        seen.add(unique.lower())
        ids[index] = unique
    return ids


@dataclass(frozen=True)
class Differences:
    """How a folder differs from what it should be; each entry is ``part/name``."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[str, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed or self.moved)

    def __str__(self) -> str:
        parts = []
        for word in ("missing", "extra", "changed", "moved"):
            names = getattr(self, word)
            if names:
                shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
                parts.append(f"{len(names)} {word} ({shown})")
        return "; ".join(parts) or "no difference"


def compare_contents(expected: Contents, found: Contents) -> Differences:
    """Compare two listings by content first; names only explain what content cannot.

    A picture whose content is nowhere in its part is *changed* when its name is known
    there, *moved* when its content belongs to another part, *missing* or *extra* otherwise.
    """
    missing: list[str] = []
    extra: list[str] = []
    changed: list[str] = []
    left_over: dict[str, list[tuple[str, str]]] = {}
    wanted: dict[str, list[tuple[str, str]]] = {}
    for part in PARTS:
        short = [(digest[:_PREFIX], name) for digest, name in found.get(part, ())]
        want = Counter(digest[:_PREFIX] for digest, _ in expected.get(part, ()))
        have = Counter(digest for digest, _ in short)
        left_over[part] = _beyond(short, want)
        wanted[part] = _beyond([(d[:_PREFIX], n) for d, n in expected.get(part, ())], have)
    elsewhere = {digest: part for part, rows in wanted.items() for digest, _ in rows}
    moved: list[str] = []
    for part in PARTS:
        names = {_plain(name): name for _, name in left_over[part]}
        same_name = {_plain(name) for _, name in wanted[part]} & names.keys()
        changed += [f"{part}/{names[name]}" for name in sorted(same_name)]
        for digest, name in left_over[part]:
            if _plain(name) in same_name:
                continue
            where = moved if digest in elsewhere else extra
            where.append(f"{part}/{name}")
        gone = {d for p in PARTS for d, _ in left_over[p]}
        missing += [
            f"{part}/{name}"
            for digest, name in wanted[part]
            if _plain(name) not in same_name and digest not in gone
        ]
    return Differences(tuple(missing), tuple(extra), tuple(changed), tuple(moved))


def _beyond(rows: Sequence[tuple[str, str]], allowed: Counter[str]) -> list[tuple[str, str]]:
    """The rows that are left when each digest has been taken as often as `allowed` says."""
    room = Counter(allowed)
    rest = []
    for digest, name in rows:
        if room[digest] > 0:
            room[digest] -= 1
        else:
            rest.append((digest, name))
    return rest


def _plain(name: str) -> str:
    """A file name as every system can write it: archives hold ``:``, folders ``_``."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def read_contents(text: str) -> dict[str, list[tuple[str, str]]]:
    """Read a listing: one ``part<TAB>digest<TAB>name`` a line."""
    contents: dict[str, list[tuple[str, str]]] = {part: [] for part in PARTS}
    for line in text.splitlines():
        part, digest, name = line.split("\t")
        contents[part].append((digest, name))
    return contents
