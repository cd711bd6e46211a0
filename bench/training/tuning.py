"""How a GPU computes a training fastest: tried before a long one, not assumed.

cuDNN can search for the fastest kernel of every shape, and the channels of a pixel can lie
together in memory, as tensor cores like it and other layers may not. Neither is always the
faster, and neither changes results beyond rounding.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from bench.api import Event
from bench.training.capture import WARMUP

if TYPE_CHECKING:
    from torch import nn

    from bench.api import Budget, Context
    from bench.training.trainer import StepTrainer

_LONG_ITERATIONS, _LONG_SECONDS = 5000, 600.0
"""Trainings below both of these are over before trying has paid."""
_TRIED_SECONDS = 0.5
"""Seconds each setting is timed, at least."""


@dataclass(frozen=True)
class Setting:
    """How convolutions compute: values that change speed, never results beyond rounding.

    Parameters
    ----------
    search
        cuDNN times its kernels for every new shape and keeps the fastest.
    channels_last
        The channels of a pixel lie together in memory.
    """

    search: bool
    channels_last: bool

    def __str__(self) -> str:
        parts = ["cuDNN's search"] * self.search + ["channels last"] * self.channels_last
        return " and ".join(parts) or "as it is"

    @contextmanager
    def used(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Within it `modules` compute with this setting; after it as before.

        The search is a setting of the whole process.
        """
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = self.search
        if self.channels_last:
            _lay_out(modules, torch.channels_last)
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before
            if self.channels_last:
                _lay_out(modules, torch.contiguous_format)


SETTINGS = tuple(Setting(search, last) for last in (False, True) for search in (False, True))


def _lay_out(modules: Mapping[str, nn.Module], order: torch.memory_format) -> None:
    for module in modules.values():
        for weight in module.parameters():
            if weight.ndim == 4:  # in place: optimisers hold these very weights
                weight.data = weight.data.contiguous(memory_format=order)


def _pays(budget: Budget) -> bool:
    """Whether a training is long enough to try first."""
    return (budget.iterations or 0) >= _LONG_ITERATIONS or (budget.seconds or 0) >= _LONG_SECONDS


def _seconds(trainer: StepTrainer, device: torch.device) -> float:
    """Seconds an iteration takes once the step has settled."""
    done = 0

    def run(count: int) -> float:
        nonlocal done
        torch.cuda.synchronize(device)
        begun = time.monotonic()
        for _ in range(count):
            trainer.step(done, None)
            done += 1
        torch.cuda.synchronize(device)
        return time.monotonic() - begun

    run(WARMUP + 2)
    while not trainer.settled:
        run(1)
    count = 4
    while (took := run(count)) < _TRIED_SECONDS:
        count *= 2
    return took / count


def _rehearsed(setting: Setting, trainer: StepTrainer, device: torch.device) -> float:
    """Seconds an iteration of a trainer takes with a setting; it is used up."""
    with setting.used(trainer.modules):
        try:
            return _seconds(trainer, device)
        finally:
            trainer.close()


def _fastest(rehearse: Callable[[Context], StepTrainer], ctx: Context) -> Setting:
    """The fastest of `SETTINGS`; of those that fail, none."""
    quiet = replace(ctx, work_dir=None, emit=lambda event: None)
    found: dict[Setting, float] = {}
    told = []
    for setting in SETTINGS:
        try:
            found[setting] = _rehearsed(setting, rehearse(quiet), ctx.device)
            told.append(f"{found[setting] * 1e3:.2f} ms {setting}")
        except Exception as error:  # a rehearsal must not end a training
            reason = (str(error).splitlines() or [""])[0]
            told.append(f"no {setting} ({type(error).__name__}: {reason})")
        gc.collect()  # a trainer and its step refer to each other
        torch.cuda.empty_cache()
    best = min(found, key=found.__getitem__, default=SETTINGS[0])
    ctx.emit(Event("log", "fit", f"tried an iteration: {', '.join(told)}; taken: {best}"))
    return best


@contextmanager
def tuned(
    trainer: StepTrainer,
    rehearse: Callable[[Context], StepTrainer],
    ctx: Context,
    budget: Budget,
    *,
    enabled: bool = True,
) -> Iterator[None]:
    """Within it `trainer` computes with the setting that was found fastest, on a GPU.

    Parameters
    ----------
    rehearse
        Makes a trainer of the same sizes out of networks that may be thrown away.
    budget
        What is about to be trained; a short training goes on as it is.
    """
    if not (enabled and ctx.device.type == "cuda" and _pays(budget)):
        yield
        return
    with _fastest(rehearse, ctx).used(trainer.modules):
        yield
