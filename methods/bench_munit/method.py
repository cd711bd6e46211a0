"""MUNIT as a method of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from bench.api import BenchError
from bench.nn.init import init_weights
from bench.nn.norms import SampleNorm
from bench.training.loop import run_training
from bench.training.precision import apply_float32_policy, autocast
from bench.training.seeding import generator, normal_per_seed
from bench_munit.checkpoints import (
    check_state,
    join,
    read_generators,
    split,
    with_widths,
    write_original,
)
from bench_munit.networks import Generator
from bench_munit.trainer import MIN_SIDE, MUNITTrainer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.api import Budget, Context, Direction, Domain, TrainData
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
        if config.vgg_w > 0:
            raise BenchError("munit: the perceptual loss has no weights here: leave vgg_w at 0")
        self.config, self.ctx = config, ctx
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
        """
        state = read_generators(path)
        method = cls(with_widths(state, config, str(path)), ctx)
        method._take(state, str(path))
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
        run_training(trainer, budget, self.ctx)
        for domain, average in trainer.averaged.items():
            self.generators[domain].load_state_dict(average.state_dict())

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
        """Images ``(B, 3, H, W)`` to content ``(B, C, H/4, W/4)`` and style ``(B, style_dim)``.

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
        """Style codes ``(*seeds.shape, style_dim)`` from N(0, I), one for each seed."""
        return normal_per_seed(seeds, (self.config.style_dim,)).to(self.ctx.device)

    @torch.no_grad()
    def translate(
        self, images: Tensor, direction: Direction, *, samples: int, seeds: Tensor
    ) -> Tensor:
        """Translate with one drawn style for each seed; see :class:`bench.api.Method`.

        The content of an image is encoded once for all its samples. On a CPU each output is
        decoded by itself: no slower there, and to the bit the same whatever else is asked.
        """
        encoder = self._generator(direction.source).enc_content
        styles = self.sample_styles(seeds)
        alone = self.ctx.device.type == "cpu"
        outputs = []
        for image, codes in zip(images, styles, strict=True):
            with autocast(self.ctx):
                content = encoder(self._signed(image[None]))
            if alone:
                decoded = [self.decode(content, code[None], direction.target) for code in codes]
                outputs.append(torch.cat(decoded))
            else:
                wide = content.expand(samples, -1, -1, -1)
                outputs.append(self.decode(wide, codes, direction.target))
        return torch.stack(outputs)

    def state_dict(self) -> dict[str, Tensor]:
        """Both generators: ``a.enc_content.model.0.conv.weight``, …."""
        return join({domain: m.state_dict() for domain, m in self.generators.items()})

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self._take(state, "the state for munit")

    def save_official(self, folder: Path) -> list[Path]:
        """Write ``gen_00000000.pt`` as the original's own script loads it; gives its path.

        The original reads an iteration from the name; weights alone do not know theirs.
        """
        path = folder / "gen_00000000.pt"
        write_original(path, {d: module.state_dict() for d, module in self.generators.items()})
        return [path]

    def _take(self, state: Mapping[str, Tensor], where: str) -> None:
        check_state(state, self.state_dict(), where)
        for domain, module in self.generators.items():
            module.load_state_dict(split(state, domain))


_GAIN = {"kaiming": 1.0, "normal": 0.02, "xavier": 2**0.5, "orthogonal": 2**0.5}
