"""CUT and FastCUT as methods of the suite.

The paper's training goes one way. Here each direction has networks of its own, which never
meet; one iteration trains each of them on the same images, so one trial holds both, and each
gets all iterations of the budget.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, cast

import torch

from bench.api import BenchError
from bench.nn.patch import PatchDiscriminator
from bench.nn.precision import autocast
from bench.nn.resnet import ResnetGenerator
from bench.training.loop import linear_decay
from bench.training.resnet_method import ResnetMethod
from bench.training.seeding import generator, initialised
from bench.training.trainer import StepTrainer, adam
from bench_cut.checkpoints import read_generators, write_official
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cut.networks import PatchHeads
from bench_cut.step import Networks, train_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from bench.api import Context, TrainData


def map_shapes(config: CUTConfig, height: int, width: int) -> list[tuple[int, int, int]]:
    """``(C, H, W)`` of the compared maps, for images of some size; nothing is computed."""
    with torch.device("meta"):
        net = ResnetGenerator(config.ngf, config.n_blocks, config.n_downsampling, antialias=True)
        maps = net.encode(torch.empty(1, 3, height, width), config.layers)
    return [cast("tuple[int, int, int]", tuple(m.shape[1:])) for m in maps]


class CUTTrainer(StepTrainer):
    """The state of training, and its step: for each direction all that :func:`train_step` does.

    Step `t` draws, each from a stream of its own: the images of both domains, their crops and
    flips; for each direction the positions that are compared; and whether the generators get
    mirrored images.
    """

    def __init__(
        self, config: CUTConfig, ctx: Context, generators: nn.ModuleDict, data: TrainData
    ) -> None:
        super().__init__(
            ctx,
            data,
            batch_size=config.batch_size,
            crop=config.crop,
            load=config.load,
            capture=config.capture,
            warmup=config.warmup,
            courses=[{"mirrored": mirrored} for mirrored in (False, True)[: 1 + config.mirror]],
        )
        self.config = config
        self.shapes = map_shapes(config, *self.images("a", 0).shape[-2:])
        modules: dict[str, nn.Module] = dict(generators.items())
        self.nets: dict[str, Networks] = {}
        self.optimizers = {}
        for direction in generators:
            gen = cast("ResnetGenerator", generators[direction])
            dis = PatchDiscriminator(3, config.ndf, config.n_layers_d, antialias=True)
            heads = PatchHeads([channels for channels, _, _ in self.shapes], config.head_width)
            for name, net in (("dis", dis), ("heads", heads)):
                modules[f"{name}_{direction}"] = initialised(
                    net, "xavier", ctx, "cut", name, direction
                )
            self.nets[direction] = Networks(gen, dis, heads)
            parts = {"gen": (gen, heads), "dis": (dis,)}
            for name, nets in parts.items():
                weights = itertools.chain(*(net.parameters() for net in nets))
                self.optimizers[f"{name}_{direction}"] = adam(
                    weights, config.lr, (config.beta1, 0.999)
                )
        self.modules = modules
        self.average(config.ema, *generators)

    def positions(self, iteration: int) -> list[Tensor]:
        """Which positions are compared: for each layer ``(directions, T, n)``, on the CPU.

        T is 2 where identity images are compared, too. Each row is drawn without replacement.
        """
        terms = 2 if self.config.nce_identity else 1
        drawn: list[list[Tensor]] = [[] for _ in self.shapes]
        for direction in self.nets:
            rng = generator(self.ctx.seed, "cut", "positions", direction, iteration)
            for rows, (_, height, width) in zip(drawn, self.shapes, strict=True):
                for _ in range(terms):
                    order = torch.randperm(height * width, generator=rng)
                    rows.append(order[: self.config.num_patches])
        return [torch.stack(rows).view(len(self.nets), terms, -1) for rows in drawn]

    def mirrored(self, iteration: int) -> bool:
        """Whether the generators get mirrored images."""
        coin = torch.rand(1, generator=generator(self.ctx.seed, "cut", "mirror", iteration))
        return self.config.mirror and coin.item() < 0.5

    def step(self, iteration: int, total_iterations: int | None) -> Mapping[str, Tensor]:
        """Run one iteration; see :class:`bench.training.loop.Trainer`."""
        config = self.config
        rate = config.lr * linear_decay(iteration, total_iterations, config.constant)
        self.set_rate(rate, iteration)
        drawn = self.positions(iteration)
        return self.advance(iteration, *drawn, course=int(self.mirrored(iteration)))

    def update(
        self, a: Tensor, b: Tensor, *positions: Tensor, mirrored: bool = False
    ) -> Mapping[str, Tensor]:
        """Update all weights once; reads nothing back, so that a graph can hold it.

        Parameters
        ----------
        a, b
            Real images ``(B, 3, H, W)`` in ``[-1, 1]``.
        positions
            See :meth:`positions`.
        mirrored
            Whether the generators get mirrored images.
        """
        losses: dict[str, Tensor] = {}
        for index, (direction, nets) in enumerate(self.nets.items()):
            terms = train_step(
                nets,
                {name: self.optimizers[f"{name}_{direction}"] for name in ("gen", "dis")},
                *((a, b) if direction == "a2b" else (b, a)),
                [at[index] for at in positions],
                self.config,
                mirrored=mirrored,
                autocast=partial(autocast, self.ctx),
            )
            losses |= {f"{name}_{direction}": term for name, term in terms.items()}
        return losses


class CUT(ResnetMethod[CUTConfig]):
    """Unpaired translation by contrast of patches (Park et al. 2020).

    Deterministic: one output for one input. Trains the generators that there are, each for
    itself.
    """

    title = "CUT"
    stream = "cut"
    scheme = "xavier"
    config_type = CUTConfig
    read = staticmethod(read_generators)
    write = staticmethod(write_official)

    def trainer(self, ctx: Context, generators: nn.ModuleDict, data: TrainData) -> CUTTrainer:
        """What trains the generators.

        Raises
        ------
        BenchError
            When images of the two domains cannot be of one batch.
        """
        config = self.config
        if data.a.shape[-2:] != data.b.shape[-2:] and config.crop is None and config.load is None:
            (height_a, width_a), (height_b, width_b) = data.a.shape[-2:], data.b.shape[-2:]
            raise BenchError(
                f"{self.title} trains on both domains in one size, but {data.domains[0]} has "
                f"{width_a}×{height_a} and {data.domains[1]} {width_b}×{height_b}: set crop"
            )
        return CUTTrainer(config, ctx, generators, data)


class FastCUT(CUT):
    """CUT without identity images and with a heavier contrast (Park et al. 2020, section 4)."""

    title = "FastCUT"
    config_type = FastCUTConfig
