"""CycleGAN as a method of the suite."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch

from bench.api import BenchError
from bench.nn.patch import PatchDiscriminator
from bench.nn.precision import autocast
from bench.training.loop import linear_decay
from bench.training.pool import ImagePool
from bench.training.resnet_method import DIRECTIONS, ResnetMethod
from bench.training.seeding import initialised
from bench.training.trainer import StepTrainer, adam
from bench_cyclegan.checkpoints import read_generators, write_official
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.step import Networks, discriminator_losses, generator_losses, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from bench.api import Context, TrainData


class CycleGANTrainer(StepTrainer):
    """The state of training, and its step: both generators, then both discriminators.

    Step `t` draws, each from a stream of its own: the images of both domains, their crops
    and flips, and what the two pools do.
    """

    def __init__(
        self, config: CycleGANConfig, ctx: Context, generators: nn.ModuleDict, data: TrainData
    ) -> None:
        super().__init__(
            ctx,
            data,
            batch_size=config.batch_size,
            crop=config.crop,
            load=config.load,
            capture=config.capture,
            warmup=config.warmup,
        )
        self.config = config
        modules: dict[str, nn.Module] = dict(generators.items())
        for domain in ("a", "b"):
            dis = PatchDiscriminator(3, config.ndf, config.n_layers_d)
            modules[f"dis_{domain}"] = initialised(dis, "normal", ctx, "cyclegan", "dis", domain)
        self.modules = modules
        self.average(config.ema, *generators)
        self.nets = Networks(**modules)
        self.optimizers = {
            name: adam(
                itertools.chain(*(modules[part].parameters() for part in parts)),
                config.lr,
                (config.beta1, 0.999),
            )
            for name, parts in (("gen", ("a2b", "b2a")), ("dis", ("dis_a", "dis_b")))
        }
        self.pools = {
            "a": ImagePool(config.pool_size, ctx.seed, "a"),
            "b": ImagePool(config.pool_size, ctx.seed, "b"),
        }

    def step(self, iteration: int, total_iterations: int | None) -> Mapping[str, torch.Tensor]:
        """Run one iteration; see :class:`bench.training.loop.Trainer`."""
        config = self.config
        rate = config.lr * linear_decay(iteration, total_iterations, config.constant)
        self.set_rate(rate, iteration)
        decisions = (pool.decide(iteration, config.batch_size) for pool in self.pools.values())
        return self.advance(iteration, *decisions)

    def update(
        self, a: torch.Tensor, b: torch.Tensor, decisions_a: torch.Tensor, decisions_b: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Update all weights once; reads nothing back, so that a graph can hold it.

        Parameters
        ----------
        a, b
            Real images ``(B, 3, H, W)`` in ``[-1, 1]``.
        decisions_a, decisions_b
            What the pools do; see :meth:`bench.training.pool.ImagePool.decide`.
        """
        config = self.config
        self.optimizers["gen"].zero_grad()
        with autocast(self.ctx):
            losses, fake_a, fake_b = generator_losses(self.nets, a, b, config)
        torch.autograd.backward(total(losses))
        self.optimizers["gen"].step()

        self.optimizers["dis"].zero_grad()
        fake_a = self.pools["a"].query(fake_a, decisions_a)
        fake_b = self.pools["b"].query(fake_b, decisions_b)
        with autocast(self.ctx):
            dis_losses = discriminator_losses(
                self.nets, a, b, fake_a, fake_b, config.source_negatives
            )
        torch.autograd.backward(total(dis_losses))
        self.optimizers["dis"].step()
        return {name: loss.detach() for name, loss in (losses | dis_losses).items()}

    def extra_state(self) -> dict[str, Any]:
        """Give the images of both pools."""
        return {f"pool_{name}": pool.state() for name, pool in self.pools.items()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back the images of both pools."""
        for name, pool in self.pools.items():
            pool.load_state(state[f"pool_{name}"], self.ctx.device)


class CycleGAN(ResnetMethod[CycleGANConfig]):
    """Unpaired translation by cycle-consistent adversarial networks (Zhu et al. 2017).

    Deterministic: one output for one input. Both directions train together.
    """

    title = "CycleGAN"
    stream = "cyclegan"
    scheme = "normal"
    config_type = CycleGANConfig
    read = staticmethod(read_generators)
    write = staticmethod(write_official)

    def trainer(self, ctx: Context, generators: nn.ModuleDict, data: TrainData) -> CycleGANTrainer:
        """What trains both generators.

        Raises
        ------
        BenchError
            When one of them was not among the loaded weights.
        """
        if missing := [d for d in DIRECTIONS if d not in generators]:
            raise BenchError(f"CycleGAN trains both generators, but {missing[0]} was not loaded")
        return CycleGANTrainer(self.config, ctx, generators, data)
