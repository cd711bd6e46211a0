"""What the trainers of adversarial methods share: images in, a captured step, the day's rate.

A method adds its networks, its optimisers and the update of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bench.api import Event
from bench.training.capture import CapturedStep, prepare_optimizer
from bench.training.loop import set_learning_rate
from bench.training.sampling import batch

if TYPE_CHECKING:
    from bench.api import Context, Domain, TrainData


def adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    weight_decay: float = 0.0,
) -> torch.optim.Adam:
    """Adam with a fused update; `weight_decay` is coupled: it is added to the gradient."""
    return torch.optim.Adam(
        list(parameters), lr=lr, betas=betas, weight_decay=weight_decay, fused=True
    )


class StepTrainer:
    """Base of a :class:`bench.training.loop.Trainer` whose step a CUDA graph can hold.

    A subclass sets `modules` and `optimizers` and writes `update`; its ``step`` calls
    :meth:`set_rate`, then ``run`` with what `update` takes.

    Parameters
    ----------
    ctx
        Where and how it computes.
    data
        The training images.
    batch_size, crop, load
        How images are drawn; see :func:`bench.training.sampling.batch`.
    capture
        False: every kernel is started on its own.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    update: Callable[..., Mapping[str, torch.Tensor]]
    """Updates all weights once and gives the losses; reads nothing back."""

    def __init__(
        self,
        ctx: Context,
        data: TrainData,
        *,
        batch_size: int,
        crop: int | None,
        load: int | None,
        capture: bool = True,
    ) -> None:
        self.ctx, self.data = ctx, data
        self.batch_size, self.crop, self.load = batch_size, crop, load
        self.run = CapturedStep(self.update, ctx.device, enabled=capture, on_fallback=self._warn)
        self._ready = False

    def _warn(self, reason: str) -> None:
        message = f"no CUDA graph ({reason}): every kernel is started on its own, which is slower"
        self.ctx.emit(Event("warning", "fit", message))

    def images(self, domain: Domain, iteration: int) -> torch.Tensor:
        """The batch ``(B, 3, H, W)`` of one domain, in ``[-1, 1]``, for an iteration."""
        return batch(
            self.data,
            domain,
            seed=self.ctx.seed,
            step=iteration,
            batch_size=self.batch_size,
            crop=self.crop,
            load=self.load,
        )

    def set_rate(self, rate: float) -> None:
        """Give every optimiser the rate of this iteration."""
        for optimizer in self.optimizers.values():
            if not self._ready:  # not earlier: a checkpoint may have brought optimiser state
                prepare_optimizer(optimizer, self.ctx.device)
            set_learning_rate(optimizer, rate)
        self._ready = True

    def extra_state(self) -> dict[str, Any]:
        """Nothing: all state is in modules and optimisers."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""
