"""torch.compile for parts of a training, where the machine can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.api import Event

if TYPE_CHECKING:
    from bench.api import Context


def _probe(device: torch.device) -> str | None:
    """Why nothing can be compiled for `device`; None where it can."""
    try:
        compiled = torch.compile(_small)
        compiled(torch.ones(4, device=device))
    except Exception as error:  # whatever the compiler behind it raises
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return None


def _small(x: torch.Tensor) -> torch.Tensor:
    return x * 2 + 1


@contextmanager
def compiled(modules: Iterable[nn.Module], ctx: Context, *, enabled: bool = True) -> Iterator[None]:
    """Run `modules` compiled within the block, and as they are after it.

    They are changed in place and keep their parameters, so that state dicts have the same keys
    and checkpoints go from one way to the other. Where there is no compiler, one warning says
    so; a part that cannot be compiled runs as it is. Results differ in rounding.
    """
    if enabled and (reason := _probe(ctx.device)) is not None:
        ctx.emit(Event("warning", "fit", f"torch.compile is not used here ({reason})"))
        enabled = False
    if not enabled:
        yield
        return
    chosen = list(modules)
    for module in chosen:
        # One program for each shape: a training meets few of them.
        module.compile(dynamic=False)
    try:
        with torch._dynamo.config.patch(suppress_errors=True):
            yield
    finally:
        for module in chosen:
            module._compiled_call_impl = None
