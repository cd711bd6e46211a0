"""MUNIT as a method of the suite."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from bench.api import BenchError
from bench.nn.init import init_weights
from bench.nn.norms import SampleNorm
from bench.nn.precision import apply_float32_policy, autocast
from bench.nn.state import load_state
from bench.training.compiling import compiled
from bench.training.loop import run_training
from bench.training.seeding import generator, normal_per_seed
from bench.training.transfer import to_device
from bench.training.tuning import tuned
from bench.training.watch import BestWeights, SampleGrids, Sheet, judged
from bench_munit.checkpoints import read_generators, with_widths, write_original
from bench_munit.networks import Generator
from bench_munit.trainer import MIN_SIDE, MUNITTrainer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.api import Budget, Context, Direction, Domain, TrainData
    from bench.training.watch import Watcher
    from bench_munit.config import MUNITConfig


class MUNIT:
    """Multimodal unsupervised image-to-image translation (Huang et al. 2018).

    An image is taken apart into a spatial content code, shared by both domains, and a style
    code of a few numbers. A translation is the content with a style of the other domain:
    drawn from N(0, I), or encoded from an example.

    Parameters
    ----------
    config, ctx
        As :class:`bench.api.Method` says.
    """

    def __init__(self, config: MUNITConfig, ctx: Context) -> None:
        self.config, self.ctx = config, ctx
        self._alone = ctx.device.type == "cpu"
        apply_float32_policy(ctx)
        self.generators = nn.ModuleDict()
        for domain in ("a", "b"):
            module = Generator(config)
            draws = generator(ctx.seed, "munit", "gen", "a" if config.same_start else domain)
            init_weights(module, config.init, gain=_GAIN[config.init], generator=draws)
            for layer in module.modules():
                if isinstance(layer, SampleNorm):
                    nn.init.uniform_(layer.gamma, generator=draws)
            self.generators[domain] = module.to(ctx.device)

    @classmethod
    def from_weights(cls, path: Path, ctx: Context, **config: Any) -> Self:
        """Build the method around a weights file; widths are read from it.

        Parameters
        ----------
        path
            The original's ``gen_*.pt`` or this suite's ``.safetensors``.
        config
            Settings other than widths; a width that contradicts the file is refused.

        Raises
        ------
        BenchError
            When the file is unreadable, incomplete, or of another model.
        pydantic.ValidationError
            When the configuration is wrong.
        """
        state = read_generators(path)
        method = cls(with_widths(state, config, str(path)), ctx)
        load_state(method.generators, state, str(path))
        return method

    def _generator(self, domain: Domain) -> Generator:
        module = self.generators[domain]
        assert isinstance(module, Generator)
        return module

    def fit(self, data: TrainData, budget: Budget) -> None:
        """Train both generators; resumes from ``ctx.work_dir``."""
        trainer = MUNITTrainer(
            self.config, self.ctx, self._generator("a"), self._generator("b"), data
        )
        config = self.config
        view = copy.copy(self)  # the method as training would leave it now
        view.generators = nn.ModuleDict(
            {domain: trainer.averages.of(net) for domain, net in self.generators.items()}
        )

        def rehearse(ctx: Context) -> MUNITTrainer:
            gen_a, gen_b = copy.deepcopy((self._generator("a"), self._generator("b")))
            return MUNITTrainer(config, ctx, gen_a, gen_b, data)

        watchers: list[Watcher] = []
        if config.sample_every:
            sheet = Sheet(view._row, data, self.ctx, multiple_of=2**config.n_downsample)
            watchers.append(SampleGrids(config.sample_every, sheet, self.ctx))
        best = None
        if config.keep == "best":
            multiple = 2**config.n_downsample
            quality = judged(view.translate, data, self.ctx, multiple_of=multiple)
            best = BestWeights(dict(view.generators.items()), quality, self.ctx)
            watchers.append(best)
        with (
            tuned(trainer, rehearse, self.ctx, budget, enabled=config.tune and not config.compile),
            compiled(trainer.nets.parts(), self.ctx, enabled=config.compile),
        ):
            run_training(trainer, budget, self.ctx, watchers=watchers, weights=view.state_dict)
        if best is not None:
            best.restore()
        trainer.averages.settle()

    def _row(self, image: Tensor, direction: Direction, seeds: list[int]) -> list[Tensor]:
        """A row of a sheet: the reconstruction of an image, then a translation for each seed."""
        again = self.decode(*self.encode(image, direction.source), direction.source)
        drawn = torch.tensor([seeds])
        made = self.translate(image, direction, samples=len(seeds), seeds=drawn)
        return [again[0], *made[0]]

    def _signed(self, images: Tensor) -> Tensor:
        """[0, 1] to [-1, 1]; refuses images that the encoders would shrink to nothing."""
        height, width = images.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise BenchError(
                f"images of {width}x{height} are too small for munit: {MIN_SIDE} a side at least"
            )
        return images * 2 - 1

    @torch.no_grad()
    def encode(self, images: Tensor, domain: Domain) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, H, W)`` to content ``(B, C, H/2^n, W/2^n)`` and style ``(B, style_dim)``.

        H and W must divide by ``2 ** n_downsample``.
        """
        with autocast(self.ctx):
            content, style = self._generator(domain).encode(self._signed(images))
        return content.float(), style.flatten(1).float()

    @torch.no_grad()
    def decode(self, content: Tensor, style: Tensor, domain: Domain) -> Tensor:
        """Content and style ``(B, style_dim)`` to images ``(B, 3, H, W)`` in [0, 1]."""
        with autocast(self.ctx):
            images = self._generator(domain).decode(content, style)
        return ((images.float() + 1) / 2).clamp(0, 1)

    def sample_styles(self, seeds: Tensor) -> Tensor:
        """Style codes ``(*seeds.shape, style_dim)`` from N(0, style_std² I), one for each seed."""
        normal = normal_per_seed(seeds, (self.config.style_dim,))
        return to_device(self.config.style_std * normal, self.ctx.device)

    @torch.no_grad()
    def translate(
        self, images: Tensor, direction: Direction, *, samples: int, seeds: Tensor
    ) -> Tensor:
        """Translate with one drawn style for each seed; see :class:`bench.api.Method`.

        The content of an image is encoded once for all its samples. On a GPU all images are
        encoded at once and all outputs decoded at once, equal to about 1e-5. On a CPU each output
        is decoded by itself: no slower there, and to the bit the same whatever else is asked.
        """
        styles = self.sample_styles(seeds)
        at_once = 1 if self._alone else len(images)
        outputs = []
        for some, codes in zip(
            torch.split(images, at_once), torch.split(styles, at_once), strict=True
        ):
            with autocast(self.ctx):
                content = self._generator(direction.source).enc_content(self._signed(some))
            if self._alone:
                outputs += [self.decode(content, code[None], direction.target) for code in codes[0]]
            else:
                wide = content.repeat_interleave(samples, 0)
                outputs.append(self.decode(wide, codes.flatten(0, 1), direction.target))
        return torch.cat(outputs).view(len(images), samples, *images.shape[1:])

    def state_dict(self) -> dict[str, Tensor]:
        """Both generators: ``a.enc_content.model.0.conv.weight``, …."""
        return dict(self.generators.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        load_state(self.generators, state, "MUNIT's weights")

    def save_official(self, folder: Path) -> list[Path]:
        """Write ``gen_00000000.pt`` as the original's own script loads it; gives its path.

        The original reads an iteration from the name; weights alone do not know theirs.

        Raises
        ------
        BenchError
            When the decoders are not the original's.
        """
        for option in ("antialias", "pixel_skip"):
            if getattr(self.config, option):
                raise BenchError(f"the original MUNIT has no decoders with {option}=True")
        path = folder / "gen_00000000.pt"
        write_original(path, {d: module.state_dict() for d, module in self.generators.items()})
        return [path]


_GAIN = {"kaiming": 1.0, "normal": 0.02, "xavier": 2**0.5, "orthogonal": 2**0.5}
