"""Which input a picture looks like: by where it is light and dark, whatever its colours."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.api import BenchError, ImageItem
from bench.data.images import Pixels, fit_square, load_item, read_image
from bench.storage.files import write_atomic

_SIDE = 16
_SAME = 0.95
"""Correlation from which a picture is an input itself, saved again."""
_LIKE, _LEAD = 0.5, 0.05
"""Correlation, and lead over the next, from which a translation is told by its looks."""
DRAFT = "manifest-draft.csv"


def _layout(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Brightness at 16 x 16 places ``(256,)``, of mean 0 and length 1."""
    square = Image.fromarray(fit_square(pixels, min(pixels.shape[:2])))
    small = square.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    flat = np.asarray(small, dtype=np.float64).ravel()
    flat -= flat.mean()
    return np.asarray(flat / (np.linalg.norm(flat) or 1.0))


class Likeness:
    """The layouts of all inputs, made at the first question."""

    def __init__(self, items: Sequence[ImageItem]) -> None:
        self._items, self._known = items, np.empty((0, _SIDE**2))

    def _alike(self, file: Path) -> npt.NDArray[np.float64]:
        if not len(self._known):
            self._known = np.stack([_layout(load_item(item, None)) for item in self._items])
        return np.asarray(self._known @ _layout(read_image(file)))

    def copy_of(self, file: Path) -> str | None:
        """Return the id of the input that a file is, None where it is none of them."""
        alike = self._alike(file)
        return self._items[int(alike.argmax())].id if alike.max() >= _SAME else None

    def nearest(self, file: Path) -> str | None:
        """Return the id of the input that a file looks like, None where none stands out."""
        try:
            *_, second, first = [0.0, *np.sort(alike := self._alike(file))]
        except BenchError:
            return None
        told = first >= _LIKE and first - second >= _LEAD
        return self._items[int(alike.argmax())].id if told else None


def write_draft(
    folder: Path,
    files: Sequence[Path],
    matched: Mapping[Path, tuple[str, int]],
    items: Sequence[ImageItem],
) -> Path:
    """Write a manifest to correct: each file with its input, or with the likeliest one.

    Parameters
    ----------
    matched
        File to input id and sample, where they are known.
    """
    likeness = Likeness(items)
    free = [item.id for item in items if item.id not in {key for key, _ in matched.values()}]
    samples: dict[str, int] = {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("input", "sample", "file", "why"))
    strays = 0
    for file in files:
        if file in matched:
            key, sample, why = *matched[file], "its name"
        else:
            within = sorted((i.id for i in items if i.id in file.stem), key=len)
            near = None if within else likeness.nearest(file)
            in_turn = free[strays % len(free)] if free else items[strays % len(items)].id
            key = within[-1] if within else near or in_turn
            why = "in its name" if within else "looks like it" if near else "in order: check it"
            sample, strays = samples.get(key, 0), strays + 1
            samples[key] = sample + 1
        writer.writerow((key, sample, file.relative_to(folder).as_posix(), why))
    draft = folder / DRAFT
    write_atomic(draft, text.getvalue())
    return draft
