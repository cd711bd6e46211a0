"""What may be set about pictures made elsewhere."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from bench.api import Config


class OutputsConfig(Config):
    """Where the pictures are, and how they are matched with inputs."""

    root: Path | None = Field(None, description="the folder; what stands behind outputs:")
    manifest: str = Field(
        "manifest.csv",
        description="a table with the columns input, sample, file; where it is not there, "
        "file names say which input a picture belongs to",
    )
