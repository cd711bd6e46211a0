"""What may be set about Yosemite."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from bench.api import Config


class YosemiteConfig(Config):
    """The photographs of Yosemite.

    Parameters
    ----------
    root
        A folder that holds trainA, trainB, testA and testB; None: fetched once, then kept
        in the cache.
    train, test
        Use at most so many pictures of each domain (chosen by content, the same every
        time); None uses all.
    """

    root: Path | None = None
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
