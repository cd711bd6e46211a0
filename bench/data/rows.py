"""Pictures that lie in the rows of a table, or of an archive: which row is of which part.

What a table is, a plugin says. Its rows are told apart in one of three ways: each domain has splits
of its own, a column names the domain, or a row holds a pair in two columns.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from bench.api import BenchError, ImageItem, TableConfig
from bench.data.content import PARTS, safe_ids
from bench.data.folder import check_header
from bench.data.images import Pixels, by_threads, read_encoded
from bench.data.splits import SplitDataset

Splits = str | tuple[str, str]


class Table(Protocol):
    """The rows of one split.

    `title` is what messages call it, `word` what they call a column.
    """

    title: str
    word: str

    def __len__(self) -> int: ...

    def columns(self) -> Sequence[str]:
        """Return what rows hold."""
        ...

    def has(self, column: str) -> bool:
        """Return whether they hold this."""
        ...

    def labels(self, column: str) -> Sequence[str]:
        """Return what a column says in each row."""
        ...

    def name(self, row: int, column: str) -> str:
        """Return what the picture of a row is called, as a file's name; or else its number."""
        ...

    def content(self, row: int, column: str) -> bytes:
        """Return the picture of a row as its file would hold it."""
        ...


class TableDataset(SplitDataset):
    """Pictures in the rows of tables: the base of datasets that know how to read such tables.

    A subclass opens them in ``prepare``, and gives ``_use_tables`` a way to each split.

    Parameters
    ----------
    config
        How rows become the four parts of a dataset.
    train, test
        The splits: one for both domains, or one for each.
    words
        What the options of the splits are called.

    Raises
    ------
    BenchError
        When the domains are told apart in no way, or in two.
    """

    def __init__(
        self,
        config: TableConfig,
        train: Splits,
        test: Splits,
        words: tuple[str, str] = ("train_split", "test_split"),
    ) -> None:
        two, paired = isinstance(train, tuple) or isinstance(test, tuple), config.pair is not None
        given = {"pair": paired, "label": config.label is not None, "two splits": two}
        ways = [name for name, is_given in given.items() if is_given]
        if len(ways) != 1:
            raise BenchError(
                f"the domains are told apart by {' and by '.join(ways) or 'nothing'}: set one of "
                f"label (and values), pair, or two of each in {' and '.join(words)}"
            )
        if isinstance(train, tuple) != isinstance(test, tuple):
            raise BenchError(f"{' and '.join(words)} name one each, or two each")
        super().__init__(config.domains, train=config.train, test=config.test, paired=paired)
        self._columns, self._splits = config, {"train": train, "test": test}

    def _use_tables(self, root: Path, split: Callable[[str], Table]) -> None:
        """Find the pictures of the four parts in tables, each in the order of their content.

        Nothing but the beginning of a picture is decoded; it is read again when it is needed.

        Parameters
        ----------
        root
            What messages call the dataset.
        split
            Gives the table of a split by its name; raises where there is none.

        Raises
        ------
        BenchError
            When a column is missing, a domain has no row, or a picture is none.
        """
        config, parts, tables = self._columns, {}, dict[str, Table]()
        for part, (when, domain) in PARTS.items():
            side, splits = "ab".index(domain), self._splits[when]
            name = splits if isinstance(splits, str) else splits[side]
            table = tables[name] if name in tables else tables.setdefault(name, split(name))
            column = config.image if config.pair is None else config.pair[side]
            _need(table, column, "image" if config.pair is None else "pair")
            rows: Sequence[int] = range(len(table))
            if config.label is not None:
                rows = _labelled(table, config.label, (config.values or config.domains)[side])
            if not rows:
                raise BenchError(f"{table.title} has no rows: name another split")
            parts[part] = _items(table, rows, column, numbered=self.paired)
        self._use(root, parts)


def _need(table: Table, column: str, option: str) -> None:
    if not table.has(column):
        raise BenchError(
            f"{table.title} has no {table.word} {column} (there are: "
            f"{', '.join(table.columns()) or 'none'}): set {option}"
        )


def _labelled(table: Table, label: str, value: str) -> list[int]:
    _need(table, label, "label")
    labels = table.labels(label)
    rows = [row for row, said in enumerate(labels) if said == value]
    if not rows:
        there = sorted(set(labels))
        listed = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        raise BenchError(
            f"{table.title} has no row whose {label} is {value} (there are: {listed}): set values"
        )
    return rows


def _items(table: Table, rows: Sequence[int], column: str, *, numbered: bool) -> list[ImageItem]:
    def look(row: int) -> str:
        content = table.content(row, column)
        check_header(io.BytesIO(content), _title(table, row))
        return hashlib.sha256(content).hexdigest()

    digests = by_threads(look, rows)
    names = [f"{row:06d}" if numbered else table.name(row, column) for row in rows]
    return sorted(
        (
            ImageItem(id=one, digest=digest, render=partial(_pixels, table, row, column))
            for one, digest, row in zip(safe_ids(names, digests), digests, rows, strict=True)
        ),
        key=lambda item: (item.digest, item.id),
    )


def _title(table: Table, row: int) -> Path:
    return Path(f"{table.title} row {row}")


def _pixels(table: Table, row: int, column: str) -> Pixels:
    return read_encoded(table.content(row, column), str(_title(table, row)))
