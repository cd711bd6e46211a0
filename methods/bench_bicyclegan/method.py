"""BicycleGAN as a method of the suite.

The paper's networks translate one way. Here each direction has networks of its own, which
never meet; one iteration trains both directions on the same pairs, so one trial holds both.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from bench.api import BenchError
from bench.nn.patch import smallest_side
from bench.nn.precision import apply_float32_policy, autocast
from bench.nn.state import load_state, select_prefix
from bench.training.loop import linear_decay, run_training
from bench.training.sampling import check_sides
from bench.training.seeding import derive_seed, initialised, normal, normal_per_seed
from bench.training.trainer import StepTrainer, adam
from bench.training.transfer import to_device
from bench.training.tuning import tuned
from bench.training.watch import SampleGrids, Sheet
from bench_bicyclegan.checkpoints import DIRECTIONS, infer_widths, read_networks, write_official
from bench_bicyclegan.config import BicycleGANConfig
from bench_bicyclegan.networks import Encoder, MultiscaleDiscriminator, UnetGenerator
from bench_bicyclegan.step import Networks, discriminator_losses, generator_losses, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.api import Budget, Context, Direction, Domain, TrainData


Parts = dict[str, nn.Module]
"""``gen`` and ``enc`` of one direction."""


def _initialised(net: nn.Module, ctx: Context, *names: str) -> nn.Module:
    return initialised(net, "xavier", ctx, "bicyclegan", *names)


class BicycleGANTrainer(StepTrainer):
    """The state of training, and its step: generators and encoders, then discriminators.

    Step `t` draws, each from a stream of its own: the pairs with their crops and flips,
    and for each direction the noise, the codes and the dropout.
    """

    def __init__(
        self, config: BicycleGANConfig, ctx: Context, networks: Mapping[str, Parts], data: TrainData
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
        modules: dict[str, nn.Module] = {}
        self.nets: dict[str, Networks] = {}
        for direction, parts in networks.items():
            judges = {
                name: _initialised(
                    MultiscaleDiscriminator(config.ndf, config.n_scales_d, config.n_layers_d),
                    ctx,
                    direction,
                    name,
                )
                for name in ("dis", "dis2")
            }
            self.nets[direction] = Networks(parts["gen"], parts["enc"], **judges)
            modules |= {
                f"{direction}.{name}": part for name, part in (*parts.items(), *judges.items())
            }
        self.modules = modules
        self.average(
            config.ema,
            *(f"{direction}.{name}" for direction, parts in networks.items() for name in parts),
        )
        self.optimizers = {
            name: adam(self._weights(*parts), config.lr, (config.beta1, 0.999))
            for name, parts in (("gen", ("gen", "enc")), ("dis", ("dis", "dis2")))
        }

    def _weights(self, *parts: str) -> Iterator[nn.Parameter]:
        """The weights of these networks, of both directions."""
        for nets in self.nets.values():
            for part in parts:
                yield from getattr(nets, part).parameters()

    def step(self, iteration: int, total_iterations: int | None) -> Mapping[str, torch.Tensor]:
        """Run one iteration; see :class:`bench.training.loop.Trainer`."""
        config, ctx = self.config, self.ctx
        rate = config.lr * linear_decay(iteration, total_iterations, config.constant)
        self.set_rate(rate, iteration)
        # Encoded branch's noise and drawn codes: (direction, branch, half, nz).
        shape = (len(self.nets), 2, config.batch_size // 2, config.nz)
        draws = normal(shape, ctx.seed, "bicyclegan", "codes", iteration)
        devices = [ctx.device] if ctx.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(derive_seed(ctx.seed, "bicyclegan", "dropout", iteration))
            return self.advance(iteration, draws)

    def update(
        self, a: torch.Tensor, b: torch.Tensor, draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Update all weights once; reads nothing back, so that a graph can hold it.

        Parameters
        ----------
        a, b
            Pairs ``(B, 3, H, W)`` in ``[-1, 1]``.
        draws
            Standard normal ``(directions, 2, B/2, nz)``.
        """
        losses: dict[str, torch.Tensor] = {}
        judged: dict[str, torch.Tensor] = {}
        fakes = {}
        self.optimizers["gen"].zero_grad()
        with autocast(self.ctx):
            for (direction, nets), (noise, code) in zip(self.nets.items(), draws, strict=True):
                pair = (a, b) if direction == "a2b" else (b, a)
                terms, fakes[direction] = generator_losses(nets, *pair, noise, code, self.config)
                losses |= {f"{name}_{direction}": term for name, term in terms.items()}
        torch.autograd.backward(total(losses))
        self.optimizers["gen"].step()

        self.optimizers["dis"].zero_grad()
        with autocast(self.ctx):
            for direction, nets in self.nets.items():
                terms = discriminator_losses(nets, fakes[direction])
                judged |= {f"{name}_{direction}": term for name, term in terms.items()}
        torch.autograd.backward(total(judged))
        self.optimizers["dis"].step()
        return {name: loss.detach() for name, loss in (losses | judged).items()}


class BicycleGAN:
    """Paired multimodal translation (Zhu et al. 2017b).

    Its codes: the content of an image is the image itself in ``[-1, 1]``, its style the mean
    code ``(nz,)`` that the encoder gives it as a picture of its domain.

    Parameters
    ----------
    config
        Widths, losses, training settings.
    ctx
        Where and how it computes.
    parts
        For each direction the networks there are; loaded weights may bring fewer.
    """

    def __init__(
        self,
        config: BicycleGANConfig,
        ctx: Context,
        parts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        apply_float32_policy(ctx)
        self.config, self.ctx = config, ctx
        self._build(parts or dict.fromkeys(DIRECTIONS, ("gen", "enc")))

    def _build(self, parts: Mapping[str, Sequence[str]]) -> None:
        config = self.config
        self.networks: dict[str, Parts] = {}
        for direction, names in parts.items():
            nets: dict[str, nn.Module] = {
                "gen": UnetGenerator(
                    config.ngf,
                    config.depth,
                    config.nz,
                    dropout=config.dropout,
                    antialias=config.antialias,
                    input_skip=config.input_skip,
                )
            }
            if "enc" in names:
                nets["enc"] = Encoder(config.nef, config.n_blocks_e, config.nz)
            self.networks[direction] = {
                name: _initialised(net, self.ctx, direction, name) for name, net in nets.items()
            }

    @property
    def _tree(self) -> nn.ModuleDict:
        """All networks under the names of the flat state: ``<direction>.<part>``."""
        return nn.ModuleDict({key: nn.ModuleDict(parts) for key, parts in self.networks.items()})

    @classmethod
    def from_weights(
        cls, path: Path, ctx: Context, *, direction: str = "a2b", **config: Any
    ) -> Self:
        """Build from a file of weights; widths are read from it.

        Parameters
        ----------
        path, direction
            As in :func:`bench_bicyclegan.checkpoints.read_networks`.
        **config
            Further configuration.

        Raises
        ------
        BenchError
            When the file cannot be read or holds another network.
        pydantic.ValidationError
            When the configuration is wrong.
        """
        networks = read_networks(path, direction)
        widths = infer_widths(next(iter(networks.values())), path)
        settings = BicycleGANConfig(**(config | widths))
        method = cls(settings, ctx, {key: tuple(parts) for key, parts in networks.items()})
        for key, parts in networks.items():
            for name, state in parts.items():
                load_state(method._part(key, name), state, f"{path} ({key}, {name})")
        return method

    def _part(self, direction: str, name: str) -> nn.Module:
        nets = self.networks.get(direction, {})
        if name not in nets:
            there = ", ".join(f"{key} {n}" for key, parts in self.networks.items() for n in parts)
            raise BenchError(f"no weights for {direction} {name}: loaded are {there}")
        return nets[name]

    def fit(self, data: TrainData, budget: Budget) -> None:
        """Train both directions within `budget`, resuming from ``ctx.work_dir``."""
        if not data.paired:
            raise BenchError(
                "BicycleGAN needs pairs, but this dataset has none: choose a paired dataset"
            )
        for direction in DIRECTIONS:
            for name in ("gen", "enc"):
                self._part(direction, name)
        self._check_sizes(data)
        self._tree.train()
        trainer = BicycleGANTrainer(self.config, self.ctx, self.networks, data)
        view = copy.copy(self)  # the method as training would leave it now
        view.networks = {
            direction: {name: trainer.averages.of(net) for name, net in parts.items()}
            for direction, parts in self.networks.items()
        }
        sheet = Sheet(view._row, data, self.ctx, multiple_of=1)
        grids = SampleGrids(self.config.sample_every, sheet, self.ctx)

        def rehearse(ctx: Context) -> BicycleGANTrainer:
            return BicycleGANTrainer(self.config, ctx, copy.deepcopy(self.networks), data)

        with tuned(trainer, rehearse, self.ctx, budget, enabled=self.config.tune):
            run_training(trainer, budget, self.ctx, watchers=[grids], weights=view.state_dict)
        trainer.averages.settle()

    def _row(
        self, image: torch.Tensor, direction: Direction, seeds: list[int]
    ) -> list[torch.Tensor]:
        """A translation of an image for each seed, for a sheet."""
        drawn = torch.tensor([seeds])
        made = self.translate(image, direction, samples=len(seeds), seeds=drawn)
        self._tree.train()
        return list(made[0])

    def _check_sizes(self, data: TrainData) -> None:
        config = self.config
        check_sides(
            data,
            load=config.load,
            crop=config.crop,
            multiple_of=2**config.depth,
            # The smallest scale of a discriminator must still give a score.
            least=smallest_side(config.n_layers_d) * 2 ** (config.n_scales_d - 1),
            method="BicycleGAN",
        )

    @torch.no_grad()
    def _generate(self, content: torch.Tensor, style: torch.Tensor, direction: str) -> torch.Tensor:
        """Images in ``[-1, 1]`` of any size and codes to images in ``[0, 1]``."""
        net = self._part(direction, "gen").eval()
        height, width = content.shape[-2:]
        multiple = 2**self.config.depth
        down, right = -height % multiple, -width % multiple
        mode = "reflect" if down < height and right < width else "replicate"
        padded = F.pad(content, (0, right, 0, down), mode=mode) if down or right else content
        with autocast(self.ctx):
            out: torch.Tensor = net(padded, style)
        return (out.float()[..., :height, :width] + 1).div_(2).clamp_(0, 1)

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Translate a batch, with one drawn code for every output."""
        content = images.to(self.ctx.device) * 2 - 1
        codes = self.sample_styles(seeds)
        outputs = [self._generate(content, codes[:, k], direction.key) for k in range(samples)]
        return torch.stack(outputs, 1)

    @torch.no_grad()
    def encode(self, images: torch.Tensor, domain: Domain) -> tuple[torch.Tensor, torch.Tensor]:
        """Images ``(B, 3, H, W)`` in ``[0, 1]`` to themselves in ``[-1, 1]``, and mean codes.

        Codes ``(B, nz)`` are those of the direction that leads to `domain`; 0, the mean of
        all codes, where its encoder was not loaded.
        """
        content = images.to(self.ctx.device) * 2 - 1
        direction = "b2a" if domain == "a" else "a2b"
        if "enc" not in self.networks.get(direction, {}):
            return content, content.new_zeros(len(content), self.config.nz)
        with autocast(self.ctx):
            style: torch.Tensor = self._part(direction, "enc").eval()(content)[0]
        return content, style.float()

    def decode(self, content: torch.Tensor, style: torch.Tensor, domain: Domain) -> torch.Tensor:
        """Translate content of the other domain to `domain` with the given codes."""
        return self._generate(content, style, "b2a" if domain == "a" else "a2b")

    def sample_styles(self, seeds: torch.Tensor) -> torch.Tensor:
        """Standard normal codes ``(*seeds.shape, nz)`` for int64 `seeds` of any shape."""
        return to_device(normal_per_seed(seeds, (self.config.nz,)), self.ctx.device)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Generators and encoders, flat: ``a2b.gen.model.down.0.weight`` and so on."""
        return dict(self._tree.state_dict())

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what :meth:`state_dict` gave; one direction alone is enough."""
        parts = {
            key: [name for name in ("gen", "enc") if select_prefix(state, f"{key}.{name}.")]
            for key in DIRECTIONS
        }
        parts = {key: names for key, names in parts.items() if names}
        if parts and parts != {key: list(nets) for key, nets in self.networks.items()}:
            self._build(parts)
        load_state(self._tree, state, "BicycleGAN's weights")

    def save_official(
        self, folder: Path, direction: str = "a2b", name: str = "latest"
    ) -> list[Path]:
        """Write one direction's networks as ``<name>_net_G.pth`` and ``<name>_net_E.pth``.

        Raises
        ------
        BenchError
            When the generator is not the original's.
        """
        for option in ("antialias", "input_skip"):
            if getattr(self.config, option):
                raise BenchError(f"the original BicycleGAN has no generators with {option}=True")
        self._part(direction, "gen")
        states = {part: net.state_dict() for part, net in self.networks[direction].items()}
        return write_official(states, folder, name)
