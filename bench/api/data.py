"""Domains, directions, pictures and datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, Field, StringConstraints

from bench.api.errors import BenchError
from bench.api.specs import Config

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

Domain = Literal["a", "b"]


Split = Literal["train", "test"]


def _two(names: tuple[str, str]) -> tuple[str, str]:
    if names[0] == names[1]:
        raise ValueError("the two domains need two names")
    return names


_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
DomainNames = Annotated[tuple[_Name, _Name], AfterValidator(_two)]
"""What a configuration calls A and B: two names, each safe in the name of a file."""


class TableConfig(Config):
    """Base of the configuration of datasets whose pictures lie in the rows of tables.

    The domains are told apart in one of three ways: by `label`, by `pair`, or by two splits each
    for training and for testing, whose options a subclass adds.

    Parameters
    ----------
    root
        The folder that the tables lie in.
    domains
        What A and B are called.
    image
        The column that holds pictures.
    label, values
        The column that says of which domain a row is, and what it says of A and of B; values not
        given are the names of the domains.
    pair
        Two columns, of A and B, whose pictures in one row show the same thing.
    train, test
        Use at most so many pictures of each domain (chosen by content, the same every time);
        None uses all.
    """

    root: Path | None = None
    domains: DomainNames = ("a", "b")
    image: str = "image"
    label: str | None = None
    values: tuple[str, str] | None = None
    pair: tuple[str, str] | None = None
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Direction:
    """One way through a dataset.

    Parameters
    ----------
    source, target
        The domain keys, ``"a"`` or ``"b"``.
    name
        What people call it: ``summer2winter``.
    """

    source: Domain
    target: Domain
    name: str

    @property
    def key(self) -> str:
        """``a2b`` or ``b2a``, whatever the domains are called."""
        return f"{self.source}2{self.target}"

    @classmethod
    def parse(cls, text: str, domains: tuple[str, str]) -> Direction:
        """Read ``a2b``, ``b2a`` or ``<name>2<name>`` for the given domain names.

        Raises
        ------
        BenchError
            When `text` is neither; the message lists what is.
        """
        a, b = domains
        known = {
            "a2b": cls("a", "b", f"{a}2{b}"),
            "b2a": cls("b", "a", f"{b}2{a}"),
        }
        for direction in known.values():
            if text in (direction.key, direction.name):
                return direction
        names = ", ".join(d.name for d in known.values())
        raise BenchError(f"direction {text!r} is unknown: choose from {names} (or a2b, b2a)")


A2B = Direction("a", "b", "a2b")


B2A = Direction("b", "a", "b2a")


@dataclass(frozen=True)
class ImageItem:
    """One picture of a dataset.

    Parameters
    ----------
    id
        Stable, unique within its split and domain, safe as a folder name.
    path
        The file it lives in; decoded by the harness.
    render
        For pictures that live in no file: gives ``(H, W, 3)`` uint8.
    digest
        SHA-256 of the file's bytes (or of the pixels).
    factors
        Known truth about it, where a dataset has any (mode, snow line, …).
    """

    id: str
    digest: str
    path: Path | None = None
    render: Callable[[], npt.NDArray[np.uint8]] | None = None
    factors: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A decoded picture that is loaded when it is needed.

    Parameters
    ----------
    id
        Its input's id.
    digest
        SHA-256 of its pixels.
    load
        Gives ``(H, W, 3)`` uint8.
    factors
        Known truth about it, as in :class:`ImageItem`.
    """

    id: str
    digest: str
    load: Callable[[], npt.NDArray[np.uint8]]
    factors: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainData:
    """The training images of both domains, decoded once.

    Parameters
    ----------
    a, b
        uint8 ``(N, 3, H, W)``, on the training device.
    domains
        The names of the two domains.
    paired
        True when ``a[i]`` and ``b[i]`` show the same thing.
    """

    a: torch.Tensor
    b: torch.Tensor
    domains: tuple[str, str]
    paired: bool = False

    def of(self, domain: Domain) -> torch.Tensor:
        """The images of one domain."""
        return self.a if domain == "a" else self.b


@runtime_checkable
class Dataset(Protocol):
    """Two domains of pictures, each with a train and a test split."""

    domains: tuple[str, str]
    paired: bool

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Make the pictures available: find, fetch or render them.

        Called once, before anything else. `cache` is a folder of this dataset's own that
        lasts between runs. Raises :class:`BenchError` when it cannot.
        """
        ...

    def split(self, split: Split, domain: Domain) -> Sequence[ImageItem]:
        """The pictures of one split of one domain, in fixed order."""
        ...

    def fingerprint(self) -> str:
        """A SHA-256 of the content of all splits; names and places do not enter it."""
        ...

    def truth(self, item: ImageItem, direction: Direction) -> Sequence[ImageItem]:
        """The true translations of a test picture; empty where nobody knows them.

        Where there are several, the first is the pair: the one in the input's own light.
        """
        ...


@runtime_checkable
class LayeredDataset(Dataset, Protocol):
    """A dataset that knows what every pixel of its test pictures shows.

    `classes` are the names behind the indices in the layer ``classes``.
    """

    classes: tuple[str, ...]

    def layers(self, item: ImageItem) -> Mapping[str, npt.NDArray[np.uint8 | np.uint16]]:
        """Planes of whole numbers ``(H, W)`` by name.

        ``classes`` (indices into `classes`; the sky is called ``sky``) and ``depth``, which
        grows with the distance.
        """
        ...
