"""What machines without a common folder share: an object store, through fsspec."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.api import BenchError

STORE = "BENCH_STORE"
"""Environment variable: the store that every stage of a run is looked for in, and given to."""


class Store:
    """Named objects, each written whole.

    Parameters
    ----------
    url
        Where they lie, as fsspec has it: ``s3://bucket/folder``, ``gs://…``, ``file:///…``.

    Raises
    ------
    BenchError
        By every method, when the store does not do what is asked; here, when there is no such
        kind of store, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url
        with self._asking():
            self._files, root = url_to_fs(url)
            self._root = str(root).rstrip("/")

    def names(self) -> set[str]:
        """Return the names of all objects."""
        with self._asking():
            self._files.invalidate_cache()
            return {str(path)[len(self._root) + 1 :] for path in self._files.find(self._root)}

    def take(self, name: str, file: Path) -> bool:
        """Copy an object into a file; False where there is none of that name."""
        with self._asking():
            try:
                self._files.get_file(f"{self._root}/{name}", str(file))
            except FileNotFoundError:
                return False
        return True

    def give(self, name: str, file: Path) -> None:
        """Make an object of a file."""
        from fsspec.implementations.local import LocalFileSystem

        path = f"{self._root}/{name}"
        with self._asking():
            if isinstance(self._files, LocalFileSystem):  # object stores have no folders
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(file), path)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # stores raise what their libraries do
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise BenchError(f"the store {self.url} failed: {lines[0]}") from error


def carried() -> dict[str, str]:
    """Return what a worker on another machine must have in its environment, too."""
    return {STORE: url} if (url := os.environ.get(STORE)) else {}


def named_store() -> Store | None:
    """Return the store that the environment names, if it names one."""
    url = os.environ.get(STORE)
    return Store(url) if url else None
