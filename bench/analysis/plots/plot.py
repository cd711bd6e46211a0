"""A figure that can be looked at and saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vl_convert

from bench.analysis.plots.chart import theme
from bench.api import BenchError
from bench.storage.files import write_atomic

_WIDTH = 420
"""Width of a figure in CSS pixels: one column of a paper at 96 per inch."""
_PADDING = {"left": 18, "right": 18, "top": 5, "bottom": 5}
"""Who shows the figure may have a wider font than the one that names were measured with."""


@dataclass(frozen=True)
class Plot:
    """A figure as SVG, which notebooks show."""

    svg: str = field(repr=False)

    @classmethod
    def of(cls, spec: dict[str, Any]) -> Plot:
        """Return a Vega-Lite specification drawn on white, as wide as a column of a paper."""
        config = theme(dark=False) | {"background": "white"}
        size = {"width": _WIDTH, "padding": _PADDING}
        return cls(vl_convert.vegalite_to_svg(spec | size | {"config": config}))

    def save(self, path: str | Path) -> Path:
        """Write it as what its name ends in: ``.svg``, ``.pdf``, or ``.png`` at 3 times its size.

        Raises
        ------
        BenchError
            When the name has another ending.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".svg":
                content = self.svg.encode()
            case ".pdf":
                content = vl_convert.svg_to_pdf(self.svg)
            case ".png":
                content = vl_convert.svg_to_png(self.svg, scale=3)
            case _:
                raise BenchError(f"{path}: plots are saved as .png, .pdf or .svg")
        write_atomic(path, content)
        return path

    def _repr_svg_(self) -> str:
        return self.svg
