"""Random numbers as pure functions of (seed, purpose, step).

Nothing here keeps state: what step `t` draws does not depend on what came before, so a
resumed run needs no generator state and no data position.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from bench.nn.init import Scheme, init_weights

if TYPE_CHECKING:
    from torch import nn

    from bench.api import Context


def derive_seed(*parts: object) -> int:
    """A seed below ``2**63`` from anything with a stable ``repr``; SHA-256 underneath."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by :func:`derive_seed`; its draws are the same on any device."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def normal(
    shape: tuple[int, ...], *parts: object, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Standard normal draws of the given shape, on the CPU."""
    return torch.randn(shape, generator=generator(*parts), dtype=dtype or torch.float32)


def normal_per_seed(seeds: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """One standard normal draw of `shape` for every seed: ``(*seeds.shape, *shape)``, CPU."""
    draws = [normal(shape, "sample", int(seed)) for seed in seeds.flatten().tolist()]
    return torch.stack(draws).reshape(*seeds.shape, *shape)


def initialised(net: nn.Module, scheme: Scheme, ctx: Context, *names: object) -> nn.Module:
    """`net` on the context's device, its weights drawn for the context's seed and these names."""
    init_weights(net, scheme, generator=generator(ctx.seed, *names))
    return net.to(ctx.device)
