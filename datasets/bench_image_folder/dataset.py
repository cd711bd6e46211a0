"""A folder of pictures as a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.api import BenchError
from bench.data import FolderDataset
from bench_image_folder.config import ImageFolderConfig


class ImageFolder(FolderDataset):
    """Your own pictures; see :class:`bench_image_folder.config.ImageFolderConfig`."""

    def __init__(self, config: ImageFolderConfig) -> None:
        super().__init__(config.domains, train=config.train, test=config.test, paired=config.paired)
        self._given = config.root

    def _root(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> Path:
        if self._given is None:
            raise BenchError(
                "image_folder needs its folder: --data-root DIR (with trainA, trainB, testA, testB)"
            )
        return self._given.expanduser()
