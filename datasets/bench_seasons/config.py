"""What may be set about Seasons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.api import Config


class SeasonsConfig(Config):
    """Rendered landscapes.

    Parameters
    ----------
    size
        Height and width in pixels.
    train, test
        Pictures of each season in the train and the test split.
    seed
        Another seed, another world.
    difficulty
        How far the seasons lie apart: ``easy`` (deep snow, lush summers), ``standard``,
        ``hard`` (thin snow with much ground showing, yellow summers with snow on the tops).
    pairs
        True: the two seasons show the same scenes in the same light, index by index. False:
        no scene of one season is in the other.
    """

    size: int = Field(default=64, ge=32, le=1024)
    train: int = Field(default=400, ge=1, le=100_000)
    test: int = Field(default=40, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**32)
    difficulty: Literal["easy", "standard", "hard"] = "standard"
    pairs: bool = False
