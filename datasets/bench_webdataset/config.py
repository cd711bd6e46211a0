"""What may be set about the shards of WebDataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from bench.api import Config

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class WebDatasetConfig(Config):
    """Tar shards whose files of one name are one sample: ``0001.jpg``, ``0001.cls``.

    The domains are told apart in one of three ways: by `label`, by `pair`, or by two sets of shards
    each in `train_shards` and `test_shards`.

    Parameters
    ----------
    root
        The folder that shards are looked for in; None: shards are addresses or whole paths.
    train_shards, test_shards
        The shards for training and for testing: ``train-{0000..0012}.tar``, several with ``::``
        between them, or ``http`` addresses, which are fetched once. Two where each domain has its
        own.
    domains
        What A and B are called.
    image
        The endings of pictures, best first, with ``;`` between them.
    label, values
        Where it stands of which domain a sample is, and what stands there for A and for B: an
        ending, as ``cls``, or a field of a JSON file, as ``json.season``; values not given are the
        names of the domains.
    pair
        Two endings, of A and B, whose pictures in one sample show the same thing: ``a.png``,
        ``b.png``.
    train, test
        Use at most so many pictures of each domain (chosen by content, the same every time);
        None uses all.
    """

    root: Path | None = None
    train_shards: str | tuple[str, str] = "train.tar"
    test_shards: str | tuple[str, str] = "test.tar"
    domains: tuple[Name, Name] = ("a", "b")
    image: str = "jpg;jpeg;png;webp"
    label: str | None = None
    values: tuple[str, str] | None = None
    pair: tuple[str, str] | None = None
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _two_names(self) -> WebDatasetConfig:
        if self.domains[0] == self.domains[1]:
            raise ValueError("the two domains need two names")
        return self
