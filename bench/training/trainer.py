"""What the trainers of adversarial methods share: images in, a captured step, the day's rate.

A method adds its networks, its optimisers and the update of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bench.api import Event
from bench.training.averages import Averages
from bench.training.capture import CapturedStep, capturable, prepare_optimizer
from bench.training.loop import set_learning_rate
from bench.training.sampling import Batches

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

    A subclass sets `modules` and `optimizers`, those of generators called ``gen…``, calls
    :meth:`average` and writes `update`; its ``step`` calls :meth:`set_rate`, then :meth:`advance`.

    Parameters
    ----------
    ctx
        Where and how it computes.
    data
        The training images, on the CPU or on the device.
    batch_size, crop, load
        How images are drawn; see :class:`bench.training.sampling.Batches`.
    capture
        False: every kernel is started on its own.
    warmup
        Iterations in which the generators rest, and then as many in which their rate rises.
    courses
        What `update` may be told by name besides; a graph holds one course of the step, so each
        has its own.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    step: Callable[[int, int | None], Mapping[str, torch.Tensor]]
    """As :meth:`bench.training.loop.Trainer.step`."""
    update: Callable[..., Mapping[str, torch.Tensor]]
    """``(a, b, *draws, **course) -> losses``: both domains' images ``(B, 3, H, W)`` in ``[-1, 1]``,
    and what ``advance`` was given. Updates all weights once; reads nothing back."""

    def __init__(
        self,
        ctx: Context,
        data: TrainData,
        *,
        batch_size: int,
        crop: int | None,
        load: int | None,
        capture: bool = True,
        warmup: int = 0,
        courses: Sequence[Mapping[str, Any]] = ({},),
    ) -> None:
        self.ctx, self.data = ctx, data
        self._batches: dict[Domain, Batches] = {
            domain: Batches(
                data,
                domain,
                ctx.device,
                seed=ctx.seed,
                batch_size=batch_size,
                crop=crop,
                load=load,
            )
            for domain in ("a", "b")
        }
        self.runs = [
            CapturedStep(
                partial(self._on_device, course),
                ctx.device,
                enabled=capture,
                recording=lambda: capturable(self.optimizers.values()),
                on_fallback=self._warn,
            )
            for course in courses
        ]
        self.averages = Averages({}, 0.0)
        self.warmup = warmup
        self._ready = False

    def average(self, decay: float, *names: str) -> None:
        """Average the weights of these `modules` from now on, and keep that with them.

        Parameters
        ----------
        decay
            See :class:`bench.training.averages.Averages`.
        """
        self.averages = Averages({name: self.modules[name] for name in names}, decay)
        self.modules = {**self.modules, **self.averages.modules()}

    def _warn(self, reason: str) -> None:
        message = f"no CUDA graph ({reason}): every kernel is started on its own, which is slower"
        self.ctx.emit(Event("warning", "fit", message))

    def images(self, domain: Domain, iteration: int) -> torch.Tensor:
        """The batch ``(B, 3, H, W)`` of one domain, in ``[-1, 1]``, for an iteration."""
        return self._batches[domain].batch(iteration)

    def advance(
        self, iteration: int, *draws: torch.Tensor, course: int = 0
    ) -> Mapping[str, torch.Tensor]:
        """Run `update` on the images of an iteration and on `draws`, tensors on the CPU."""
        a, b = (self._batches[domain].inputs(iteration) for domain in ("a", "b"))
        self.averages.begin(iteration, self.ctx.device)
        return self.runs[course](*a, *b, *draws)

    def _on_device(
        self, course: Mapping[str, Any], *inputs: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """All of a step that happens on the device: what a graph holds."""
        a, b, draws = inputs[:2], inputs[2:4], inputs[4:]
        images = (self._batches["a"].images(*a), self._batches["b"].images(*b))
        losses = self.update(*images, *draws, **course)
        self.averages.update()
        return losses

    @property
    def settled(self) -> bool:
        """Whether the next step runs the way all later ones will."""
        return all(run.settled for run in self.runs)

    def close(self) -> None:
        """Give back what only steps need: graphs, and gradients, which lie in their memory."""
        for run in self.runs:
            run.close()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        if self.ctx.device.type == "cuda":
            torch.cuda.empty_cache()

    def set_rate(self, rate: float, iteration: int) -> None:
        """Give every optimiser the rate of this iteration; those of generators warm up."""
        risen = 1.0 if not self.warmup else min(1.0, max(0.0, iteration / self.warmup - 1))
        for name, optimizer in self.optimizers.items():
            if not self._ready:  # not earlier: a checkpoint may have brought optimiser state
                prepare_optimizer(optimizer, self.ctx.device)
            set_learning_rate(optimizer, rate * (risen if name.startswith("gen") else 1.0))
        self._ready = True

    def extra_state(self) -> dict[str, Any]:
        """Nothing: all state is in modules and optimisers."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""
