"""What is computed of a weight alone, once a training step instead of once a use."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Derive = Callable[..., Tensor]
    Key = tuple[Derive, int, tuple[object, ...]]


class _Known(NamedTuple):
    weight: Tensor  # kept, so that no other tensor can come by its id
    version: int
    derived: Tensor


_known: ContextVar[dict[Key, _Known] | None] = ContextVar("_known", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within this, :func:`shared` computes once for all uses of a weight; a decorator, too.

    The gradients of all uses are summed before they go back through the function. A training
    step uses most weights two or three times before it changes them.
    """
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def shared(derive: Derive, weight: Tensor, *options: object) -> Tensor:
    """``derive(weight, *options)``; within :func:`sharing` the tensor that is known, if any is.

    A weight that was changed in place since then counts as another.
    """
    known = None if torch.compiler.is_compiling() else _known.get()
    if known is None:
        return derive(weight, *options)
    key = derive, id(weight), options
    entry = known.get(key)
    if entry is None or entry.version != weight._version:
        # With a graph even for a pass that needs none: the next one may.
        with torch.enable_grad():
            entry = _Known(weight, weight._version, derive(weight, *options))
        known[key] = entry
    return entry.derived
