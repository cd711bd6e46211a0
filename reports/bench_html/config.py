"""What may be set about the figures."""

from __future__ import annotations

from pydantic import Field

from bench.api import Config


class GridConfig(Config):
    """What the grid shows.

    Parameters
    ----------
    inputs
        Rows: so many test inputs, spread evenly over all of them.
    samples
        Outputs of each input, for a method that gives several; the first ones.
    anchors
        Whether baselines have columns, too.
    """

    inputs: int = Field(default=4, ge=1, le=24)
    samples: int = Field(default=1, ge=1, le=12)
    anchors: bool = False
