"""The baselines as methods: nothing is trained, and everything follows from the seed.

Exemplars are drawn with replacement, one draw for each seed, because an output may depend on
its image and its seed alone. So ``real_target`` repeats an image now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from bench.api import BenchError
from bench.data.encoding import Encoding, encode_again
from bench.data.images import to_uint8
from bench.training.seeding import derive_seed, generator
from bench_baselines.color import match_histograms, transfer_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.api import Config, Context, Direction
    from bench_baselines.config import RecodedConfig

_THUMBNAIL = 32
"""Side of the pictures that ``nearest_target`` compares."""


class _Baseline:
    """What all baselines share: no weights."""

    def __init__(self, config: Config, ctx: Context) -> None:
        self.config, self.ctx = config, ctx

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Nothing: a baseline has no weights."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back nothing; raises :class:`BenchError` when there is something."""
        if state:
            raise BenchError(
                f"{type(self).__name__} has no weights, but {next(iter(state))!r} was given: "
                "leave the weights out"
            )


class _ExemplarBaseline(_Baseline):
    """Keeps one pool of target images for each direction."""

    def __init__(self, config: Config, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._pools: dict[str, torch.Tensor] = {}

    def use_exemplars(self, images: torch.Tensor, direction: Direction) -> None:
        """Set the pool (uint8 ``(N, 3, H, W)``) from which a seed draws an exemplar."""
        if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
            raise BenchError(
                f"exemplars for {direction.name} have shape {tuple(images.shape)}: "
                "give at least one image as (N, 3, H, W)"
            )
        self._pools[direction.key] = images

    def _pool(self, direction: Direction) -> torch.Tensor:
        try:
            return self._pools[direction.key]
        except KeyError:
            raise BenchError(
                f"{type(self).__name__} has no exemplars for {direction.name}: "
                "give it images of the target domain"
            ) from None

    def _draw(self, direction: Direction, seeds: torch.Tensor) -> torch.Tensor:
        """One exemplar for each seed: float ``(*seeds.shape, 3, H, W)`` in ``[0, 1]``."""
        pool = self._pool(direction)
        picks = [derive_seed("exemplar", seed) % len(pool) for seed in seeds.flatten().tolist()]
        chosen = pool[torch.tensor(picks, device=pool.device)]
        return _floats(chosen, self.ctx).reshape(*seeds.shape, *pool.shape[1:])


def _floats(images: torch.Tensor, ctx: Context) -> torch.Tensor:
    return images.to(ctx.device).float() / 255


def _sized(images: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`images` ``(N, 3, h, w)`` at the height and width of `like`."""
    size = like.shape[-2:]
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def _repeat(images: torch.Tensor, samples: int) -> torch.Tensor:
    return images[:, None].expand(-1, samples, -1, -1, -1).contiguous()


class Identity(_Baseline):
    """Gives every input back."""

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Give the input, `samples` times."""
        return _repeat(images, samples)


class Noise(_Baseline):
    """Uniform white noise."""

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Noise of the input's size, drawn from each seed."""
        shape = images.shape[1:]
        draws = [
            torch.rand(shape, generator=generator("noise", s)) for s in seeds.flatten().tolist()
        ]
        return torch.stack(draws).reshape(*seeds.shape, *shape).to(images.device)


class ColorTransfer(_ExemplarBaseline):
    """Reinhard's colour transfer from a drawn exemplar."""

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Give the input the Lab statistics of one exemplar for each seed."""
        return transfer_statistics(images[:, None], self._draw(direction, seeds))


class HistogramMatching(_ExemplarBaseline):
    """Histogram matching to a drawn exemplar."""

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Give the input the RGB histograms of one exemplar for each seed."""
        inputs = _repeat(images, samples)
        exemplars = self._draw(direction, seeds).flatten(0, 1)
        return match_histograms(inputs.flatten(0, 1), exemplars).reshape(inputs.shape)


class RealTarget(_ExemplarBaseline):
    """Real target images, whatever the input."""

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """One training image of the target domain for each seed."""
        drawn = _sized(self._draw(direction, seeds).flatten(0, 1), images)
        return drawn.reshape(*seeds.shape, *images.shape[1:])


class Recoded(RealTarget):
    """The input or real target images, as they come back from a codec."""

    config: RecodedConfig

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Encode and decode what the anchor that it stands for gives."""
        if self.config.of == "untouched":
            whole = _repeat(images, samples)
        else:
            whole = super().translate(images, direction, samples=samples, seeds=seeds)
        config = self.config
        encoding = Encoding(config.format, config.quality, config.side)
        coded = [
            torch.from_numpy(encode_again(pixels.permute(1, 2, 0).numpy(), encoding))
            for pixels in to_uint8(whole.cpu()).flatten(0, 1)
        ]
        back = torch.stack(coded).permute(0, 3, 1, 2).reshape(whole.shape)
        return back.to(images.device).float() / 255


class ConstantTarget(_ExemplarBaseline):
    """One target image for all inputs; the training seed says which."""

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Give one training image for every input and sample."""
        pool = self._pool(direction)
        pick = derive_seed("constant", self.ctx.seed, direction.key) % len(pool)
        image = _sized(_floats(pool[pick : pick + 1], self.ctx), images)
        return _repeat(image.expand(len(images), -1, -1, -1), samples)


class NearestTarget(_ExemplarBaseline):
    """The target image whose 32×32 thumbnail is nearest to the input's, in RGB."""

    def __init__(self, config: Config, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._thumbnails: dict[str, torch.Tensor] = {}

    def use_exemplars(self, images: torch.Tensor, direction: Direction) -> None:
        """Set the pool, and shrink its images once."""
        super().use_exemplars(images, direction)
        self._thumbnails[direction.key] = torch.cat(
            [_thumbnails(_floats(chunk, self.ctx)) for chunk in torch.split(images, 64)]
        )

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Find the nearest training image of the target domain."""
        pool = self._pool(direction)
        known = self._thumbnails[direction.key]
        # One input at a time, by plain differences: the choice cannot depend on the batch.
        picks = [
            int((known - thumbnail).square().sum(1).argmin()) for thumbnail in _thumbnails(images)
        ]
        chosen = pool[torch.tensor(picks, device=pool.device)]
        return _repeat(_sized(_floats(chosen, self.ctx), images), samples)


def _thumbnails(images: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(images, _THUMBNAIL).flatten(1)
