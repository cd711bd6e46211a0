"""What a trained method promises of its training: repeatable, interruptible, within its budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from bench.api import Budget, Context, Event, Method, MethodSpec, TrainData, TrainedMethod
from bench.testing.promises import calling, must, promise, reading_no_picture, undisturbed

Build = Callable[[Context], Method]
State = Mapping[str, torch.Tensor]

_SHORT = 0.05
"""A budget in seconds: enough for some iterations of a toy, and short for the kit."""


def state_of(spec: MethodSpec, method: Method) -> dict[str, torch.Tensor]:
    """Return a copy of a method's state."""
    with calling(spec.name, "state_dict"):
        state = dict(method.state_dict())
    must(
        all(isinstance(tensor, torch.Tensor) for tensor in state.values()),
        spec.name,
        "state_dict is no flat mapping of tensors",
        "give what nn.Module.state_dict() gives; keep numbers as tensors",
    )
    return {key: tensor.detach().clone() for key, tensor in state.items()}


def difference(one: State, other: State) -> str | None:
    """Return the name of a tensor that is not the same in both, bit for bit; None: all are."""
    if one.keys() != other.keys():
        return min(one.keys() ^ other.keys())
    return next((key for key in one if not torch.equal(one[key], other[key])), None)


class _Stopped(BaseException):
    """What ends a training of the kit in its midst, as Ctrl-C would."""


class _Watch:
    """Listens to a training, and may stop it once more than half of it is done."""

    def __init__(self, *, stop: bool = False) -> None:
        self.stop = stop
        self.seen: list[tuple[float, float]] = []
        self.stopped = False

    def __call__(self, event: Event) -> None:
        if event.kind != "progress" or event.done is None or event.total is None:
            return
        self.seen.append((event.done, event.total))
        if self.stop and not self.stopped and event.total / 2 < event.done < event.total:
            self.stopped = True
            raise _Stopped


def check_fit(
    spec: MethodSpec,
    build: Build,
    data: TrainData,
    ctx: Context,
    work: Path,
    iterations: int,
    *,
    resumes: bool,
) -> Method:
    """Check all that training promises, and return the trained method."""
    budget = Budget(iterations=iterations)
    with promise("fit trains on the images it is given, and leaves them as they were", basis=True):
        method = _fit_once(spec, build, data, ctx, budget)
    with promise("fit keeps its budget, and resumes to the same weights, bit for bit"):
        _check_resumed(spec, build, data, ctx, work, budget, state_of(spec, method), resumes)
    with promise("fit trains within a budget in seconds, too"):
        _check_seconds(spec, build, data, ctx)
    return method


def _fit_once(
    spec: MethodSpec, build: Build, data: TrainData, ctx: Context, budget: Budget
) -> Method:
    method = build(ctx)
    before = state_of(spec, method)
    images = data.a.clone(), data.b.clone()
    with reading_no_picture(spec.name, "fit"):
        _fit(spec, method, data, budget)
    must(
        torch.equal(images[0], data.a) and torch.equal(images[1], data.b),
        spec.name,
        "fit changes the training images",
        "other methods see them too: work on a copy",
    )
    must(
        difference(before, state_of(spec, method)) is not None,
        spec.name,
        "fit changes nothing",
        "train what state_dict gives, or give what was trained",
    )
    return method


def _check_resumed(
    spec: MethodSpec,
    build: Build,
    data: TrainData,
    ctx: Context,
    work: Path,
    budget: Budget,
    state: State,
    resumes: bool,
) -> None:
    def again(ctx: Context) -> State:
        other = build(ctx)
        _fit(spec, other, data, budget)
        return state_of(spec, other)

    folder = work / "interrupted"
    folder.mkdir(parents=True)
    place = dataclasses.replace(ctx, work_dir=folder, checkpoint_seconds=0.0)
    stopped_at = _fit_in_part(spec, build, data, budget, place)
    watch = _Watch()
    resumed = again(dataclasses.replace(place, emit=watch))
    if resumes:
        first = watch.seen[0][0] if watch.seen else stopped_at
        must(
            first >= stopped_at,
            spec.name,
            f"fit was interrupted at {stopped_at:g} of {budget.iterations} and began anew",
            "keep a checkpoint in ctx.work_dir as often as ctx.checkpoint_seconds asks, as "
            "bench.training.loop.run_training does; or say check_method(…, resumes=False)",
        )
    if key := difference(resumed, state):
        _explain_difference(spec, key, difference(again(ctx), state))
    key = difference(again(place), state)
    must(
        key is None,
        spec.name,
        f"fit called again where training has ended gives another {key}",
        "do nothing where the checkpoint is that of the last iteration",
    )


def _fit(spec: MethodSpec, method: Method, data: TrainData, budget: Budget) -> None:
    assert isinstance(method, TrainedMethod)
    with undisturbed(spec.name, "fit"), calling(spec.name, "fit"):
        method.fit(data, budget)


def _fit_in_part(
    spec: MethodSpec, build: Build, data: TrainData, budget: Budget, ctx: Context
) -> float:
    """Fit until more than half is done; returns where it was stopped."""
    watch = _Watch(stop=True)
    method = build(dataclasses.replace(ctx, emit=watch))
    try:
        _fit(spec, method, data, budget)
    except _Stopped:
        pass
    else:
        must(
            not watch.stopped,
            spec.name,
            "fit goes on when it is interrupted",
            "catch Exception, never BaseException",
        )
        must(
            watch.stopped,
            spec.name,
            "fit does not say how far it is",
            'call ctx.emit(Event("progress", "fit", done=…, total=…, unit="it")) now and then, '
            "and after every iteration where ctx.checkpoint_seconds is 0",
        )
    done, total = watch.seen[-1]
    must(
        total == budget.iterations,
        spec.name,
        f"fit trains {total:g} iterations, and its budget has {budget.iterations}",
        "train as long as the budget says, no more and no less",
    )
    return done


def _explain_difference(spec: MethodSpec, key: str, repeated: str | None) -> None:
    """Say why two trainings ended with different weights: by interruption, or in any case."""
    must(
        repeated is None,
        spec.name,
        f"the same training ends with another {repeated} each time",
        "draw from generators made of ctx.seed (bench.training.seeding), never from global ones",
    )
    raise AssertionError(
        f"{spec.name}: training interrupted and resumed ends with another {key}: keep in the "
        "checkpoint all that a step depends on (optimizers, schedules, pools, generators), or make "
        "what is drawn a function of ctx.seed and the iteration"
    )


def _check_seconds(spec: MethodSpec, build: Build, data: TrainData, ctx: Context) -> None:
    """Check that a budget in seconds is one too."""
    method = build(ctx)
    before = state_of(spec, method)
    _fit(spec, method, data, Budget(seconds=_SHORT))
    must(
        difference(before, state_of(spec, method)) is not None,
        spec.name,
        f"fit changes nothing in a budget of {_SHORT} seconds",
        "train at least once; measure the pace, as bench.training.loop.run_training does",
    )
