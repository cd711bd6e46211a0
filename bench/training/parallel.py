"""One training on several devices: every rank takes its share of a batch, gradients are averaged.

The ranks are processes that Lightning Fabric starts from within a trial's own process, so a
trial stays one unit for whoever launches, times and kills it. (Fabric's usual launcher runs the
program's command line once more for every rank; here that would run the whole trial again.)
Methods call parts of their networks, and take gradients for some weights only, which the usual
wrapper of modules does not see; so gradients are averaged where an optimiser is about to use
them. Rank 0 alone writes checkpoints and reports.

What rank `r` of `W` draws at iteration `t` is what one process alone draws at iteration
``t * W + r``: see :func:`draw_step`. With one rank nothing differs from a training without any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from bench.api import BenchError, Context, Event

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

State = Mapping[str, Tensor]


def world() -> int:
    """How many ranks train together; 1 where this process is alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is."""
    return dist.get_rank() if world() > 1 else 0


def draw_step(iteration: int) -> int:
    """The step number to draw batches and codes with, other for every rank and iteration."""
    return iteration * world() + rank()


def agree(value: float) -> float:
    """Rank 0's value, on every rank."""
    if world() == 1:
        return value
    cuda = dist.get_backend() == "nccl"
    shared = torch.tensor(value, dtype=torch.float64, device="cuda" if cuda else "cpu")
    dist.broadcast(shared, 0)
    return float(shared)


def average_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser average its gradients over the ranks before it steps.

    Where a loss is a mean over the batch, the step is then that of one process with all ranks'
    images in one batch.
    """
    if world() > 1:
        optimizer.register_step_pre_hook(_average)


def _average(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    gradients = [
        p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
    ]
    flat = torch.cat([g.flatten() for g in gradients])  # one message instead of hundreds
    dist.all_reduce(flat)
    flat /= world()
    averaged = torch.split(flat, [g.numel() for g in gradients])
    views = [part.view_as(g) for part, g in zip(averaged, gradients, strict=True)]
    torch._foreach_copy_(gradients, views)


def spawn(devices: int, ctx: Context, function: Callable[..., State], *args: Any) -> State:
    """Run ``function(ctx, *args)`` on `devices` ranks; give what it gave on rank 0.

    Parameters
    ----------
    devices
        GPUs of this machine where ``ctx.device`` is one, else processes on its CPU.
    function, args
        Picklable; tensors among `args` on the CPU. `function` gives a state dict.

    Raises
    ------
    BenchError
        When Lightning Fabric is not installed, or there are fewer devices; also whatever
        `BenchError` a rank ended with.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise BenchError(
            f"devices={devices} needs Lightning Fabric: pip install 'translation-bench[parallel]'"
        ) from error
    cuda = ctx.device.type == "cuda"
    if cuda and devices > torch.cuda.device_count():
        raise BenchError(
            f"devices={devices}, but this machine has {torch.cuda.device_count()}: lower it"
        )
    messages = torch.multiprocessing.get_context("spawn").SimpleQueue()
    found: dict[str, Any] = {}
    reader = threading.Thread(target=_read, args=(messages, ctx.emit, found), daemon=True)
    reader.start()
    fabric = Fabric(accelerator="cuda" if cuda else "cpu", devices=devices, strategy="ddp_spawn")
    failure: Exception | None = None
    try:
        # In one parcel: Fabric searches arguments for modules, and stumbles over frozen ones.
        quiet = replace(ctx, emit=_silent)
        fabric.launch(partial(_in_rank, ctx=quiet, messages=messages, function=function, args=args))
    except Exception as error:  # a rank's traceback, as text
        failure = error
    finally:
        messages.put(None)
        reader.join()
    if "error" in found:
        raise found["error"] from failure
    if failure is not None:
        raise failure
    from safetensors.torch import load

    return load(found["state"])


def _silent(event: Event) -> None:
    """Who listens to the other ranks."""


def _read(messages: SimpleQueue[Any], emit: Callable[[Event], None], found: dict[str, Any]) -> None:
    while (message := messages.get()) is not None:
        if isinstance(message, Event):
            emit(message)
        else:
            found.setdefault(*message)


def _in_rank(
    fabric: Any,
    ctx: Context,
    messages: SimpleQueue[Any],
    function: Callable[..., State],
    args: tuple[Any, ...],
) -> None:
    """What every rank runs. An exception that leaves it ends all ranks."""
    from safetensors.torch import save

    if fabric.device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // fabric.world_size))
    first = fabric.global_rank == 0
    try:
        own = replace(ctx, device=fabric.device, emit=messages.put if first else _silent)
        state = function(own, *args)
        if first:
            whole = {name: t.detach().cpu().contiguous() for name, t in state.items()}
            messages.put(("state", save(whole)))
        fabric.barrier()
    except BenchError as error:
        messages.put(("error", error))
        raise
    finally:
        dist.destroy_process_group()
