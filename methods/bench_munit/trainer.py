"""MUNIT's side of the training loop: batches and style codes in, one step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from bench.api import BenchError, Event
from bench.nn.init import init_weights
from bench.nn.precision import autocast
from bench.training.loop import step_decay
from bench.training.seeding import generator
from bench.training.trainer import StepTrainer, adam
from bench_munit.networks import Discriminator
from bench_munit.perceptual import load_vgg
from bench_munit.step import TINTS, Networks, Styles, train_step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.api import Context, TrainData
    from bench_munit.config import MUNITConfig
    from bench_munit.networks import Generator


MIN_SIDE = 16
"""The style encoder halves an image four times; reflection needs two pixels each time."""


def build_discriminators(config: MUNITConfig, ctx: Context) -> tuple[Discriminator, Discriminator]:
    """Both discriminators, drawn from N(0, 0.02²) as the original does whatever `init` is."""
    pair = Discriminator(config), Discriminator(config)
    for domain, module in zip("ab", pair, strict=True):
        draws = generator(ctx.seed, "munit", "dis", domain)
        init_weights(module, "normal", gain=0.02, generator=draws)
        module.to(ctx.device)
    return pair


def draw_styles(config: MUNITConfig, seed: int, iteration: int) -> Styles:
    """The four style codes of an iteration, on the CPU, in the reference's order."""
    draws = generator(seed, "munit", "styles", iteration)
    shape = (config.batch_size, config.style_dim, 1, 1)
    return Styles(*(torch.randn(shape, generator=draws) for _ in Styles._fields))


def draw_tints(config: MUNITConfig, seed: int, iteration: int) -> torch.Tensor:
    """How both domains' images of an iteration are recoloured: ``(2, B, *TINTS)`` on the CPU.

    From a stream of their own, so that style codes are the same with and without.
    """
    draws = generator(seed, "munit", "tints", iteration)
    return torch.randn((2, config.batch_size, *TINTS), generator=draws)


def _crop(config: MUNITConfig, data: TrainData) -> int | None:
    """The crop's side: what is asked for, no larger than the images."""
    multiple = 2**config.n_downsample
    least = max(MIN_SIDE, 2 ** (config.dis_n_layer + config.dis_num_scales - 1))
    shapes = {(x.shape[-2], x.shape[-1]) for x in (data.a, data.b)}
    if config.new_size is not None:
        shapes = {(config.new_size, config.new_size)}
    side: int = min(min(shape) for shape in shapes)
    if config.crop_size is not None:
        side = min(side, config.crop_size)
    side -= side % multiple
    if side < least:
        raise BenchError(
            f"munit trains on {least} pixels a side at least, here are {side}: raise the size "
            "or lower dis_num_scales"
        )
    whole = len(shapes) == 1 and all(s % multiple == 0 for s in next(iter(shapes)))
    if config.crop_size is None and whole:
        return None
    return side


class MUNITTrainer(StepTrainer):
    """What :func:`bench.training.loop.run_training` runs.

    Parameters
    ----------
    gen_a, gen_b
        The generators to train, in place.
    data
        Images of one size for both domains.
    """

    def __init__(
        self,
        config: MUNITConfig,
        ctx: Context,
        gen_a: Generator,
        gen_b: Generator,
        data: TrainData,
    ) -> None:
        super().__init__(
            ctx,
            data,
            batch_size=config.batch_size,
            crop=_crop(config, data),
            load=config.new_size,
            capture=config.capture,
            warmup=config.warmup,
        )
        self.config = config
        dis_a, dis_b = build_discriminators(config, ctx)
        self.nets = Networks(gen_a, gen_b, dis_a, dis_b)
        self.modules = self.nets.modules()
        self.average(config.ema, "gen_a", "gen_b")
        settings = config.lr, (config.beta1, config.beta2), config.weight_decay
        self.optimizers = {
            "dis": adam(self.nets.discriminator_parameters(), *settings),
            "gen": adam(self.nets.generator_parameters(), *settings),
        }
        self.perceptual: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
        if config.vgg_w > 0:
            features, name = load_vgg(config.vgg_weights, ctx)
            self.perceptual = features.loss
            ctx.emit(Event("log", "fit", f"munit's perceptual loss uses {name}"))

    def update(
        self,
        x_a: torch.Tensor,
        x_b: torch.Tensor,
        styles: torch.Tensor,
        tints: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Run the step; `styles` as `Styles`, stacked, `tints` as :func:`draw_tints` has them."""
        return train_step(
            self.nets,
            self.optimizers,
            x_a,
            x_b,
            Styles(*styles.unbind()),
            self.config,
            tints=tints,
            autocast=partial(autocast, self.ctx),
            perceptual=self.perceptual,
        )

    def step(self, iteration: int, total: int | None) -> Mapping[str, torch.Tensor]:
        """Run one iteration; see :class:`bench.training.loop.Trainer`."""
        config = self.config
        # The original steps its schedule before the iteration, hence the 1.
        factor = step_decay(iteration + 1, total, steps=config.lr_steps, gamma=config.gamma)
        self.set_rate(config.lr * factor, iteration)
        draws = [torch.stack(draw_styles(config, self.ctx.seed, iteration))]
        if config.content_jitter > 0:
            draws.append(draw_tints(config, self.ctx.seed, iteration))
        return self.advance(iteration, *draws)
