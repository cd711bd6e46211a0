"""What may be set about a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from bench.api import Config

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


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
    domains: tuple[Name, Name] = ("a", "b")
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    paired: bool = False

    @model_validator(mode="after")
    def _two_names(self) -> ImageFolderConfig:
        if self.domains[0] == self.domains[1]:
            raise ValueError("the two domains need two names")
        return self
