"""One training step of MUNIT: discriminators, then generators.

The step is a function of networks, optimisers, a batch and style codes; it draws nothing.
It computes what the original's two updates compute, with what is known beforehand to be
unused or equal left out (and, where `content_jitter` is not 0, content codes are read from
recoloured images):

- the discriminator update does not change the generators, so the images are encoded once
  for both updates, and not through the style encoder for the first;
- translations for the discriminators carry no graph;
- in the generator update the discriminators get no weight gradients, which would be
  thrown away;
- what is computed of a weight alone, as the transform of a kernel, is computed once;
- passes through the same network are batched: reconstruction with translation, generated
  with real images. All norms work on one sample, so this changes rounding only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nn.sharing import sharing
from bench_munit.losses import discriminator_loss, generator_loss, l1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench_munit.config import MUNITConfig
    from bench_munit.networks import Discriminator, Generator


class Styles(NamedTuple):
    """The style codes of one step, ``(B, style_dim, 1, 1)`` each, in the order of drawing.

    First the discriminator update's for domain a and b, then the generator update's.
    """

    dis_a: Tensor
    dis_b: Tensor
    gen_a: Tensor
    gen_b: Tensor


@dataclass(frozen=True)
class Networks:
    """The four networks of a training."""

    gen_a: Generator
    gen_b: Generator
    dis_a: Discriminator
    dis_b: Discriminator

    def modules(self) -> dict[str, nn.Module]:
        """All four by name."""
        return {
            "gen_a": self.gen_a,
            "gen_b": self.gen_b,
            "dis_a": self.dis_a,
            "dis_b": self.dis_b,
        }

    def parts(self) -> Iterator[nn.Module]:
        """What a step calls as a whole, for a compiler."""
        for gen in (self.gen_a, self.gen_b):
            yield from (gen.enc_content, gen.enc_style, gen.mlp, gen.dec)
        yield from (self.dis_a, self.dis_b)

    def generator_parameters(self) -> Iterator[nn.Parameter]:
        """Of both generators."""
        yield from self.gen_a.parameters()
        yield from self.gen_b.parameters()

    def discriminator_parameters(self) -> Iterator[nn.Parameter]:
        """Of both discriminators."""
        yield from self.dis_a.parameters()
        yield from self.dis_b.parameters()


TINTS = 3, 3, 3
"""Channels, rows and columns of the colours that are spread over an image."""


def recolour(x: Tensor, tints: Tensor, strength: float) -> Tensor:
    """Return images with a smooth field of random colours added: another light, the same edges.

    A change that is the same everywhere would not do: the first instance norm takes most of it
    away, and a sky that is blue beside a grey ground stays so.

    Parameters
    ----------
    x
        ``(B, 3, H, W)`` in [-1, 1].
    tints
        Standard normal ``(B, *TINTS)``, spread over the image by bilinear interpolation.
    strength
        What they are multiplied with.

    Returns
    -------
    Tensor
        Like `x`, in [-1, 1].
    """
    field = F.interpolate(tints.to(x), size=x.shape[-2:], mode="bilinear", align_corners=True)
    return (x + strength * field).clamp_(-1, 1)


def _seen(
    images: tuple[Tensor, Tensor], tints: Tensor | None, strength: float
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """What contents are read from, where that is not the images themselves."""
    if strength == 0:
        return None, None
    assert tints is not None, "content_jitter needs tints"
    return recolour(images[0], tints[0], strength), recolour(images[1], tints[1], strength)


def _judge(dis: Discriminator, fake: Tensor, real: Tensor, source: Tensor, share: float) -> Tensor:
    """A discriminator's loss; all it is to judge goes through it at once."""
    seen = (fake.to(real.dtype), real, *((source,) if share else ()))
    maps = [scale.chunk(len(seen)) for scale in dis(torch.cat(seen))]
    fakes, reals, *sources = ([scale[i] for scale in maps] for i in range(len(seen)))
    return discriminator_loss(fakes, reals, sources[0] if sources else (), share)


def _detach(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in losses.items()}


@sharing()
def train_step(
    nets: Networks,
    optimizers: Mapping[str, torch.optim.Optimizer],
    x_a: Tensor,
    x_b: Tensor,
    styles: Styles,
    config: MUNITConfig,
    *,
    tints: Tensor | None = None,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Update the discriminators, then the generators.

    Parameters
    ----------
    nets
        Changed in place, through `optimizers` (``gen`` and ``dis``).
    x_a, x_b
        ``(B, 3, H, W)`` in [-1, 1]; H and W divide by ``2 ** n_downsample``.
    styles
        The four draws.
    config
        The loss weights.
    tints
        ``(2, B, *TINTS)``, for the images of a and of b; needed where ``content_jitter`` is not 0.
    autocast
        Precision of the forward passes. Every pass gets a context of its own: the weights
        that autocast keeps converted must not go from a pass without a graph into one with.
    perceptual
        ``(translation, source) -> loss``; needed where ``vgg_w`` is not 0.

    Returns
    -------
    dict of Tensor
        Detached scalars on the device.
    """
    seen_a, seen_b = _seen((x_a, x_b), tints, config.content_jitter)
    with autocast():
        content_a, own_a = nets.gen_a.encode(x_a, seen_a)
        content_b, own_b = nets.gen_b.encode(x_b, seen_b)

    with torch.no_grad(), autocast():
        fake_a = nets.gen_a.decode(content_b.detach(), styles.dis_a)
        fake_b = nets.gen_b.decode(content_a.detach(), styles.dis_b)
    with autocast():
        dis_a = _judge(nets.dis_a, fake_a, x_a, x_b, config.source_negatives)
        dis_b = _judge(nets.dis_b, fake_b, x_b, x_a, config.source_negatives)
    losses = {"dis_a": dis_a, "dis_b": dis_b, "dis_total": config.gan_w * (dis_a + dis_b)}
    optimizers["dis"].zero_grad(set_to_none=True)
    losses["dis_total"].backward()  # type: ignore[no-untyped-call]
    optimizers["dis"].step()

    with autocast():
        recon_a, x_ba = nets.gen_a.decode(
            torch.cat([content_a, content_b]), torch.cat([own_a, styles.gen_a.to(own_a.dtype)])
        ).chunk(2)
        recon_b, x_ab = nets.gen_b.decode(
            torch.cat([content_b, content_a]), torch.cat([own_b, styles.gen_b.to(own_b.dtype)])
        ).chunk(2)
        code = nets.gen_a.enc_content.code  # of either domain: their contents are laid out alike
        content_b_again, style_a_again = nets.gen_a.encode(x_ba)
        content_a_again, style_b_again = nets.gen_b.encode(x_ab)
        gen = {
            "gen_recon_x_a": l1(recon_a, x_a),
            "gen_recon_x_b": l1(recon_b, x_b),
            "gen_recon_s_a": l1(style_a_again, styles.gen_a),
            "gen_recon_s_b": l1(style_b_again, styles.gen_b),
            "gen_recon_c_a": l1(code(content_a_again), code(content_a)),
            "gen_recon_c_b": l1(code(content_b_again), code(content_b)),
            "gen_adv_a": generator_loss(nets.dis_a(x_ba)),
            "gen_adv_b": generator_loss(nets.dis_b(x_ab)),
        }
        if config.recon_x_cyc_w > 0:
            gen["gen_cycrecon_x_a"] = l1(nets.gen_a.decode(content_a_again, own_a), x_a)
            gen["gen_cycrecon_x_b"] = l1(nets.gen_b.decode(content_b_again, own_b), x_b)
        if config.vgg_w > 0:
            assert perceptual is not None, "vgg_w needs a perceptual loss"
            gen["gen_vgg_a"] = perceptual(x_ba, x_b)
            gen["gen_vgg_b"] = perceptual(x_ab, x_a)
    weights = {
        "gen_recon_x": config.recon_x_w,
        "gen_recon_s": config.recon_s_w,
        "gen_recon_c": config.recon_c_w,
        "gen_adv": config.gan_w,
        "gen_cycrecon_x": config.recon_x_cyc_w,
        "gen_vgg": config.vgg_w,
    }
    losses["gen_total"] = torch.stack(
        [weights[name[:-2]] * value for name, value in gen.items()]
    ).sum()
    optimizers["gen"].zero_grad(set_to_none=True)
    # Gradients are asked for by name, so none are computed for the discriminators' weights.
    parameters = list(nets.generator_parameters())
    losses["gen_total"].backward(inputs=parameters)  # type: ignore[no-untyped-call]
    optimizers["gen"].step()
    return _detach(losses | gen)
