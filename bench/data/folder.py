"""A folder of pictures as a dataset: ``trainA``, ``trainB``, ``testA``, ``testB``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bench.api import BenchError, Direction, Domain, ImageItem, Split
from bench.data.content import PARTS, fingerprint_of, safe_ids
from bench.data.hashing import digests_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")


def check_header(path: Path) -> None:
    """See that a file begins like a picture that can be read; its pixels are not decoded.

    Raises
    ------
    BenchError
        Naming the file and what is wrong with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
    except UnidentifiedImageError:
        kind = "is empty" if path.stat().st_size == 0 else "is not an image, whatever its name says"
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
    found = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders + files:
            path = Path(place) / name
            if path.suffix.lower() not in SUFFIXES or name.startswith("."):
                continue
            if path.is_symlink() and not path.exists():
                raise BenchError(f"{path} is a link that leads nowhere: remove or mend it")
            if not path.is_file():
                raise BenchError(f"{path} is not a file, whatever its name says: remove it")
            found.append(path)
    if not found:
        raise BenchError(f"{folder} holds no images: put some there ({_suffixes()})")
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise BenchError(f"{error.filename} cannot be read: {error.strerror}")


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
        digests = digests_of(root / part, paths, memory, check_header)
        names = [path.relative_to(root / part).as_posix() for path in paths]
        items = [
            ImageItem(id=one, digest=digest, path=path)
            for one, digest, path in zip(safe_ids(names, digests), digests, paths, strict=True)
        ]
        parts[part] = sorted(items, key=lambda item: (item.digest, item.id))
    return parts


def pair_up(parts: Mapping[str, Sequence[ImageItem]], root: Path) -> dict[str, list[ImageItem]]:
    """Put A and B into one order, by the names that both have.

    Raises
    ------
    BenchError
        Naming the first picture without a partner.
    """
    paired: dict[str, list[ImageItem]] = {}
    for split in ("train", "test"):
        a = {item.id: item for item in parts[f"{split}A"]}
        b = {item.id: item for item in parts[f"{split}B"]}
        if alone := sorted(a.keys() ^ b.keys()):
            side = "A" if alone[0] in a else "B"
            raise BenchError(
                f"{root / (split + side)}: {alone[0]} has no partner of the same name: "
                "add it or leave paired off"
            )
        order = sorted(a, key=lambda one: (a[one].digest, b[one].digest, one))
        paired[f"{split}A"] = [a[one] for one in order]
        paired[f"{split}B"] = [b[one] for one in order]
    return paired


class FolderDataset:
    """Pictures in a folder: the base of the datasets that live in files.

    Parameters
    ----------
    domains
        The names of the domains A and B.
    train, test
        Use at most so many pictures of each domain; None uses all.
    paired
        True: ``trainA/x.png`` and ``trainB/x.png`` show the same thing.
    """

    def __init__(
        self,
        domains: tuple[str, str],
        *,
        train: int | None = None,
        test: int | None = None,
        paired: bool = False,
    ) -> None:
        self.domains = domains
        self.paired = paired
        self._limits = {"train": train, "test": test}
        self._parts: dict[str, list[ImageItem]] = {}

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Find and check the pictures; see :class:`bench.api.Dataset`."""
        root = self._root(cache, offline=offline, progress=progress)
        self._use(root, load_folder(root, cache))

    def _root(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> Path:
        """The folder to read; a subclass may have to fetch it first."""
        raise NotImplementedError

    def _use(self, root: Path, parts: Mapping[str, Sequence[ImageItem]]) -> None:
        """Keep the pictures that the configuration asks for."""
        chosen = pair_up(parts, root) if self.paired else parts
        self._parts = {
            part: list(items[: self._limits[PARTS[part][0]]]) for part, items in chosen.items()
        }

    def split(self, split: Split, domain: Domain) -> Sequence[ImageItem]:
        """The pictures of one split of one domain, in the order of their content."""
        if not self._parts:
            raise BenchError("the dataset is not prepared: call prepare first")
        return self._parts[f"{split}{domain.upper()}"]

    def fingerprint(self) -> str:
        """SHA-256 of the content of all pictures in use."""
        digests = {part: [item.digest for item in items] for part, items in self._parts.items()}
        return fingerprint_of(digests, paired=self.paired)

    def truth(self, item: ImageItem, direction: Direction) -> Sequence[ImageItem]:
        """The paired picture where there is one; nobody knows more about photographs."""
        if not self.paired:
            return ()
        sources = self._parts[f"test{direction.source.upper()}"]
        targets = self._parts[f"test{direction.target.upper()}"]
        return [t for s, t in zip(sources, targets, strict=True) if s.id == item.id]
