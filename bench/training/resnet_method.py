"""Deterministic methods with one resnet generator a direction: all but how they train.

Their state is flat: ``a2b.model.1.weight`` and so on.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from bench.api import A2B, B2A, BenchError
from bench.nn.patch import smallest_side
from bench.nn.precision import apply_float32_policy, autocast
from bench.nn.resnet import ResnetGenerator, generator_widths
from bench.nn.state import join, load_state, refuse_others, select_prefix
from bench.training.config import ResnetConfig
from bench.training.loop import modules_in, run_training
from bench.training.sampling import check_sides
from bench.training.seeding import initialised
from bench.training.tuning import tuned
from bench.training.watch import SampleGrids, Sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.api import Budget, Context, Direction, TrainData
    from bench.nn.init import Scheme
    from bench.training.trainer import StepTrainer

DIRECTIONS = (A2B.key, B2A.key)

States = dict[str, dict[str, Tensor]]
"""The state of the generator of ``a2b``, ``b2a`` or both."""

C = TypeVar("C", bound=ResnetConfig)


def own_states(state: Mapping[str, Any], path: Path) -> States:
    """The generators in a file `path` that this project wrote, weights or checkpoint; else none.

    Raises
    ------
    BenchError
        When there is something else beside them.
    """
    if (modules := modules_in(state)) is not None:
        state = join({d: modules.get(d, {}) for d in DIRECTIONS})
    parts = {d: select_prefix(state, f"{d}.") for d in DIRECTIONS}
    found = {d: part for d, part in parts.items() if part}
    if found:
        refuse_others(state, DIRECTIONS, path)
    return found


class ResnetMethod(ABC, Generic[C]):
    """One resnet generator a direction; a subclass says how they train and what their files are.

    Parameters
    ----------
    config
        Widths, losses, training settings.
    ctx
        Where and how it computes.
    directions
        Which generators there are; loaded weights may bring one only.
    """

    title: ClassVar[str]
    """What people call the method, for messages."""
    stream: ClassVar[str]
    """The name under which its random numbers are drawn."""
    scheme: ClassVar[Scheme]
    config_type: ClassVar[type[ResnetConfig]]

    def __init__(self, config: C, ctx: Context, directions: Sequence[str] = DIRECTIONS) -> None:
        apply_float32_policy(ctx)
        self.config, self.ctx = config, ctx
        self.generators = nn.ModuleDict(
            {
                key: initialised(self.build_generator(), self.scheme, ctx, self.stream, key)
                for key in directions
            }
        )

    @staticmethod
    @abstractmethod
    def read(path: Path, direction: str | None = None) -> States:
        """Read generators from a file or a folder, cleaned of what is no weight."""

    @staticmethod
    @abstractmethod
    def write(generators: States, folder: Path, epoch: str = "latest") -> list[Path]:
        """Write generators as the original implementation does; gives the files."""

    @abstractmethod
    def trainer(self, ctx: Context, generators: nn.ModuleDict, data: TrainData) -> StepTrainer:
        """What trains `generators` on `data`, from the start."""

    def build_generator(self) -> ResnetGenerator:
        """One generator of the configured size; its weights are not yet initialised."""
        config = self.config
        return ResnetGenerator(
            config.ngf,
            config.n_blocks,
            config.n_downsampling,
            input_skip=config.input_skip,
            antialias=config.antialias,
        )

    @classmethod
    def from_weights(
        cls, path: Path, ctx: Context, *, direction: str | None = None, **config: Any
    ) -> Self:
        """Build from weights; widths are read from them.

        Parameters
        ----------
        path
            A file or a folder; see :meth:`read`.
        direction
            ``a2b`` or ``b2a``: which way a file with one generator goes, instead of what its
            name says.
        **config
            Further configuration.

        Raises
        ------
        BenchError
            When the file cannot be read or holds another network.
        pydantic.ValidationError
            When the configuration is wrong.
        """
        if direction is not None and direction not in DIRECTIONS:
            raise BenchError(
                f"direction {direction!r} is unknown: choose from {', '.join(DIRECTIONS)}"
            )
        states = cls.read(path, direction)
        where = f"{path} is not a {cls.title}"
        usual = cls.config_type.model_fields["antialias"]
        fixed = None if usual.annotation is bool else usual.default
        widths: dict[str, Any] = dict(
            generator_widths(next(iter(states.values())), where, antialias=fixed)
        )
        settings = cast("C", cls.config_type(**(config | widths)))
        method = cls(settings, ctx, tuple(states))
        for name, state in states.items():
            load_state(method.generators[name], state, f"{path} ({name})")
        return method

    def fit(self, data: TrainData, budget: Budget) -> None:
        """Train the generators within `budget`, resuming from ``ctx.work_dir``."""
        multiple = 2**self.config.n_downsampling
        check_sides(
            data,
            load=self.config.load,
            crop=self.config.crop,
            multiple_of=multiple,
            least=smallest_side(self.config.n_layers_d),
            method=self.title,
        )
        self.generators.train()
        trainer = self.trainer(self.ctx, self.generators, data)

        def rehearse(ctx: Context) -> StepTrainer:
            return self.trainer(ctx, copy.deepcopy(self.generators), data)

        view = copy.copy(self)  # the method as training would leave it now
        view.generators = nn.ModuleDict(
            {name: trainer.averages.of(net) for name, net in self.generators.items()}
        )
        sheet = Sheet(view._row, data, self.ctx, styles=1, multiple_of=multiple)
        grids = SampleGrids(self.config.sample_every, sheet, self.ctx)
        with tuned(trainer, rehearse, self.ctx, budget, enabled=self.config.tune):
            run_training(trainer, budget, self.ctx, watchers=[grids], weights=view.state_dict)
        trainer.averages.settle()

    def _row(self, image: Tensor, direction: Direction, seeds: list[int]) -> list[Tensor]:
        """The one translation of an image, for a sheet."""
        made = self.translate(image, direction, samples=1, seeds=torch.tensor([seeds]))
        self.generators.train()
        return [made[0, 0]]

    @torch.no_grad()
    def translate(
        self, images: Tensor, direction: Direction, *, samples: int, seeds: Tensor
    ) -> Tensor:
        """Translate a batch; the one output of an input is repeated `samples` times."""
        if direction.key not in self.generators:
            there = ", ".join(self.generators)
            raise BenchError(f"no weights for {direction.name}: the loaded ones go {there} only")
        net = self.generators[direction.key].eval()
        with autocast(self.ctx):
            out: Tensor = net(images.to(self.ctx.device) * 2 - 1)
        out = (out.float() + 1).div_(2).clamp_(0, 1)
        return out[:, None].expand(-1, samples, -1, -1, -1).contiguous()

    def state_dict(self) -> dict[str, Tensor]:
        """All generators, flat."""
        return dict(self.generators.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave; one generator alone is enough."""
        present = [d for d in DIRECTIONS if select_prefix(state, f"{d}.")]
        if present and list(self.generators) != present:
            self.generators = nn.ModuleDict({key: self.build_generator() for key in present}).to(
                self.ctx.device
            )
        load_state(self.generators, state, f"{self.title}'s weights")

    def save_official(self, folder: Path, epoch: str = "latest") -> list[Path]:
        """Write the generators for the original implementation to load; see :meth:`write`."""
        if self.config.input_skip:
            raise BenchError("generators with input_skip have no official form: train without it")
        states = {name: net.state_dict() for name, net in self.generators.items()}
        return self.write(states, folder, epoch)
