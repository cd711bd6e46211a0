"""A folder of pictures as a dataset: ``trainA``, ``trainB``, ``testA``, ``testB``."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bench.api import BenchError, ImageItem
from bench.data.content import PARTS, safe_ids
from bench.data.hashing import digests_of, names_below
from bench.data.splits import SplitDataset

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")


def check_header(source: Path | io.BytesIO, path: Path | None = None) -> None:
    """See that a file begins like a picture that can be read; its pixels are not decoded.

    Parameters
    ----------
    source
        The file, or what one would hold.
    path
        What messages call it; None: the file itself.

    Raises
    ------
    BenchError
        Naming the file and what is wrong with it.
    """
    if path is None:
        assert isinstance(source, Path)
        path = source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as image:
                width, height = image.size
    except UnidentifiedImageError:
        size = source.stat().st_size if isinstance(source, Path) else len(source.getvalue())
        kind = "is empty" if size == 0 else "is not an image, whatever its name says"
        raise BenchError(f"{path} {kind}: remove or replace it") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BenchError(f"{path} is too large to be a picture of a dataset: resize it") from None
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        # Pillow's parsers raise SyntaxError, ValueError, struct.error, … on crafted headers.
        raise BenchError(f"{path} is a broken image ({error}): remove or replace it") from None
    if width < 1 or height < 1:
        raise BenchError(f"{path} is an image without pixels: remove or replace it")


def find_root(root: Path) -> Path:
    """The folder at `root`, seen to hold the four parts.

    Raises
    ------
    BenchError
        When it is missing, is a file or lacks a part; a part one folder deeper is pointed at.
    """
    if not root.exists():
        raise BenchError(f"{root} does not exist: give a folder with trainA, trainB, testA, testB")
    if not root.is_dir():
        raise BenchError(f"{root} is not a folder: give one with trainA, trainB, testA, testB")
    try:
        lacking = [part for part in PARTS if not (root / part).is_dir()]
        deeper = [one for one in sorted(root.iterdir()) if (one / "trainA").is_dir()]
    except OSError as error:
        raise BenchError(f"{root} cannot be read: {error.strerror}") from None
    if lacking:
        hint = f"did you mean {deeper[0]}?" if deeper else "a dataset has four parts"
        raise BenchError(f"{root} has no folder {', '.join(lacking)}: {hint}")
    return root


def pictures_in(folder: Path) -> list[Path]:
    """Every picture in a folder and its sub-folders, sorted by name.

    Files are taken by suffix, in any case; hidden files and other suffixes are passed
    over. A link counts as the file it leads to.

    Raises
    ------
    BenchError
        When there is none, or a link leads nowhere, or something else has a picture's name.
    """
    # Texts and the entries of folders, not paths: a hundred thousand are there in a second.
    found, places = [], [str(folder)]
    while places:
        for entry in _entries(places.pop()):
            if entry.name.startswith("."):
                continue
            if _suffix(entry.name) in SUFFIXES:
                _see_a_file(entry)
                found.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                places.append(entry.path)
    if not found:
        raise BenchError(f"{folder} holds no images: put some there ({_suffixes()})")
    found.sort(key=lambda path: path.replace(os.sep, "\0"))
    return [Path(path) for path in found]


def _entries(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError as error:
        raise BenchError(f"{error.filename} cannot be read: {error.strerror}") from None


def _see_a_file(entry: os.DirEntry[str]) -> None:
    if entry.is_file():
        return
    if entry.is_symlink() and not Path(entry.path).exists():
        raise BenchError(f"{entry.path} is a link that leads nowhere: remove or mend it")
    raise BenchError(f"{entry.path} is not a file, whatever its name says: remove it")


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and dot else ""


def _suffixes() -> str:
    return ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))


def load_folder(root: Path, memory: Path | None = None) -> dict[str, list[ImageItem]]:
    """Read, check and hash the pictures of the four parts.

    Items come in the order of their digests: the order, like the fingerprint, then depends
    on content alone, and the first n are an arbitrary choice rather than the oldest files.

    Parameters
    ----------
    memory
        A folder that keeps the hashes of many files; see :mod:`bench.data.hashing`.

    Returns
    -------
    dict
        Part name to items.
    """
    parts = {}
    find_root(root)
    for part in PARTS:
        paths = pictures_in(root / part)
        names = names_below(root / part, paths)
        digests = digests_of(root / part, paths, memory, check_header)
        items = [
            ImageItem(id=one, digest=digest, path=path)
            for one, digest, path in zip(safe_ids(names, digests), digests, paths, strict=True)
        ]
        parts[part] = sorted(items, key=lambda item: (item.digest, item.id))
    return parts


class FolderDataset(SplitDataset):
    """Pictures in a folder: the base of the datasets that live in files."""

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Find and check the pictures; see :class:`bench.api.Dataset`."""
        root = self._root(cache, offline=offline, progress=progress)
        self._use(root, load_folder(root, cache))

    def _root(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> Path:
        """The folder to read; a subclass may have to fetch it first."""
        raise NotImplementedError
