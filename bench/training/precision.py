"""How convolutions and matrix products compute: fp32, TF32 or bf16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from bench.api import Context


def apply_float32_policy(ctx: Context) -> None:
    """Allow TF32 on CUDA unless the context asks for full float32."""
    if ctx.device.type == "cuda":
        allow = ctx.precision != "fp32"
        torch.set_float32_matmul_precision("high" if allow else "highest")
        torch.backends.cudnn.allow_tf32 = allow


def autocast(ctx: Context) -> AbstractContextManager[object]:
    """bf16 autocast where the context asks for it, else nothing.

    Statistics, losses and optimisers keep float32: the shared blocks see to it.
    """
    if ctx.precision == "bf16":
        return torch.autocast(ctx.device.type, dtype=torch.bfloat16)
    return nullcontext()
