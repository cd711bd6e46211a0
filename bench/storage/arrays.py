"""Features on disk, found by content: picture, weights and preprocessing make the key.

An entry is an npy file (read without pickle) behind a seal, the SHA-256 of its key and values, so
a file that was damaged, moved or exchanged is noticed and its content computed anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.storage.files import discard, replacing

_SEAL = hashlib.sha256().digest_size


@dataclass(frozen=True)
class ArrayCache:
    """A folder of small arrays by key; `None` as folder: nothing is kept.

    Parameters
    ----------
    folder
        Where entries live, in 256 sub-folders.
    """

    folder: Path | None

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:34]}.bin"

    def get(self, key: str) -> npt.NDArray[np.float32] | None:
        """The array kept under `key`; None where there is none, or it is not what it claims."""
        if self.folder is None:
            return None
        try:
            # Opened here, because np.load leaves a damaged file open.
            with self._path(key).open("rb") as file:
                seal = file.read(_SEAL)
                value: npt.NDArray[np.float32] = np.load(file, allow_pickle=False)
            known = value.dtype == np.float32 and seal == _seal(key, value)
        except Exception:
            # Readers raise anything on a damaged file; the answer is to compute it again.
            return None
        return value if known and bool(np.isfinite(value).all()) else None

    def put(self, entries: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Keep arrays: each written under a temporary name, then moved into place."""
        if self.folder is None:
            return
        for key, value in entries.items():
            path = self._path(key)
            if path.is_dir():
                discard(path)
            # Not forced to the disk: what a power cut spoils is noticed and computed again.
            with (
                replacing(path, sync=False) as temporary,
                temporary.open("wb") as file,
            ):
                file.write(_seal(key, value))
                np.save(file, value, allow_pickle=False)


def _seal(key: str, value: npt.NDArray[np.float32]) -> bytes:
    """Return what only this value under this key has."""
    digest = hashlib.sha256(f"{key}/{value.shape}".encode())
    digest.update(np.ascontiguousarray(value).tobytes())
    return digest.digest()
