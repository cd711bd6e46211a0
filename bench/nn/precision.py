"""How convolutions and matrix products compute: fp32, TF32 or bf16.

TF32 rounds the factors of a product to ten bits. That is well for convolutions and for the
Gram matrices of their features. It is not for a style code's way through its MLP, the inner
products of L-BFGS, the sums of a norm or a change of colour space. So products stay in
float32, and what may be faster says so where it is computed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.api import Context, Precision


def _set(*, convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


@contextmanager
def float32(precision: Precision) -> Iterator[None]:
    """Within it float32 convolutions on CUDA may use TF32 unless `precision` is ``fp32``.

    Matrix products never do. The settings are those of the whole process; they are put back
    as they were. On other devices nothing changes.
    """
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    _set(convolutions=precision != "fp32", products=False)
    try:
        yield
    finally:
        _set(convolutions=before[0], products=before[1])


@contextmanager
def products_like_convolutions() -> Iterator[None]:
    """Within it matrix products on CUDA may use TF32 where convolutions may."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def apply_float32_policy(ctx: Context) -> None:
    """Compute as within :func:`float32` from now on, where the context's device is CUDA."""
    if ctx.device.type == "cuda":
        _set(convolutions=ctx.precision != "fp32", products=False)


def autocast(ctx: Context) -> AbstractContextManager[object]:
    """bf16 autocast where the context asks for it, else nothing.

    Statistics, losses and optimisers keep float32: the shared blocks see to it.
    """
    if ctx.precision == "bf16":
        return torch.autocast(ctx.device.type, dtype=torch.bfloat16)
    return nullcontext()
