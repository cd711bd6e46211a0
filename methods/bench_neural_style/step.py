"""Optimising pixels: the objective of a batch of pictures, and the loop that lowers it.

Pixels are RGB on the 0..255 scale throughout. On [0, 1] the gradients are 255 times larger
and the steps 255 times smaller: the first steps of L-BFGS then fall under its curvature
test, no pair is ever stored, and it makes no progress.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from bench.training.transfer import to_device
from bench_neural_style.lbfgs import BatchedLBFGS
from bench_neural_style.losses import content_loss, gram, style_loss, total_variation

if TYPE_CHECKING:
    from bench_neural_style.config import NeuralStyleConfig
    from bench_neural_style.networks import VGG19

__all__ = ["Objective", "minimise", "objective_for", "resize", "stylize"]

Losses = dict[str, torch.Tensor]
OnStep = Callable[[int, torch.Tensor, Losses], None]
"""Called after every evaluation with the iteration (from 1), the pixels and the losses."""


@dataclass(frozen=True)
class Objective:
    """What a batch of pictures is to become; every picture has targets of its own.

    Parameters
    ----------
    network
        The feature extractor.
    content, style
        Layer to target: features ``(B, C, H, W)``, Gram matrices ``(B, C, C)``.
    config
        Weights and norms.
    """

    network: VGG19
    content: Mapping[str, torch.Tensor]
    style: Mapping[str, torch.Tensor]
    config: NeuralStyleConfig

    def losses(self, images: torch.Tensor) -> Losses:
        """``total`` and its weighted parts ``content``, ``style``, ``tv``: ``(B,)`` each."""
        config = self.config
        features = self.network(images, {*self.content, *self.style})
        zero = images.new_zeros(len(images))
        content, style = zero, zero
        for name, target in self.content.items():
            weight = config.content_weight * config.content_layers[name]
            content = content + weight * content_loss(features[name], target, config.content_norm)
        for name, target in self.style.items():
            weight = config.style_weight * config.style_layers[name]
            style = style + weight * style_loss(gram(features[name]), target, config.style_norm)
        parts = {"content": content, "style": style}
        if config.tv_weight:
            parts["tv"] = config.tv_weight * total_variation(images)
        return {"total": torch.stack(list(parts.values())).sum(0), **parts}

    def evaluate(self, images: torch.Tensor) -> tuple[Losses, torch.Tensor]:
        """Losses and the gradient of ``total``: rows do not mix, so one backward serves all."""
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            losses = self.losses(images)
            (grad,) = torch.autograd.grad(losses["total"].sum(), images)
        return {name: value.detach() for name, value in losses.items()}, grad


@torch.no_grad()
def objective_for(
    network: VGG19,
    config: NeuralStyleConfig,
    content: torch.Tensor,
    styles: torch.Tensor,
) -> Objective:
    """Targets from pictures.

    Several style images share one target, the weighted mean of their Gram matrices: its
    gradient is that of the weighted sum of their style losses, and the losses differ by a
    constant.

    Parameters
    ----------
    content
        ``(B, 3, H, W)``, 0..255.
    styles
        ``(B, K, 3, h, w)``, 0..255: K style images for each picture.
    """
    content_names = [n for n, w in config.content_layers.items() if w and config.content_weight]
    style_names = [n for n, w in config.style_layers.items() if w and config.style_weight]
    rows, count = styles.shape[:2]
    shares = config.exemplar_weights or (1.0,) * count
    share = torch.tensor(shares, dtype=styles.dtype)
    share = to_device(share / share.sum(), styles.device)[None, :, None, None]
    targets = {
        name: (gram(features).view(rows, count, *2 * (features.shape[1],)) * share).sum(1)
        for name, features in network(styles.flatten(0, 1), style_names).items()
    }
    return Objective(network, network(content, content_names), targets, config)


def minimise(
    objective: Objective,
    start: torch.Tensor,
    iterations: int,
    *,
    first: int = 0,
    on_step: OnStep | None = None,
) -> torch.Tensor:
    """Lower the total loss of every picture; ``(B, 3, H, W)`` in and out.

    Gives each picture's best iterate: the one of lowest loss among those evaluated. The step
    after the last evaluation, which nobody would look at, is not made.

    The loop reads nothing back from the device: whatever looks at values does so in
    `on_step`, at its own rate. The losses of iteration t are those of the pixels before its
    step, as a closure sees them. A picture whose loss was never finite comes back as NaN.

    Parameters
    ----------
    iterations
        Evaluations of the objective.
    first
        Iterations that lie behind already, for `on_step`.
    """
    config = objective.config
    # contiguous() may be the very same tensor: clone, so that no caller's pixels move
    x = start.detach().clone(memory_format=torch.contiguous_format)
    flat = x.view(len(x), -1)
    best, lowest = torch.full_like(x, torch.nan), x.new_full((len(x),), torch.inf)
    lbfgs = adam = None
    if config.optimizer == "lbfgs":
        lbfgs = BatchedLBFGS(
            flat,
            history=min(config.history, max(1, iterations - 1)),
            learning_rate=config.learning_rate,
        )
    else:
        adam = torch.optim.Adam([x], lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    for iteration in range(1, iterations + 1):
        losses, grad = objective.evaluate(x)
        better = losses["total"] < lowest
        lowest = torch.where(better, losses["total"], lowest)
        best = torch.where(better[:, None, None, None], x, best)
        if on_step is not None:
            on_step(first + iteration, x, losses)
        if iteration == iterations:
            break
        if lbfgs is not None:
            lbfgs.step(flat, losses["total"], grad.reshape(len(x), -1))
        elif adam is not None:
            x.grad = grad.contiguous()
            adam.step()
    return best


def resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bicubic, antialiased; ``(B, 3, H, W)`` to ``(B, 3, height, width)``."""
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, size=(height, width), mode="bicubic", antialias=True)


def _split(iterations: int, scales: int) -> list[int]:
    """Iterations for each scale: equal shares, what is left over goes to the small ones."""
    share, rest = divmod(iterations, scales)
    return [share + (index < rest) for index in range(scales)]


def stylize(
    network: VGG19,
    config: NeuralStyleConfig,
    content: torch.Tensor,
    styles: torch.Tensor,
    noise: torch.Tensor | None,
    *,
    on_step: OnStep | None = None,
) -> torch.Tensor:
    """Stylise a batch, through all scales.

    Parameters
    ----------
    content
        ``(B, 3, H, W)``, 0..255.
    styles
        ``(B, K, 3, h, w)``, 0..255.
    noise
        Standard normal ``(B, 3, H, W)``; needed unless the start is the content.

    Returns
    -------
    torch.Tensor
        ``(B, 3, H, W)``, clamped to 0..255.
    """
    height, width = content.shape[-2:]
    x, done = start_image(network, config, content, noise), 0
    for scale, iterations in zip(
        config.scales, _split(config.iterations, len(config.scales)), strict=True
    ):
        if iterations == 0:
            continue
        # A small picture is not shrunk below what the network can look at.
        floor = network.min_side
        sides = [max(min(floor, s), round(s * scale)) for s in (height, width)]
        style_sides = [max(min(floor, s), round(s * scale)) for s in styles.shape[-2:]]
        scaled = resize(styles.flatten(0, 1), *style_sides)
        scaled = scaled.view(*styles.shape[:3], *style_sides)
        objective = objective_for(network, config, resize(content, *sides), scaled)
        x = minimise(objective, resize(x, *sides), iterations, first=done, on_step=on_step)
        done += iterations
    return finish(config, x, content)


def finish(config: NeuralStyleConfig, x: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Optimised pixels of any size as the picture they stand for: as large as `content`."""
    x = resize(x, *content.shape[-2:]).clamp(0.0, 255.0)
    return keep_colours(x, content) if config.luminance_only else x


def start_image(
    network: VGG19, config: NeuralStyleConfig, content: torch.Tensor, noise: torch.Tensor | None
) -> torch.Tensor:
    """The picture that optimisation starts from, 0..255."""
    if config.init == "content" or noise is None:
        return content
    grey = network.mean + config.noise_scale * noise
    if config.init == "noise":
        return grey
    return torch.lerp(content, grey, config.noise_blend)


_LUMA = (0.299, 0.587, 0.114)


def keep_colours(stylized: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Luminance of one picture with the chroma of another (Y and CbCr of BT.601).

    Adding the difference in Y to every channel changes Y by just that and leaves Cb and Cr
    as they are.
    """
    luma = to_device(torch.tensor(_LUMA, dtype=stylized.dtype), stylized.device)[:, None, None]
    difference = ((stylized - content) * luma).sum(1, keepdim=True)
    return (content + difference).clamp(0.0, 255.0)
