"""CycleGAN as a method of the suite."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from bench.api import BenchError
from bench.nn.init import init_weights
from bench.nn.patch import PatchDiscriminator, smallest_side
from bench.nn.state import load_state, select_prefix
from bench.training.loop import linear_decay, run_training
from bench.training.pool import ImagePool
from bench.training.precision import apply_float32_policy, autocast
from bench.training.sampling import check_sides
from bench.training.seeding import generator
from bench.training.trainer import StepTrainer, adam
from bench.training.tuning import tuned
from bench.training.watch import SampleGrids, Sheet
from bench_cyclegan.checkpoints import (
    DIRECTIONS,
    SKIP_KEY,
    infer_widths,
    read_generators,
    write_official,
)
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.networks import ResnetGenerator
from bench_cyclegan.step import Networks, discriminator_losses, generator_losses, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.api import Budget, Context, Direction, TrainData


def build_generator(config: CycleGANConfig) -> ResnetGenerator:
    """One generator of the configured size; its weights are not yet initialised."""
    return ResnetGenerator(
        config.ngf, config.n_blocks, config.n_downsampling, input_skip=config.input_skip
    )


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
        )
        self.config = config
        modules: dict[str, nn.Module] = dict(generators.items())
        for domain in ("a", "b"):
            dis = PatchDiscriminator(3, config.ndf, config.n_layers_d)
            init_weights(dis, "normal", generator=generator(ctx.seed, "cyclegan", "dis", domain))
            modules[f"dis_{domain}"] = dis.to(ctx.device)
        self.modules = modules
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
        self.set_rate(config.lr * linear_decay(iteration, total_iterations, config.constant))
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
            dis_losses = discriminator_losses(self.nets, a, b, fake_a, fake_b)
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


class CycleGAN:
    """Unpaired translation by cycle-consistent adversarial networks (Zhu et al. 2017).

    Deterministic: one output for one input.

    Parameters
    ----------
    config
        Widths, losses, training settings.
    ctx
        Where and how it computes.
    directions
        Which generators there are; loaded weights may bring one only.
    """

    def __init__(
        self, config: CycleGANConfig, ctx: Context, directions: Sequence[str] = DIRECTIONS
    ) -> None:
        apply_float32_policy(ctx)
        self.config, self.ctx = config, ctx
        self.generators = nn.ModuleDict()
        for direction in directions:
            net = build_generator(config)
            init_weights(net, "normal", generator=generator(ctx.seed, "cyclegan", direction))
            self.generators[direction] = net.to(ctx.device)

    @classmethod
    def from_weights(
        cls, path: Path, ctx: Context, *, direction: str | None = None, **config: Any
    ) -> Self:
        """Build from a file of weights; widths are read from it.

        Parameters
        ----------
        path, direction
            As in :func:`bench_cyclegan.checkpoints.read_generators`.
        **config
            Further configuration.

        Raises
        ------
        BenchError
            When the file cannot be read or holds another network.
        pydantic.ValidationError
            When the configuration is wrong.
        """
        states = read_generators(path, direction)
        widths: dict[str, Any] = infer_widths(next(iter(states.values())), path)
        marks = [state.pop(SKIP_KEY, None) for state in states.values()]
        widths["input_skip"] = marks[0] is not None
        settings = CycleGANConfig(**(config | widths))
        method = cls(settings, ctx, tuple(states))
        for name, state in states.items():
            load_state(method.generators[name], state, f"{path} ({name})")
        return method

    def fit(self, data: TrainData, budget: Budget) -> None:
        """Train both generators within `budget`, resuming from ``ctx.work_dir``."""
        if missing := [d for d in DIRECTIONS if d not in self.generators]:
            raise BenchError(f"CycleGAN trains both generators, but {missing[0]} was not loaded")
        self._check_sizes(data)
        self.generators.train()
        trainer = CycleGANTrainer(self.config, self.ctx, self.generators, data)
        sheet = Sheet(
            self._row, data, self.ctx, styles=1, multiple_of=2**self.config.n_downsampling
        )
        grids = SampleGrids(self.config.sample_every, sheet, self.ctx)

        def rehearse(ctx: Context) -> CycleGANTrainer:
            return CycleGANTrainer(self.config, ctx, copy.deepcopy(self.generators), data)

        with tuned(trainer, rehearse, self.ctx, budget, enabled=self.config.tune):
            run_training(trainer, budget, self.ctx, watchers=[grids], weights=self.state_dict)

    def _row(
        self, image: torch.Tensor, direction: Direction, seeds: list[int]
    ) -> list[torch.Tensor]:
        """The one translation of an image, for a sheet."""
        made = self.translate(image, direction, samples=1, seeds=torch.tensor([seeds]))
        self.generators.train()
        return [made[0, 0]]

    def _check_sizes(self, data: TrainData) -> None:
        config = self.config
        check_sides(
            data,
            load=config.load,
            crop=config.crop,
            multiple_of=2**config.n_downsampling,
            least=smallest_side(config.n_layers_d),
            method="CycleGAN",
        )

    @torch.no_grad()
    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Translate a batch; the one output of an input is repeated `samples` times."""
        if direction.key not in self.generators:
            there = ", ".join(self.generators)
            raise BenchError(f"no weights for {direction.name}: the loaded ones go {there} only")
        net = self.generators[direction.key].eval()
        with autocast(self.ctx):
            out: torch.Tensor = net(images.to(self.ctx.device) * 2 - 1)
        out = (out.float() + 1).div_(2).clamp_(0, 1)
        return out[:, None].expand(-1, samples, -1, -1, -1).contiguous()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Both generators, flat: ``a2b.model.1.weight`` and so on.

        ``<direction>.input_skip`` marks generators with that option, which shapes cannot tell.
        """
        state = dict(self.generators.state_dict())
        if self.config.input_skip:
            state |= {f"{name}.{SKIP_KEY}": torch.empty(0) for name in self.generators}
        return state

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what :meth:`state_dict` gave; one generator alone is enough."""
        marks = {key for key in state if key.endswith(f".{SKIP_KEY}")}
        if bool(marks) != self.config.input_skip:
            raise BenchError(
                f"CycleGAN's weights were trained with input_skip={bool(marks)}: configure it so"
            )
        state = {key: value for key, value in state.items() if key not in marks}
        present = [d for d in DIRECTIONS if select_prefix(state, f"{d}.")]
        if present and list(self.generators) != present:
            self.generators = nn.ModuleDict(
                {direction: build_generator(self.config) for direction in present}
            ).to(self.ctx.device)
        load_state(self.generators, state, "CycleGAN's weights")

    def save_official(self, folder: Path, epoch: str = "latest") -> list[Path]:
        """Write the generators as ``<epoch>_net_G_A.pth`` and ``<epoch>_net_G_B.pth``."""
        if self.config.input_skip:
            raise BenchError("generators with input_skip have no official form: train without it")
        return write_official(
            {name: net.state_dict() for name, net in self.generators.items()}, folder, epoch
        )
