"""What may be set about a folder of pictures."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from bench.api import Config, DomainNames


class ImageFolderConfig(Config):
    """A folder of pictures.

    Parameters
    ----------
    root
        The folder that holds trainA, trainB, testA and testB.
    domains
        What A and B are called.
    train, test
        Use at most so many pictures of each domain (chosen by content, the same every
        time); None uses all.
    paired
        True when ``trainA/x.png`` and ``trainB/x.png`` show the same thing.
    """

    root: Path | None = None
    domains: DomainNames = ("a", "b")
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    paired: bool = False
