"""MUNIT's side of the training loop: batches and style codes in, one step, averaged weights."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bench.api import BenchError, Event
from bench.nn.init import init_weights
from bench.training.capture import CapturedStep, prepare_optimizer
from bench.training.loop import set_learning_rate, step_decay
from bench.training.precision import autocast
from bench.training.sampling import batch
from bench.training.seeding import generator
from bench_munit.networks import Discriminator
from bench_munit.step import Networks, Styles, train_step

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class MUNITTrainer:
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
        self.config, self.ctx, self.data = config, ctx, data
        dis_a, dis_b = build_discriminators(config, ctx)
        self.nets = Networks(gen_a, gen_b, dis_a, dis_b)
        self.averaged: dict[str, Generator] = {}
        if config.ema > 0:
            self.averaged = {"a": copy.deepcopy(gen_a), "b": copy.deepcopy(gen_b)}
            for module in self.averaged.values():
                module.requires_grad_(False)
        self.modules: Mapping[str, nn.Module] = {
            **self.nets.modules(),
            **{f"ema_{domain}": module for domain, module in self.averaged.items()},
        }
        settings: dict[str, Any] = {
            "lr": config.lr,
            "betas": (config.beta1, config.beta2),
            "weight_decay": config.weight_decay,  # coupled: added to the gradient
            "fused": True,
        }
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "dis": torch.optim.Adam(list(self.nets.discriminator_parameters()), **settings),
            "gen": torch.optim.Adam(list(self.nets.generator_parameters()), **settings),
        }
        self.crop = self._crop()
        self._ready = False
        self._run = CapturedStep(
            self._update, ctx.device, enabled=config.capture, on_fallback=self._warn
        )

    def _crop(self) -> int | None:
        """The crop's side: what is asked for, no larger than the images."""
        config = self.config
        multiple = 2**config.n_downsample
        least = max(MIN_SIDE, 2 ** (config.dis_n_layer + config.dis_num_scales - 1))
        shapes = {(x.shape[-2], x.shape[-1]) for x in (self.data.a, self.data.b)}
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

    def _warn(self, reason: str) -> None:
        message = f"no CUDA graph ({reason}): every kernel is started on its own, which is slower"
        self.ctx.emit(Event("warning", "fit", message))

    def _update(
        self, x_a: torch.Tensor, x_b: torch.Tensor, *styles: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Everything on the device: the step, then the averages."""
        losses = train_step(
            self.nets,
            self.optimizers,
            x_a,
            x_b,
            Styles(*styles),
            self.config,
            autocast=partial(autocast, self.ctx),
        )
        for domain, average in self.averaged.items():
            source = self.nets.gen_a if domain == "a" else self.nets.gen_b
            torch._foreach_lerp_(
                list(average.parameters()),
                [p.detach() for p in source.parameters()],
                1.0 - self.config.ema,
            )
        return losses

    def step(self, iteration: int, total: int | None) -> Mapping[str, torch.Tensor]:
        """Run one iteration; see :class:`bench.training.loop.Trainer`."""
        config, device = self.config, self.ctx.device
        if not self._ready:  # state may have been loaded since construction
            for optimizer in self.optimizers.values():
                prepare_optimizer(optimizer, device)
            self._ready = True
        # The original steps its schedule before the iteration, hence the 1.
        factor = step_decay(iteration + 1, total, steps=config.lr_steps, gamma=config.gamma)
        for optimizer in self.optimizers.values():
            set_learning_rate(optimizer, config.lr * factor)
        x_a, x_b = (
            batch(
                self.data,
                domain,
                seed=self.ctx.seed,
                step=iteration,
                batch_size=config.batch_size,
                crop=self.crop,
                load=config.new_size,
            )
            for domain in ("a", "b")
        )
        styles = draw_styles(config, self.ctx.seed, iteration)
        return self._run(x_a, x_b, *(s.to(device, non_blocking=True) for s in styles))

    def extra_state(self) -> dict[str, Any]:
        """Nothing: all state is in modules and optimisers."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""
