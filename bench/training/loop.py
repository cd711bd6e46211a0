"""The loop that every trained method shares.

A method gives a :class:`Trainer`: its modules, its optimisers and one step. The loop gives
everything around it: resuming, checkpoints written whole or not at all, loss curves,
progress, and a guard against values that are not finite. Because a step is a function of
the trainer's state and the step number alone, *when* checkpoints are written never changes
a result, and a resumed run equals an uninterrupted one bit for bit on a CPU.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import nn

from bench.api import BenchError, Diverged, Event
from bench.nn.state import load_state, write_torch
from bench.storage.files import read_json_lines, write_atomic
from bench.training.averages import PREFIX

if TYPE_CHECKING:
    from bench.api import Budget, Context
    from bench.training.watch import Watcher

CHECKPOINT = "last.pt"
LOSSES = "losses.jsonl"
SECONDS = "seconds"
CHECKPOINT_SECONDS = 30.0
"""Least time between checkpoints, where a method does not say."""
_REST = 50
"""How many times as long as writing it took training then goes on without a checkpoint."""

_FORMAT = 1
_CURVE_POINTS = 200
_WARMUP = 2
"""Iterations that are run before the pace is measured, at least."""
_MEASURED, _MEASURED_SECONDS = 8, 2.0
"""Iterations, and seconds, over which the pace is measured, both at least."""
_LOOK = 0.25
"""Seconds between looks at the clock, which a GPU has to catch up with, while it is."""


class Trainer(Protocol):
    """What a method brings to :func:`run_training`."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]

    def step(self, iteration: int, total: int | None) -> Mapping[str, torch.Tensor]:
        """Run iteration number `iteration` (from 0) of `total` and give its losses.

        All randomness comes from the seed and `iteration`; losses are detached scalars left
        on the device. `total` is None while a budget in seconds is still being measured:
        the learning-rate schedule is then at its start.
        """
        ...

    def extra_state(self) -> dict[str, Any]:
        """State outside modules and optimisers (an image pool), as tensors and numbers."""
        ...

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`extra_state` gave."""
        ...


@runtime_checkable
class Settling(Protocol):
    """A trainer whose first steps are slower than all others, and which holds what steps need."""

    @property
    def settled(self) -> bool:
        """Whether the next step runs the way all later ones will."""
        ...

    def close(self) -> None:
        """Give back what only steps need; training is over, or has failed."""
        ...


def save_checkpoint(path: Path, trainer: Trainer, iteration: int, total: int | None) -> None:
    """Write the whole training state: to a temporary name first, then moved into place."""
    state = {
        "format": _FORMAT,
        "iteration": iteration,
        "total": total,
        "modules": {name: module.state_dict() for name, module in trainer.modules.items()},
        "optimizers": {name: opt.state_dict() for name, opt in trainer.optimizers.items()},
        "extra": trainer.extra_state(),
    }
    write_torch(state, path)


def modules_in(checkpoint: object) -> Mapping[str, Mapping[str, torch.Tensor]] | None:
    """The weights by module of what :func:`save_checkpoint` wrote; None of other content.

    Where a module has an average, that one's.
    """
    modules = checkpoint.get("modules") if isinstance(checkpoint, Mapping) else None
    if not isinstance(modules, Mapping):
        return None
    return {name: modules.get(f"{PREFIX}{name}", state) for name, state in modules.items()}


def load_checkpoint(path: Path, trainer: Trainer) -> tuple[int, int | None]:
    """Restore what :func:`save_checkpoint` wrote; gives ``(iteration, total)``.

    Raises
    ------
    BenchError
        When the file cannot be read, or holds another model.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, module in trainer.modules.items():
            load_state(module, state["modules"][name], name)
        for name, optimizer in trainer.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        trainer.load_extra_state(state["extra"])
        return int(state["iteration"]), state["total"]
    except MemoryError:
        raise
    except Exception as error:
        # A damaged file makes torch.load raise nearly anything.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BenchError(
            f"{path} cannot be resumed from ({reason}): remove it to train from the start"
        ) from error


def seconds_spent(work: Path) -> float | None:
    """Seconds of training up to the last checkpoint in `work`, over all attempts."""
    try:
        return float((work / SECONDS).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _write_seconds(work: Path, seconds: float) -> None:
    temporary = work / f".{SECONDS}.{os.getpid()}"
    temporary.write_text(f"{seconds:.3f}\n", "utf-8")
    temporary.replace(work / SECONDS)


@dataclass(frozen=True)
class Kept:
    """Weights as they were after an iteration, in a file, and what it took to come so far."""

    path: Path
    iteration: int
    seconds: float
    cores: int


def kept_weights(path: Path) -> Kept:
    """Return what a file of weights that was kept during training says of itself.

    Raises
    ------
    BenchError
        When it is no such file.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata()
        return Kept(path, int(told["iteration"]), float(told["seconds"]), int(told["cores"]))
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise BenchError(f"{path} holds no weights that were kept during a training") from error


def kept_path(work: Path, iteration: int) -> Path:
    """Return where the weights after an iteration are kept."""
    return work / "kept" / f"{iteration:08d}.safetensors"


def cores_of(device: torch.device) -> int:
    """Return how many cores a device computes with: the threads of a CPU, else one."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def _keep(
    work: Path,
    iteration: int,
    weights: Mapping[str, torch.Tensor],
    seconds: float,
    device: torch.device,
) -> None:
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    told = {"iteration": iteration, "seconds": seconds, "cores": cores_of(device)}
    metadata = {name: str(value) for name, value in told.items()}
    write_atomic(kept_path(work, iteration), save(state, metadata))


class _Curve:
    """``losses.jsonl``: one line per logged iteration; a resumed run first drops later lines."""

    def __init__(self, path: Path | None, start: int) -> None:
        self.path = path
        if path is None or not path.exists():
            return
        kept = [
            json.dumps(row)
            for row in read_json_lines(path)  # without what a kill or the disk has damaged
            if isinstance(at := row.get("iteration"), int) and at < start
        ]
        path.write_text("".join(f"{line}\n" for line in kept), "utf-8")

    def add(self, iteration: int, losses: Mapping[str, float]) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"iteration": iteration, "losses": losses}) + "\n")


def _read(losses: Mapping[str, torch.Tensor], iteration: int) -> dict[str, float]:
    """Losses as numbers, in one transfer; raises `Diverged` when one is not finite."""
    values = torch.stack([value.detach().float() for value in losses.values()]).tolist()
    read = dict(zip(losses, values, strict=True))
    bad = [name for name, value in read.items() if not math.isfinite(value)]
    if bad:
        raise Diverged(f"loss {', '.join(bad)} is not finite at iteration {iteration}")
    return read


def _logged(iteration: int, total: int | None) -> bool:
    """Whether an iteration's losses are read and kept: some `_CURVE_POINTS` of them are."""
    if total is None:  # seldom, so that reading does not slow down what is being timed
        return iteration < 2 * _MEASURED or iteration & (iteration - 1) == 0
    return iteration % max(1, total // _CURVE_POINTS) == 0


def _check_weights(trainer: Trainer, iteration: int) -> None:
    """Never overwrite a good checkpoint with weights that are not finite."""
    for name, module in trainer.modules.items():
        norms = torch._foreach_norm([p.detach() for p in module.parameters()])
        if norms and not torch.stack(list(norms)).isfinite().all():
            raise Diverged(f"the weights of {name} are not finite at iteration {iteration}")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Pace:
    """Turns a budget in seconds into one in iterations, once training goes as it will go.

    Parameters
    ----------
    seconds
        The budget.
    iteration
        Iterations that are done already.
    earlier
        Seconds that those took.
    """

    def __init__(
        self, seconds: float, iteration: int, earlier: float, device: torch.device
    ) -> None:
        self.end = time.monotonic() + seconds - earlier
        self.warm = iteration + _WARMUP
        self.device = device
        self._since: tuple[int, float] | None = None
        self._look = 0

    def total(self, iteration: int, *, settled: bool) -> int | None:
        """Iterations in all, after `iteration` of them; None: not known yet."""
        if self._since is None:
            _synchronize(self.device)
            now = time.monotonic()
            if iteration >= self.warm and settled:
                self._since, self._look = (iteration, now), iteration + 1
            # A first step may take longer than the whole budget.
            return iteration if now >= self.end and not settled else None
        if iteration < self._look:
            return None
        _synchronize(self.device)
        now = time.monotonic()
        measured, took = iteration - self._since[0], now - self._since[1]
        pace = measured / max(took, 1e-9)
        if now >= self.end or (measured >= _MEASURED and took >= _MEASURED_SECONDS):
            return iteration + max(0, round(pace * (self.end - now)))
        self._look = iteration + max(1, min(64, int(pace * _LOOK)))
        return None


def run_training(
    trainer: Trainer,
    budget: Budget,
    ctx: Context,
    *,
    checkpoint_seconds: float | None = None,
    watchers: Sequence[Watcher] = (),
    weights: Callable[[], Mapping[str, torch.Tensor]] | None = None,
) -> int:
    """Train within `budget`; gives the number of iterations trained in all.

    Parameters
    ----------
    trainer
        The state and its step.
    budget
        Iterations, or seconds that are turned into iterations after the first few.
    ctx
        ``ctx.work_dir`` (when set) holds ``last.pt`` and ``losses.jsonl``; training resumes
        from it. Progress goes to ``ctx.emit``.
    checkpoint_seconds
        Time between checkpoints; has no influence on results. None: that of `ctx`, else
        `CHECKPOINT_SECONDS`, or more where writing one takes long.
    watchers
        What looks on; see :mod:`bench.training.watch`.
    weights
        Gives what the method's ``state_dict`` would be if training ended now. It is kept after
        the iterations that ``ctx.keep_at`` names, see :func:`kept_weights`.

    Raises
    ------
    Diverged
        At the first logged loss or checkpointed weight that is not finite; the last good
        checkpoint stays.
    """
    if checkpoint_seconds is None:
        checkpoint_seconds = ctx.checkpoint_seconds
    try:
        return _train(trainer, budget, ctx, checkpoint_seconds, watchers, weights)
    finally:
        if isinstance(trainer, Settling):
            trainer.close()


def _train(
    trainer: Trainer,
    budget: Budget,
    ctx: Context,
    checkpoint_seconds: float | None,
    watchers: Sequence[Watcher],
    weights: Callable[[], Mapping[str, torch.Tensor]] | None,
) -> int:
    pause = CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
    work = ctx.work_dir
    checkpoint = work / CHECKPOINT if work is not None else None
    iteration, total = 0, budget.iterations
    earlier = 0.0
    if checkpoint is not None:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if checkpoint.exists():
            iteration, kept = load_checkpoint(checkpoint, trainer)
            total = total if total is not None else kept
            earlier = seconds_spent(checkpoint.parent) or 0.0
    curve = _Curve(work / LOSSES if work is not None else None, iteration)
    for watcher in watchers:
        watcher.resume(iteration)
    emitted = saved = begun = time.monotonic()
    pace = _Pace(budget.seconds or 0.0, iteration, earlier, ctx.device)

    while total is None or iteration < total:
        losses = trainer.step(iteration, total)
        iteration += 1
        if total is None:
            settled = not isinstance(trainer, Settling) or trainer.settled
            total = pace.total(iteration, settled=settled)
            if total is not None and checkpoint is not None:
                _check_weights(trainer, iteration)
                save_checkpoint(checkpoint, trainer, iteration, total)

        now = time.monotonic()
        last = total is not None and iteration >= total
        log = _logged(iteration - 1, total) or last
        show = now - emitted > min(0.5, pause) or last
        if log or show:
            values = _read(losses, iteration - 1)
            if log:
                curve.add(iteration - 1, values)
            if show:
                emitted = now
                ctx.emit(Event("progress", "fit", "", iteration, total, "it", values))
        for watcher in watchers:
            watcher.after(iteration, total)
        if work is not None and weights is not None and iteration in ctx.keep_at:
            _check_weights(trainer, iteration)
            _keep(work, iteration, weights(), earlier + time.monotonic() - begun, ctx.device)
        if checkpoint is not None and (last or now - saved > pause):
            _check_weights(trainer, iteration)  # waits for what is queued on a GPU
            started = time.monotonic()
            save_checkpoint(checkpoint, trainer, iteration, total)
            saved = time.monotonic()
            _write_seconds(checkpoint.parent, earlier + saved - begun)
            if checkpoint_seconds is None:
                pause = max(CHECKPOINT_SECONDS, _REST * (saved - started))
    return iteration


def linear_decay(iteration: int, total: int | None, constant: float = 0.5) -> float:
    """CycleGAN's schedule: 1 for the first `constant` share of the budget, then down to 0."""
    if total is None:
        return 1.0
    decay_from = constant * total
    if iteration < decay_from:
        return 1.0
    return 1.0 - (iteration - decay_from) / (total - decay_from + 1)


def step_decay(iteration: int, total: int | None, *, steps: int, gamma: float = 0.5) -> float:
    """``gamma`` once for every one of `steps` equal parts of the budget already behind.

    MUNIT halves its rate every 100 000 of 1 000 000 iterations: ``steps=10``.
    """
    if total is None:
        return 1.0
    return float(gamma ** (iteration * steps // total))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the rate of every group; a tensor rate (capturable) is filled in place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value
