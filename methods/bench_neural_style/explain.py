"""Figures that explain the method: what each layer of VGG-19 keeps, and the trade-off.

* Content ladder: pictures rebuilt from noise so that one layer responds as it does to the
  photograph (CVPR 2016, figure 1, content reconstructions).
* Style ladder: pictures rebuilt from noise so that the Gram matrices of a growing set of
  layers match those of the style image (figure 1, style reconstructions).
* Trade-off grid: content and style joined, by ratio and by style layers (figures 3 and 4).
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from bench.api import BenchError, Event
from bench.data.images import Pixels, read_image, to_uint8, write_png
from bench.storage.files import write_atomic
from bench.training.seeding import normal
from bench_neural_style.config import STYLE_LAYERS, NeuralStyleConfig
from bench_neural_style.losses import gram
from bench_neural_style.method import load_vgg19
from bench_neural_style.networks import network_for
from bench_neural_style.step import Losses, minimise, objective_for, start_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.api import Context
    from bench_neural_style.networks import Weights

__all__ = ["explain", "reconstruct"]

_RATIOS = (1e-2, 1e-1, 1e0, 1e1)
"""Content weights of the grid's columns, against a style weight of 1."""

_SCALE = 1e8
"""What every loss is multiplied with: L-BFGS stores no curvature of losses around 1."""


@dataclass(frozen=True)
class Rebuilt:
    """A picture with its label; `left` is what was left of its loss, None for an original."""

    label: str
    pixels: Pixels
    left: float | None


def reconstruct(
    config: NeuralStyleConfig,
    content: torch.Tensor,
    style: torch.Tensor,
    weights: Weights,
    *,
    label: str,
    seed: int = 0,
) -> Rebuilt:
    """Minimise what `config` asks for and give the best iterate.

    Parameters
    ----------
    content, style
        ``(1, 3, H, W)``, 0..255.
    weights
        Of VGG-19.
    label, seed
        What it will be called; of the noise it starts from.
    """
    network = network_for(config, weights).to(content.device)
    objective = objective_for(network, config, content, style[:, None])
    noise = normal(tuple(content.shape), "explain", seed).to(content.device)
    seen: list[torch.Tensor] = []

    def on_step(iteration: int, x: torch.Tensor, losses: Losses) -> None:
        seen.append(losses["total"])

    start = start_image(network, config, content, noise)
    x = minimise(objective, start, config.iterations, on_step=on_step)
    return Rebuilt(label, _pixels(x), float(torch.cat(seen).amin()) / _SCALE)


def explain(
    content: Path,
    style: Path,
    out: Path,
    ctx: Context,
    *,
    size: int = 256,
    iterations: int = 100,
    **options: object,
) -> Path:
    """Make ``explain.png`` and ``explain.html`` in the folder `out`; gives the HTML file.

    Parameters
    ----------
    content, style
        Two pictures; they are scaled so that their longer side is `size`.
    size
        Longer side, in pixels.
    iterations
        Evaluations for every reconstruction.
    options
        Further fields of :class:`NeuralStyleConfig` (``pooling``, ``vgg_weights``, …).

    Raises
    ------
    BenchError
        When a picture cannot be read or is too small, or the weights are missing.
    """
    if size < 16:
        raise BenchError(f"explain neural_style: size {size} is too small: 16 pixels at least")
    base = NeuralStyleConfig.model_validate({**_BASE, "iterations": iterations, **options})
    a, b = _open(content, size, ctx), _open(style, size, ctx)
    weights, _ = load_vgg19(base, ctx)
    plan = _plan(base, weights, a, b)
    rebuilt = []
    for number, (label, config) in enumerate(plan):
        rebuilt.append(reconstruct(config, a, b, weights, label=label, seed=ctx.seed))
        values = {"loss": rebuilt[-1].left or 0.0}
        ctx.emit(Event("progress", "explain", label, number + 1, len(plan), "figure", values))
    steps = len(STYLE_LAYERS)
    originals = [Rebuilt(name, _pixels(x), None) for name, x in (("content", a), ("style", b))]
    rows = [
        ("Content from one layer alone", [originals[0], *rebuilt[:steps]]),
        ("Style from a growing set of layers", [originals[1], *rebuilt[steps : 2 * steps]]),
    ]
    cells = rebuilt[2 * steps :]
    for index in range(len(cells) // len(_RATIOS)):
        part = cells[index * len(_RATIOS) : (index + 1) * len(_RATIOS)]
        rows.append((f"Trade-off: style from {_set_name(_GRID_SETS[index])}", part))
    out.mkdir(parents=True, exist_ok=True)
    write_png(out / "explain.png", _figure(rows))
    write_atomic(out / "explain.html", _page(rows, content, style, iterations, size))
    return out / "explain.html"


_GRID_SETS = (STYLE_LAYERS[:2], STYLE_LAYERS[:4], STYLE_LAYERS)

# Average pooling, as the paper has it. The noise to start from is faint: what a layer does not
# see stays as it was, and would otherwise lie over every picture as grain. A Gram matrix near
# nothing pulls nowhere, so that the style ladder needs more.
_BASE = {
    "recipe": "paper",
    "normalized": False,
    "content_norm": "mean",
    "style_norm": "mean",
    "noise_scale": 4.0,
    "content_layers": {"relu4_2": 1.0},
    "style_weight": _SCALE,
    "content_weight": _SCALE,
}


@torch.no_grad()
def _plan(
    base: NeuralStyleConfig, weights: Weights, content: torch.Tensor, style: torch.Tensor
) -> list[tuple[str, NeuralStyleConfig]]:
    """Labels and configurations of all reconstructions, row by row.

    The loss of a layer is divided by the mean square of its target, so that 1 is "nothing of
    it" and layers whose responses are large have no more say than others.
    """
    network = network_for(base, weights).to(content.device)
    names = {*STYLE_LAYERS, "relu4_2"}
    features = network(content, names)
    responses = {name: 1 / float(features[name].square().mean()) for name in names}
    found = network(style, STYLE_LAYERS)
    matrices = {name: 1 / float(gram(found[name]).square().mean()) for name in STYLE_LAYERS}

    def from_content(name: str) -> dict[str, float]:
        return {name: responses[name]}

    def from_style(names: Sequence[str]) -> dict[str, float]:
        return {name: matrices[name] / len(names) for name in names}

    ladders: list[tuple[str, dict[str, Any]]] = [
        (name, {"content_layers": from_content(name), "style_layers": {}}) for name in STYLE_LAYERS
    ]
    ladders += [
        (
            _set_name(names),
            {"content_layers": {}, "style_layers": from_style(names), "noise_scale": 40.0},
        )
        for names in (STYLE_LAYERS[: count + 1] for count in range(len(STYLE_LAYERS)))
    ]
    grid: list[tuple[str, dict[str, Any]]] = [
        (
            f"content : style = {ratio:g}",
            {
                "content_layers": from_content("relu4_2"),
                "content_weight": base.content_weight * ratio,
                "style_layers": from_style(names),
                "init": "content",
            },
        )
        for names in _GRID_SETS
        for ratio in _RATIOS
    ]
    return [(label, base.model_copy(update=change)) for label, change in [*ladders, *grid]]


def _set_name(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def _open(path: Path, size: int, ctx: Context) -> torch.Tensor:
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    if min(height, width) < 16 or min(target) < 16:
        raise BenchError(
            f"{path}: {width}x{height} pixels are too small: neural_style looks at 16 pixels a "
            f"side at least (here scaled to {target[0]}x{target[1]})"
        )
    scaled = np.array(Image.fromarray(pixels).resize(target, Image.Resampling.BICUBIC))
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].float().to(ctx.device)


def _pixels(x: torch.Tensor) -> Pixels:
    return to_uint8(x.cpu() / 255.0)[0].permute(1, 2, 0).numpy()


def _caption(cell: Rebuilt) -> str:
    return "original" if cell.left is None else f"loss {cell.left:.2g}"


def _figure(rows: Sequence[tuple[str, Sequence[Rebuilt]]]) -> Pixels:
    """All rows as one labelled picture."""
    cells = [cell for _, row in rows for cell in row]
    width = max(170, *(cell.pixels.shape[1] for cell in cells))
    height = max(cell.pixels.shape[0] for cell in cells)
    gap, title, text = 8, 28, 34
    columns = max(len(row) for _, row in rows)
    size = (gap + columns * (width + gap), len(rows) * (title + height + text + gap))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    small, large = ImageFont.load_default(size=12), ImageFont.load_default(size=16)
    top = 0
    for name, row in rows:
        draw.text((gap, top + 5), name, fill="black", font=large)
        for column, cell in enumerate(row):
            left = gap + column * (width + gap)
            canvas.paste(Image.fromarray(cell.pixels), (left, top + title))
            under = top + title + height + 2
            draw.text((left, under), cell.label, fill="black", font=small)
            draw.text((left, under + 15), _caption(cell), fill=(90, 90, 90), font=small)
        top += title + height + text + gap
    return np.array(canvas)


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;
color:#1a1a1a;background:#fff}.row{display:flex;flex-wrap:wrap;gap:.75rem}figure{margin:0}
img{display:block;image-rendering:auto}figcaption{font-size:13px;max-width:16rem}
small{color:#555}@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}
small{color:#aaa}}"""

_TEXT = {
    "Content": "Started from noise; only this one layer's responses to the photograph are "
    "asked for. Low layers give the pixels back, high layers only the arrangement.",
    "Style": "Started from noise; only the Gram matrices of these layers are asked for. "
    "With each deeper layer the structures that are kept grow.",
    "Trade-off": "Started from the content picture. To the right the content (relu4_2) weighs "
    "more against the style of these layers.",
}


def _page(
    rows: Sequence[tuple[str, Sequence[Rebuilt]]],
    content: Path,
    style: Path,
    iterations: int,
    size: int,
) -> str:
    """The same rows as a page that needs no other file."""
    parts = []
    for name, row in rows:
        figures = "".join(
            f'<figure><img alt="{html.escape(name)}: {html.escape(cell.label)}" '
            f'src="data:image/png;base64,{_inline(cell.pixels)}">'
            f"<figcaption>{html.escape(cell.label)}<br><small>{_caption(cell)}</small>"
            f"</figcaption></figure>"
            for cell in row
        )
        text = _TEXT[name.split(" ")[0].rstrip(":")]
        parts.append(f'<h2>{html.escape(name)}</h2><p>{text}</p><div class="row">{figures}</div>')
    about = (
        f"content {html.escape(content.name)}, style {html.escape(style.name)}, longer side "
        f"{size} pixels, {iterations} evaluations each; at a loss of 1 nothing is met yet"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>What neural style sees</title><style>{_STYLE}</style>"
        f"<h1>What neural style sees</h1><p><small>{about}</small></p>{''.join(parts)}</html>\n"
    )


def _inline(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
