"""summer2winter_yosemite: found in a folder, or fetched and verified by content."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from bench.api import BenchError, ImageItem
from bench.data import (
    Contents,
    Differences,
    FolderDataset,
    NoRoom,
    compare_contents,
    fetch,
    fingerprint_of,
    load_folder,
    locked,
    read_contents,
    unpack_zip,
)
from bench_yosemite.config import YosemiteConfig

FINGERPRINT = "68ee9d6018cce2f58c2926d13a5e913054cbdb9a6ddd988483913ebfb57b0cf3"
"""Of all 2,740 photographs of the published archive, by :func:`bench.data.fingerprint_of`."""

NAME = "summer2winter_yosemite"
URLS = (
    f"http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{NAME}.zip",
    f"https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/{NAME}.zip",
)
# The archive holds 134 MB; what is much larger is something else.
MAX_BYTES = 1 << 30


def published_contents() -> Contents:
    """The published files: part to ``(first 16 digits of the SHA-256, name)``."""
    listing = resources.files("bench_yosemite").joinpath("contents.tsv")
    return read_contents(listing.read_text("utf-8"))


class Yosemite(FolderDataset):
    """The photographs of Yosemite; see :class:`bench_yosemite.config.YosemiteConfig`.

    Parameters
    ----------
    config
        Where they are and how many to use.
    urls
        Where the archive is published.
    """

    def __init__(self, config: YosemiteConfig, urls: Sequence[str] = URLS) -> None:
        super().__init__(("summer", "winter"), train=config.train, test=config.test)
        self._given = config.root
        self._urls = tuple(urls)
        self._differences = Differences()

    def expected_contents(self) -> Contents:
        """What the dataset should hold, for :func:`bench.data.verify`."""
        return published_contents()

    @property
    def differences(self) -> Differences:
        """How the pictures found differ from the published ones; false where they do not."""
        return self._differences

    def _root(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> Path:
        if self._given is not None:
            return self._given.expanduser()
        root = cache / NAME
        with locked(cache):
            if not root.is_dir():
                self._fetch(cache, root, offline=offline, progress=progress)
        return root

    def _use(self, root: Path, parts: Mapping[str, Sequence[ImageItem]]) -> None:
        self._differences = _compare(parts)
        super()._use(root, parts)

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Find or fetch the photographs; other content than published is said, and used."""
        super().prepare(cache, offline=offline, progress=progress)
        if self._differences:
            progress(
                "warning: these are not the published photographs of Yosemite, numbers cannot be "
                f"compared with others': {self._differences}"
            )

    def _fetch(
        self, cache: Path, root: Path, *, offline: bool, progress: Callable[[str], None]
    ) -> None:
        archive = cache / f"{NAME}.zip"
        if offline and not archive.is_file():
            raise BenchError(
                f"Yosemite is not here and offline mode fetches nothing: download {self._urls[0]}, "
                f"put it at {archive}, or give the folder with --data-root"
            )
        progress(f"fetching {NAME} (134 MB) from {self._urls[0]}")
        fetch(self._urls, archive, progress=progress, max_bytes=MAX_BYTES)
        loose = cache / f".{NAME}.unpacked"
        shutil.rmtree(loose, ignore_errors=True)
        try:
            unpack_zip(archive, loose, max_bytes=MAX_BYTES)
            inner = loose / NAME if (loose / NAME).is_dir() else loose
            parts = load_folder(inner)
            if differences := _compare(parts):
                raise BenchError(f"it does not hold the published photographs: {differences}")
            inner.rename(root)
        except NoRoom:
            raise  # the archive is good, and is there when there is room
        except BenchError as error:
            # Kept, a wrong archive would be taken for the right one at the next start.
            archive.unlink(missing_ok=True)
            raise BenchError(f"{archive.name} is refused and removed: {error}") from None
        finally:
            shutil.rmtree(loose, ignore_errors=True)
        archive.unlink(missing_ok=True)


def _compare(parts: Mapping[str, Sequence[ImageItem]]) -> Differences:
    """Compare all pictures found with the published ones."""
    if fingerprint_of({part: [i.digest for i in items] for part, items in parts.items()}) == (
        FINGERPRINT
    ):
        return Differences()
    found = {
        part: [(item.digest, item.path.name if item.path else item.id) for item in items]
        for part, items in parts.items()
    }
    return compare_contents(published_contents(), found)
