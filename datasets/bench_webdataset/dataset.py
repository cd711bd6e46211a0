"""The tar shards of WebDataset as a dataset of the suite."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.api import BenchError, import_extra
from bench.data import TableDataset, fetch
from bench_webdataset.config import WebDatasetConfig


class WebDataset(TableDataset):
    """Pictures in shards; see :class:`bench_webdataset.config.WebDatasetConfig`."""

    def __init__(self, config: WebDatasetConfig) -> None:
        words = ("train_shards", "test_shards")
        super().__init__(config, config.train_shards, config.test_shards, words)
        self._config = config

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Fetch what is not here, and note where in which shard each picture lies."""
        library = import_extra(
            "webdataset", "the dataset webdataset", "translation-bench[webdataset]"
        )

        def split(shards: str) -> _Samples:
            files = [
                self._file(name, cache, offline=offline, progress=progress)
                for name in library.shardlists.expand_urls(shards)
            ]
            progress(f"reading {len(files)} shards of {shards}")
            return _Samples(shards, list(_samples(files, library.tariterators.base_plus_ext)))

        self._use_tables(self._config.root or Path("shards"), split)

    def _file(
        self, name: str, cache: Path, *, offline: bool, progress: Callable[[str], None]
    ) -> Path:
        """The file of a shard, fetched where it has an address."""
        scheme, there, _ = name.partition("://")
        if not there:
            path = Path(name).expanduser()
            return path if self._config.root is None else self._config.root.expanduser() / path
        if scheme not in ("http", "https"):
            raise BenchError(f"shard {name} cannot be fetched: give a file or an http address")
        path = cache / "shards" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.tar"
        if not path.is_file():
            if offline:
                raise BenchError(
                    f"shard {name} is not here and offline mode fetches nothing: put it at {path}"
                )
            fetch([name], path, progress=progress)
        return path


@dataclass(frozen=True)
class _Member:
    """Where a file lies in a shard."""

    shard: Path
    offset: int
    size: int

    def read(self) -> bytes:
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise BenchError(f"{self.shard} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class _Sample:
    """The files of one name, by their endings."""

    key: str
    files: dict[str, _Member] = field(default_factory=dict)


def _samples(
    shards: Sequence[Path], split: Callable[[str], tuple[str | None, str | None]]
) -> Iterator[_Sample]:
    """Yield the samples of shards in their order; nothing is unpacked.

    Parameters
    ----------
    split
        The library's own rule: a path to its sample's name and its ending.
    """
    for shard in shards:
        sample: _Sample | None = None
        for member in _members(shard):
            key, ending = split(member.name)
            if key is None or ending is None or Path(key).name.startswith("."):
                continue
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample
                sample = _Sample(key)
            ending = ending.lower()
            if ending in sample.files:
                raise BenchError(f"{shard} holds {member.name} twice: pack it again")
            sample.files[ending] = _Member(shard, member.offset_data, member.size)
        if sample is not None:
            yield sample


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the files of a shard; links and what else there may be are passed over."""
    try:
        # Not compressed: each file must be found by its place.
        with tarfile.open(shard, "r:") as archive:
            yield from (member for member in archive if member.isfile())
    except FileNotFoundError:
        raise BenchError(f"shard {shard} does not exist: set root and the shards") from None
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BenchError(
            f"{shard} is no plain tar archive ({error}): pack it again, without compression"
        ) from None


class _Samples:
    """The samples of one split; see :class:`bench.data.Table`."""

    word = "file"

    def __init__(self, title: str, samples: Sequence[_Sample]) -> None:
        self.title = title
        self._samples = samples
        self._endings = sorted({ending for sample in samples for ending in sample.files})

    def __len__(self) -> int:
        return len(self._samples)

    def columns(self) -> Sequence[str]:
        return self._endings

    def has(self, column: str) -> bool:
        return any(ending in self._endings for ending in _endings(column))

    def labels(self, column: str) -> Sequence[str]:
        return [_label(self._file(row, column), column) for row in range(len(self))]

    def name(self, row: int, column: str) -> str:
        return f"{self._samples[row].key}.tar"  # an ending, which no name keeps

    def content(self, row: int, column: str) -> bytes:
        return self._file(row, column).read()

    def _file(self, row: int, column: str) -> _Member:
        sample = self._samples[row]
        for ending in _endings(column):
            if ending in sample.files:
                return sample.files[ending]
        there = ", ".join(sample.files)
        raise BenchError(
            f"{self.title}: sample {sample.key} has no {' or '.join(_endings(column))} (it has: "
            f"{there})"
        )


def _endings(column: str) -> list[str]:
    """The endings that a column may have; a field of a JSON file is in the file."""
    return [e.split(".")[0] if _in_json(e) else e for e in column.lower().split(";")]


def _in_json(column: str) -> bool:
    return column.lower().startswith("json.")


def _label(file: _Member, column: str) -> str:
    text = file.read().decode("utf-8", "replace").strip()
    if not _in_json(column):
        return text
    try:
        found: Any = json.loads(text)
    except ValueError:
        raise BenchError(f"{file.shard} holds a label that is no JSON: {text[:40]!r}") from None
    name = column.partition(".")[2]
    return str(found.get(name, "")) if isinstance(found, dict) else ""
