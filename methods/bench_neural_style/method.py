"""Neural style transfer as a method of the suite."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch

from bench.api import BenchError, Diverged, Event
from bench.data.images import to_uint8, write_png
from bench.nn.precision import apply_float32_policy, autocast
from bench.storage.weights import read_state, require, title_of
from bench.training.seeding import generator, normal
from bench.training.transfer import to_device
from bench_neural_style.networks import (
    deepest_layer,
    network_for,
    normalize,
    read_weights,
    smallest_side,
)
from bench_neural_style.step import finish, stylize

if TYPE_CHECKING:
    from bench.api import Context, Direction
    from bench_neural_style.config import NeuralStyleConfig
    from bench_neural_style.networks import VGG19, Weights
    from bench_neural_style.step import Losses

__all__ = ["NeuralStyle", "load_vgg19"]

_NORMALIZE_OVER = 16
"""Exemplars over which the mean activations of the `normalized` network are taken."""


def load_vgg19(config: NeuralStyleConfig, ctx: Context) -> tuple[Weights, str]:
    """The weights a configuration asks for, and their name and hash for the records.

    Raises
    ------
    BenchError
        When they are not to be had: names the file, where it is published, where to put it.
    """
    # A stylised picture needs no better VGG-19 than the one at hand.
    offline = ctx.offline or config.vgg_weights == "auto"
    file, path = require(config.pretrained(), weights_dir=ctx.weights_dir, offline=offline)
    return read_weights(read_state(path)), title_of(file, path)


class NeuralStyle:
    """Gatys, Ecker & Bethge 2016: pixels optimised towards content and style statistics.

    Parameters
    ----------
    config
        The choices of the method.
    ctx
        Device, precision, where weights are, who listens.

    Attributes
    ----------
    weights_name
        Which VGG-19 is used.
    on_frame
        With ``config.save_every``: called with (outputs done before, iteration, images
        ``(N, 3, H, W)`` in ``[0, 1]``); None: nobody looks. By default frames are written as
        PNG into ``ctx.work_dir / "frames"``, where there is a work_dir.
    styles_per_output
        How many style images are mixed in one output.
    """

    def __init__(self, config: NeuralStyleConfig, ctx: Context) -> None:
        self.config, self.ctx = config, ctx
        apply_float32_policy(ctx)
        self._weights, self.weights_name = load_vgg19(config, ctx)
        self._networks: dict[str, VGG19] = {}
        self._pools: dict[str, torch.Tensor] = {}
        self.styles_per_output = config.exemplars
        self.on_frame: Callable[[int, int, torch.Tensor], None] | None = self._write_frame
        self._announced = False

    @property
    def min_side(self) -> int:
        """The shortest side of a picture that its layers can look at, in pixels."""
        names = [*self.config.content_layers, *self.config.style_layers]
        return smallest_side(deepest_layer(names))

    def use_exemplars(self, images: torch.Tensor, direction: Direction) -> None:
        """Set the pool of style images: uint8 ``(N, 3, H, W)``, N at least 1."""
        if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
            raise BenchError(
                f"neural_style needs RGB style images (N, 3, H, W), not {tuple(images.shape)}"
            )
        self._pools[direction.key] = images
        self._networks.pop(direction.key, None)

    def _pool(self, direction: Direction) -> torch.Tensor:
        if direction.key not in self._pools:
            raise BenchError(
                f"neural_style has no style images for {direction.name}: give one with "
                f"--style-from, or a dataset"
            )
        return self._pools[direction.key]

    def _network(self, direction: Direction) -> VGG19:
        if direction.key not in self._networks:
            weights = self._weights
            if self.config.normalized:
                some = self._pool(direction)[:_NORMALIZE_OVER].to(self.ctx.device).float()
                weights = normalize(weights, some, pooling=self.config.pooling)
            network = network_for(self.config, weights).to(self.ctx.device)
            network.autocast = partial(autocast, self.ctx)
            self._networks[direction.key] = network
        return self._networks[direction.key]

    def exemplars(self, seed: int, pool: int) -> list[int]:
        """Positions in a pool of the given size whose style the output of a seed takes.

        A pool that holds just as many as are mixed is taken in its order, so that every
        picture meets the weight that was meant for it.
        """
        count, fixed = self.config.exemplars, self.config.exemplar
        if fixed is None and count == pool:
            fixed = 0
        if fixed is not None:
            return [(fixed + k) % pool for k in range(count)]
        order = torch.rand(pool, generator=generator("exemplar", seed)).argsort()
        return [int(order[k % pool]) for k in range(count)]

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Stylise each image once per seed; the seed draws the exemplar and the start noise.

        See :meth:`bench.api.Method.translate`.

        Raises
        ------
        BenchError
            Without exemplars, or for images too small for the network.
        Diverged
            When an output is not finite.
        """
        pool = self._pool(direction)
        if images.ndim != 4 or images.shape[1] != 3:
            raise BenchError(f"neural_style needs RGB images, not shape {tuple(images.shape)}")
        for kind, pictures in (("an image", images), ("a style image", pool)):
            height, width = pictures.shape[-2:]
            if min(height, width) < self.min_side:
                raise BenchError(
                    f"{kind} of {width}x{height} pixels is too small for neural_style: each side "
                    f"must have at least {self.min_side} with these layers"
                )
        if not self._announced:
            self.ctx.emit(Event("log", "translate", f"neural_style uses {self.weights_name}"))
            self._announced = True
        network = self._network(direction)
        lines = [
            (row, int(seeds[row, sample]))
            for row in range(len(images))
            for sample in range(samples)
        ]
        chunk = self.config.batch or _chunk(images, self.config, self.ctx.device)
        show = _Progress(self, len(lines))
        done = []
        for begin in range(0, len(lines), chunk):
            part = lines[begin : begin + chunk]
            content = torch.stack([images[row] for row, _ in part]).float() * 255.0
            chosen = [self.exemplars(seed, len(pool)) for _, seed in part]
            styles = torch.stack([pool[index] for index in chosen])
            styles = to_device(styles, self.ctx.device).float()
            noise = None
            if self.config.init != "content":
                shape = tuple(images.shape[1:])
                noise = torch.stack([normal(shape, "start", seed) for _, seed in part])
                noise = to_device(noise, self.ctx.device)
            out = stylize(
                network, self.config, content, styles, noise, on_step=show.of(begin, content)
            )
            if not bool(out.isfinite().all()):
                raise Diverged("neural_style: an output is not finite: lower the learning rate")
            done.append(out)
        return torch.cat(done).div(255.0).view(len(images), samples, *images.shape[1:])

    def _write_frame(self, first: int, iteration: int, images: torch.Tensor) -> None:
        if self.ctx.work_dir is None:
            return
        for offset, pixels in enumerate(to_uint8(images.cpu())):
            name = f"{first + offset:04d}-{iteration:05d}.png"
            write_png(self.ctx.work_dir / "frames" / name, pixels.permute(1, 2, 0).numpy())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Nothing is trained, so nothing is kept."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back nothing; raises :class:`BenchError` for anything else."""
        if state:
            raise BenchError("neural_style is not trained: it takes no weights of its own")


class _Progress:
    """Turns evaluations into events, twice a second: only then are losses read back."""

    def __init__(self, method: NeuralStyle, lines: int) -> None:
        self._method, self._lines = method, lines
        self._shown = time.monotonic()

    def of(self, begin: int, content: torch.Tensor) -> Callable[[int, torch.Tensor, Losses], None]:
        """The listener for the chunk of outputs from `begin` on, of ``(B, 3, H, W)``."""
        config, emit = self._method.config, self._method.ctx.emit

        def on_step(iteration: int, x: torch.Tensor, losses: Losses) -> None:
            show = self._method.on_frame
            if show and config.save_every and iteration % config.save_every == 0:
                show(begin, iteration, finish(config, x.detach(), content) / 255.0)
            last = iteration == config.iterations
            if not last and time.monotonic() - self._shown < 0.5:
                return
            self._shown = time.monotonic()
            values = torch.stack([value.mean() for value in losses.values()]).tolist()
            emit(
                Event(
                    "progress",
                    "translate",
                    "optimising",
                    done=begin * config.iterations + len(content) * iteration,
                    total=self._lines * config.iterations,
                    unit="it",
                    values=dict(zip(losses, values, strict=True)),
                )
            )

        return on_step


def _chunk(images: torch.Tensor, config: NeuralStyleConfig, device: torch.device) -> int:
    """How many outputs are optimised together: what keeps caches (CPU) or the GPU full."""
    pixels = images.shape[-2] * images.shape[-1]
    most = 16 * 512**2 if device.type == "cuda" else 4 * 128**2
    return max(1, min(64, most // pixels))
