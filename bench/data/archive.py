"""Unpacking an archive that nobody vouches for."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from bench.api import BenchError
from bench.storage.files import filling

_CHUNK = 1 << 20


class NoRoom(BenchError):
    """The archive is sound; the disk does not take what is in it."""


def unpack_zip(
    archive: Path,
    out: Path,
    *,
    max_bytes: int = 8 << 30,
    max_files: int = 200_000,
    max_ratio: float = 200.0,
) -> Path:
    """Unpack a ZIP archive to the new folder `out`, wholly or not at all.

    Every entry is looked at before anything is written. Refused are: names that are
    absolute, climb with ``..``, carry a drive, a backslash or control characters; links
    and special files; encrypted entries; two entries of one name; more files, more bytes
    or a higher compression ratio than allowed. A ``:`` in a name is written as ``_``.

    Parameters
    ----------
    archive
        The ZIP file.
    out
        The folder to make; it must not exist.
    max_bytes, max_files, max_ratio
        Limits on what the archive may become; the ratio counts for entries over 1 MiB.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    BenchError
        With the reason; nothing is left behind. :class:`NoRoom` where the disk is the reason.
    """
    if out.exists():
        raise BenchError(f"{out} exists already: remove it before unpacking {archive.name}")
    try:
        with zipfile.ZipFile(archive) as source:
            members = _inspect(source, archive, max_bytes, max_files, max_ratio)
            out.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(out.parent).free
            needed = sum(info.file_size for info in members.values())
            if needed > free:
                raise NoRoom(
                    f"{out.parent} has {free >> 20} MiB free, {archive.name} needs "
                    f"{needed >> 20} MiB: make room"
                )
            with filling(out) as temporary:
                for name, info in members.items():
                    _extract(source, info, temporary / name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BenchError(
            f"{archive} is not a sound ZIP archive ({error}): fetch it again"
        ) from None
    except OSError as error:
        raise NoRoom(f"{archive} cannot be unpacked to {out}: {error.strerror}") from None
    return out


def _inspect(
    source: zipfile.ZipFile, archive: Path, max_bytes: int, max_files: int, max_ratio: float
) -> dict[str, zipfile.ZipInfo]:
    """The files to write, by their safe relative names; raises on anything suspicious."""

    def refuse(info: zipfile.ZipInfo, why: str) -> BenchError:
        return BenchError(f"{archive} is refused: entry {info.orig_filename!r} {why}")

    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    total = 0
    for info in source.infolist():
        # `orig_filename` is what the archive says; `filename` has been cut and mended.
        name = info.orig_filename
        mode = info.external_attr >> 16
        if re.search(r"[\x00-\x1f\x7f\\]", name) or not name:
            raise refuse(info, "has a name with a backslash or control characters")
        if (
            name.startswith("/")
            or re.match(r"[A-Za-z]:[^/]*/", name)
            or re.match(r"[A-Za-z]:", name)
        ):
            raise refuse(info, "has an absolute name")
        if ".." in name.split("/"):
            raise refuse(info, "climbs out of the archive")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refuse(info, "is a link or a special file")
        if info.flag_bits & 0x1:
            raise refuse(info, "is encrypted")
        if info.is_dir():
            continue
        if info.file_size > 1 << 20 and info.file_size > max_ratio * max(1, info.compress_size):
            raise refuse(info, f"unpacks to more than {max_ratio:g} times its size")
        total += info.file_size
        if total > max_bytes:
            raise refuse(info, f"brings the archive over {max_bytes >> 20} MiB")
        safe = name.replace(":", "_")
        if safe.lower() in seen:
            raise refuse(info, "is there twice")
        seen.add(safe.lower())
        members[safe] = info
        if len(members) > max_files:
            raise refuse(info, f"is one more than the {max_files} files allowed")
    return members


def _extract(source: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Write one entry; its size is held to what the archive declared."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = info.file_size
    with source.open(info) as packed, path.open("xb") as handle:
        while block := packed.read(_CHUNK):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{info.filename} is larger than declared")
            handle.write(block)
    if left:
        raise zipfile.BadZipFile(f"{info.filename} is smaller than declared")
