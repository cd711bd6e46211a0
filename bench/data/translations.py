"""Translated pictures as a tensor that notebooks show."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import torch
from PIL import Image

from bench.data.images import to_uint8, write_png

_ROWS, _COLUMNS = 8, 8
_SEEN = 128
"""Pixels at which a picture can be judged: smaller ones are shown larger, by a whole factor."""


class Translations(torch.Tensor):
    """Float ``(B, samples, 3, H, W)`` in ``[0, 1]``: a tensor like any other, with a face.

    What is computed from it is a plain tensor.
    """

    # What torch asks for to leave the results of operations what they were.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def of(cls, images: torch.Tensor) -> Translations:
        """Return the same memory under this name."""
        return images.as_subclass(cls)

    def save(self, folder: str | Path, names: list[str] | None = None) -> list[Path]:
        """Write ``NAME-SAMPLE.png`` for each output, and return the paths.

        Parameters
        ----------
        names
            One for each input; None: their numbers.
        """
        paths = []
        for index, samples in enumerate(self._pixels()):
            for k, pixels in enumerate(samples):
                name = names[index] if names else f"{index:03d}"
                paths.append(Path(folder) / f"{name}-{k}.png")
                write_png(paths[-1], pixels.numpy())
        return paths

    def _pixels(self) -> torch.Tensor:
        """Return uint8 ``(B, samples, H, W, 3)`` on the CPU."""
        pixels = to_uint8(self.detach().flatten(0, 1)).cpu().movedim(1, -1)
        return pixels.reshape(*self.shape[:2], *pixels.shape[1:])

    def _repr_html_(self) -> str:
        """Return a row of pictures for each input; the first ones."""
        width = self.shape[-1] * max(1, math.ceil(_SEEN / self.shape[-1]))
        rows = []
        for index, samples in enumerate(self._pixels()[:_ROWS], 1):
            cells = [
                f'<td><img src="{_url(p)}" width="{width}" alt="input {index}, output {k}"></td>'
                for k, p in enumerate(samples[:_COLUMNS], 1)
            ]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        inputs, outputs = self.shape[:2]
        said = f"{inputs} input{'s' * (inputs != 1)} × {outputs} output{'s' * (outputs != 1)}"
        return f"<table>{''.join(rows)}</table><small>{said}</small>"


def _url(pixels: torch.Tensor) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
