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
        description="a table with the columns input, sample, file and, of a grid, tile; where it "
        "is not there, file names say which input a picture belongs to",
    )
    grid: str = Field(
        "",
        pattern=r"^([1-9]\d?x[1-9]\d?)?$",
        description="COLUMNSxROWS of the tiles in each file: an input's samples, row by row, or "
        "one tile of it where the manifest says which (from 0)",
    )
    resize: bool = Field(
        False,
        description="take pictures of another size: the short side is resized (bicubic), then "
        "the centre square is cut out",
    )

    @property
    def tiles(self) -> tuple[int, int]:
        """Columns and rows of a grid; of a single picture one each."""
        columns, _, rows = (self.grid or "1x1").partition("x")
        return int(columns), int(rows)
