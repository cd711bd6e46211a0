"""What may be set about a dataset of Hugging Face's library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from bench.api import Config

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class HfConfig(Config):
    """A dataset of Hugging Face's library.

    The domains are told apart in one of three ways: by `label`, by `pair`, or by two splits each
    in `train_split` and `test_split`.

    Parameters
    ----------
    root
        A folder: what ``save_to_disk`` wrote, or one that ``load_dataset`` reads (an imagefolder,
        Parquet files). None: `repo` is taken from the hub.
    repo, subset, revision
        A dataset of the hub, as ``owner/name``; which of its configurations, and which version.
    domains
        What A and B are called.
    image
        The column that holds pictures.
    label, values
        The column that says of which domain a row is, and what it says of A and of B (the names
        of classes, not their numbers); values not given are the names of the domains.
    pair
        Two columns, of A and B, whose pictures in one row show the same thing.
    train_split, test_split
        The splits for training and for testing; two where each domain has its own.
    train, test
        Use at most so many pictures of each domain (chosen by content, the same every time);
        None uses all.
    """

    root: Path | None = None
    repo: str | None = None
    subset: str | None = None
    revision: str | None = None
    domains: tuple[Name, Name] = ("a", "b")
    image: str = "image"
    label: str | None = None
    values: tuple[str, str] | None = None
    pair: tuple[str, str] | None = None
    train_split: str | tuple[str, str] = "train"
    test_split: str | tuple[str, str] = "test"
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _two_names(self) -> HfConfig:
        if self.domains[0] == self.domains[1]:
            raise ValueError("the two domains need two names")
        return self
