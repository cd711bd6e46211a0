"""A dataset of Hugging Face's library as a dataset of the suite."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.api import BenchError, import_extra
from bench.data import TableDataset
from bench_hf.config import HfConfig


class HuggingFace(TableDataset):
    """Pictures in the rows of a dataset; see :class:`bench_hf.config.HfConfig`."""

    def __init__(self, config: HfConfig) -> None:
        super().__init__(config, config.train_split, config.test_split)
        self._config = config

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Load the dataset, from the hub where it lies there; its pictures stay encoded."""
        library = import_extra("datasets", "the dataset hf", "translation-bench[hf]")
        title, local = self._where()
        progress(f"loading {title}")
        with _quiet(library, offline=offline or local is not None):
            loaded = _load(library, self._config, local, title, cache)
        if not isinstance(loaded, dict):
            raise BenchError(f"{title} is one split, not several: save a DatasetDict of them")

        def split(name: str) -> _Rows:
            if name not in loaded:
                raise BenchError(
                    f"{title} has no split {name} (there are: {', '.join(map(str, loaded))}): set "
                    "train_split and test_split"
                )
            return _Rows(library, loaded[name], f"{title} {name}")

        self._use_tables(Path(title), split)

    def _where(self) -> tuple[str, Path | None]:
        """What messages call it, and its folder where it has one."""
        root, repo = self._config.root, self._config.repo
        if (root is None) == (repo is None):
            raise BenchError(
                "hf needs one place: --data-root DIR, or repo=OWNER/NAME of a dataset of the hub"
            )
        if root is None:
            return str(repo), None
        local = root.expanduser()
        if not local.is_dir():
            raise BenchError(f"{local} is no folder: give one that holds a dataset")
        return str(local), local


class _Rows:
    """One split; see :class:`bench.data.Table`."""

    word = "column"

    def __init__(self, library: Any, rows: Any, title: str) -> None:
        self.title = title
        self._features = rows.features
        for name, feature in rows.features.items():
            if isinstance(feature, library.Image):
                rows = rows.cast_column(name, library.Image(decode=False))
        self._rows = rows.with_format(None)
        self._one: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self) -> Sequence[str]:
        return list(self._features)

    def has(self, column: str) -> bool:
        return column in self._features

    def labels(self, column: str) -> Sequence[str]:
        feature, values = self._features[column], self._rows[column]
        if hasattr(feature, "int2str"):
            return ["" if v is None or v < 0 else str(feature.int2str(v)) for v in values]
        return [str(value) for value in values]

    def name(self, row: int, column: str) -> str:
        found = self._picture(row, column)
        path = found.get("path") if isinstance(found, dict) else None
        return Path(path).name if path else f"{row:06d}"

    def content(self, row: int, column: str) -> bytes:
        found = self._picture(row, column)
        if isinstance(found, dict) and {"bytes", "path"} <= found.keys():
            if found["bytes"] is not None:
                return bytes(found["bytes"])
            if found["path"] is not None:
                return _read(Path(found["path"]))
            found = None
        if isinstance(found, bytes):
            return found
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise BenchError(f"{self.title} row {row} has {what} in {column}, and no picture")

    def _picture(self, row: int, column: str) -> Any:
        if column not in self._one:  # else a row would be read with all its other pictures
            self._one[column] = self._rows.select_columns([column])
        return self._one[column][row][column]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from None


def _load(library: Any, config: HfConfig, local: Path | None, title: str, cache: Path) -> Any:
    try:
        if local is not None and any(
            (local / name).is_file() for name in ("dataset_dict.json", "state.json")
        ):
            return library.load_from_disk(str(local))
        return library.load_dataset(
            title, config.subset, revision=config.revision, cache_dir=str(cache / "hub")
        )
    except Exception as error:
        # The library raises anything from FileNotFoundError to errors of pyarrow and of the hub.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BenchError(f"{title} cannot be loaded as a dataset: {reason}") from error


@contextmanager
def _quiet(library: Any, *, offline: bool) -> Iterator[None]:
    """Keep the library off the network where it is not needed, and its bars off the screen."""
    hub: Any = importlib.import_module("huggingface_hub.constants")
    before = [(place, place.HF_HUB_OFFLINE) for place in (hub, library.config)]
    bars = library.is_progress_bar_enabled()
    library.disable_progress_bars()
    try:
        for place, was in before:
            place.HF_HUB_OFFLINE = offline or was
        yield
    finally:
        for place, was in before:
            place.HF_HUB_OFFLINE = was
        if bars:
            library.enable_progress_bars()
