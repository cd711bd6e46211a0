"""One training step of one direction, as a function of networks, images and positions.

The plain order of the published algorithm runs the generator over the source and, for CUT,
the target; then its encoder over each output and each input once more, for the features that
are compared. But the features of an input stand on the way to its output: the encoder need
not run over it again. (Where the generator got mirrored inputs it does, without a graph: a
convolutional network with strides is not the mirror image of itself.) Both outputs go
through the encoder in one batch, real and generated images through the discriminator in one,
and no gradient is computed for weights whose optimiser does not step. The discriminator's
update changes no generator, so nothing of this is stale. No layer mixes the samples of a
batch, so the numbers are the same up to the rounding of sums.

Nothing here draws random numbers.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.nn.layers import frozen
from bench.nn.losses import lsgan
from bench.nn.sharing import sharing
from bench_cut.losses import patch_nce
from bench_cut.networks import sample_positions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from bench.nn.resnet import ResnetGenerator
    from bench_cut.config import CUTConfig
    from bench_cut.networks import PatchHeads


@dataclass(frozen=True)
class Networks:
    """The networks of one direction: `dis` judges its outputs, `heads` project patches."""

    gen: ResnetGenerator
    dis: nn.Module
    heads: PatchHeads


@sharing()
def train_step(
    nets: Networks,
    optimizers: Mapping[str, torch.optim.Optimizer],
    source: Tensor,
    target: Tensor,
    positions: Sequence[Tensor],
    config: CUTConfig,
    *,
    mirrored: bool = False,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> dict[str, Tensor]:
    """Update the discriminator, then generator and heads.

    Parameters
    ----------
    nets
        Changed in place, through `optimizers`: ``dis``, and ``gen`` for the generator and the
        heads.
    source, target
        Real images ``(B, 3, H, W)`` in ``[-1, 1]``.
    positions
        For each of ``config.layers`` int64 ``(T, n)``: which positions are compared, of the
        translation and, T being 2, of the identity image.
    config
        The loss weights.
    mirrored
        Whether the generator gets mirrored images.
    autocast
        Precision of the forward passes. Every pass gets a context of its own: the weights
        that autocast keeps converted must not go from a pass without a graph into one with.

    Returns
    -------
    dict of Tensor
        The weighted terms, detached scalars on the device.
    """
    layers = config.layers
    images = torch.cat((source, target)) if config.nce_identity else source
    with autocast():
        outputs, maps = nets.gen.translate(images.flip(-1) if mirrored else images, layers)
    with torch.no_grad(), autocast():
        maps = nets.gen.encode(images, layers) if mirrored else [m.detach() for m in maps]
        keys = nets.heads([sample_positions(m, at) for m, at in zip(maps, positions, strict=True)])
    fake = outputs[: len(source)]

    with autocast():
        scores = nets.dis(torch.cat((target, fake.detach().to(target.dtype))))
        real_scores, fake_scores = scores.chunk(2)
        dis = 0.5 * (lsgan(real_scores, 1.0) + lsgan(fake_scores, 0.0))
    optimizers["dis"].zero_grad()
    torch.autograd.backward(dis)
    optimizers["dis"].step()

    with autocast():
        with frozen(nets.dis):
            losses = {"gan": config.lambda_gan * lsgan(nets.dis(fake), 1.0)}
        queries = nets.heads(
            [
                sample_positions(m, at, mirrored=mirrored)
                for m, at in zip(nets.gen.encode(outputs, layers), positions, strict=True)
            ]
        )
    names = ("nce", "nce_identity") if config.nce_identity else ("nce",)
    pairs = [
        zip(query.chunk(len(names)), key.chunk(len(names)), strict=True)
        for query, key in zip(queries, keys, strict=True)
    ]
    for name, layer_pairs in zip(names, zip(*pairs, strict=True), strict=True):
        contrast = [patch_nce(query, key, config.temperature) for query, key in layer_pairs]
        losses[name] = config.lambda_nce / len(names) * torch.stack(contrast).mean()
    optimizers["gen"].zero_grad()
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    optimizers["gen"].step()
    return {name: loss.detach() for name, loss in (losses | {"dis": dis}).items()}
