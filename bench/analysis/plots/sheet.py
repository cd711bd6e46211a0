"""Inputs by methods as one picture: words as type, pictures as they are."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bench.analysis.pictures import inside, truths_of
from bench.analysis.plots.plot import Plot
from bench.analysis.text import clean_text

if TYPE_CHECKING:
    import pandas as pd

    from bench.api import RunView

_WIDTH, _CELL, _GAP, _HEAD, _SIZE = 672, 128, 3, 16, 9.5
"""Widest picture and widest cell, space between cells, height of a heading and of its type, in
CSS pixels: two columns of a paper are 672."""


@dataclass(frozen=True)
class _Column:
    """A heading, and a picture for each input; empty where there is none."""

    title: str
    paths: Sequence[str]


def sheet(run: RunView, rows: pd.DataFrame, *, inputs: int, samples: int, anchors: bool) -> Plot:
    """Return the inputs of one direction of a dataset beside what every method made of them.

    The columns are the input, its true translation where the dataset knows one, and every method
    with the outputs of its first training seed.

    Parameters
    ----------
    rows
        The direction's rows of ``RunView.samples``.
    inputs, samples, anchors
        So many rows, spread evenly over all inputs; so many outputs of each; whether baselines
        have columns, too.
    """
    return Plot(_svg(run.path, list(_columns(run, rows, inputs, samples, anchors))))


def _columns(
    run: RunView, rows: pd.DataFrame, count: int, samples: int, anchors: bool
) -> Iterator[_Column]:
    """Give the columns of one direction of a dataset."""
    inputs = rows.drop_duplicates("input_id")
    step = max(1.0, len(inputs) / count)
    inputs = inputs.iloc[[int(k * step) for k in range(min(count, len(inputs)))]]
    yield _Column("input", list(inputs["input_path"]))
    truths = [truths_of(run.path, path)[:1] for path in inputs["input_path"]]
    if any(truths):
        yield _Column("true", ["".join(found) for found in truths])
    left_out = {} if anchors else run.declared.anchors
    for label, mine in rows[~rows["method"].isin(left_out)].groupby("label", sort=False):
        paths = mine[mine["seed"] == mine["seed"].min()].drop_duplicates(["input_id", "sample"])
        by_place = paths.set_index(["input_id", "sample"])["path"]
        for k in sorted(paths["sample"].unique())[:samples]:
            title = clean_text(label) if k == paths["sample"].min() else ""
            yield _Column(title, [str(by_place.get((i, k), "")) for i in inputs["input_id"]])


def _svg(root: Path, columns: Sequence[_Column]) -> str:
    """Return the drawing; a picture that is not there is a grey square."""
    across, down = len(columns), len(columns[0].paths)
    cell = min(float(_CELL), (_WIDTH - _GAP * (across - 1)) / across)
    width = across * (cell + _GAP) - _GAP
    height = _HEAD + down * (cell + _GAP) - _GAP
    parts = []
    for x, column in enumerate(columns):
        left = x * (cell + _GAP)
        # About half as wide as high is a letter.
        size = min(_SIZE, cell / max(1, len(column.title)) / 0.55)
        middle = f'x="{left + cell / 2:.2f}" y="{_HEAD - 5}" text-anchor="middle"'
        parts.append(f'<text {middle} font-size="{size:.2f}">{escape(column.title)}</text>')
        for y, path in enumerate(column.paths):
            place = f'x="{left:.2f}" y="{_HEAD + y * (cell + _GAP):.2f}" '
            place += f'width="{cell:.2f}" height="{cell:.2f}"'
            if inside(root, path):
                data = base64.b64encode((root / path).read_bytes()).decode()
                parts.append(f'<image {place} href="data:image/png;base64,{data}"/>')
            else:
                parts.append(f'<rect {place} fill="#ddd"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.2f}" height="{height:.2f}" '
        f'viewBox="0 0 {width:.2f} {height:.2f}" font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
