"""What a method promises: shapes, seeds, neighbours, states, resuming."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from bench.api import (
    BenchError,
    Budget,
    Context,
    Direction,
    Method,
    MethodSpec,
    PrecomputedMethod,
    TrainData,
)
from bench.nn.padding import translate_padded
from bench.plugins import load_weights, make_config, resolve
from bench.testing.specs import must
from bench.training import loop
from bench.training.seeding import generator
from bench.translator import Translator

LEVEL = 1 / 255
"""Outputs may differ by this much where another batch sums in another order."""


def toy_pictures(count: int, size: int, name: str) -> torch.Tensor:
    """Smooth random pictures, uint8 ``(count, 3, size, size)``; `name` picks the stream."""
    coarse = torch.rand(count, 3, 4, 4, generator=generator("toy pictures", name))
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return fine.mul(255).round().to(torch.uint8)


def _toy_data(spec: MethodSpec, size: int) -> TrainData:
    a, b = toy_pictures(5, size, "a"), toy_pictures(5 if spec.paired else 4, size, "b")
    return TrainData(a, b, ("a", "b"), paired=spec.paired)


def check_method(
    spec: MethodSpec,
    work: Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    size: int = 32,
    iterations: int = 4,
    offline: bool = True,
) -> None:
    """A method keeps the contract of :class:`bench.api.Method`, on a CPU.

    Checked: outputs have their shape, lie in ``[0, 1]`` and are finite; the same seeds give
    the same outputs, whatever else is in the batch (within one level of 255); a
    deterministic method repeats its output and a multimodal one does not; the state goes
    through ``state_dict`` and a file into another instance; pictures of odd size come back
    in their size. Of a trained method also: training interrupted and resumed gives the same
    weights, bit for bit.

    Parameters
    ----------
    spec
        The declaration.
    work
        An empty folder; None: a temporary one.
    config
        Changes to the configuration's defaults: the smallest there is.
    size
        Side of the toy pictures.
    iterations
        Training budget.
    offline
        Whether pretrained weights may be downloaded.

    Raises
    ------
    AssertionError
        One line: the method, and the promise it breaks.
    """
    if work is None:
        with tempfile.TemporaryDirectory() as folder:
            check_method(
                spec,
                Path(folder),
                config=config,
                size=size,
                iterations=iterations,
                offline=offline,
            )
        return
    ctx = Context(torch.device("cpu"), seed=7, offline=offline)
    settings = make_config("method", spec.name, spec.config, config or {})
    model = resolve(spec.implementation)
    if spec.precomputed:  # it makes no pictures whose promises could be checked
        lacks = "the class lacks find of bench.api.PrecomputedMethod"
        must(isinstance(model(settings), PrecomputedMethod), spec.name, lacks)
        return
    method: Method = model(settings, ctx)
    must(isinstance(method, Method), spec.name, "the class lacks a method of bench.api.Method")
    if spec.trained:
        method = _check_fit(spec, model, settings, ctx, work, size, iterations)
    else:
        must(not hasattr(method, "fit"), spec.name, "it has fit, and is declared untrained")
    data = _toy_data(spec, size)
    for key in spec.directions:
        direction = Direction.parse(key, ("a", "b"))
        if spec.exemplar:
            method.use_exemplars(data.of(direction.target), direction)  # type: ignore[attr-defined]
        _check_translate(spec, method, direction, size)
    _check_state(spec, method, model(settings, Context(ctx.device, seed=8, offline=offline)), size)
    _check_odd_sizes(spec, method, ctx.device)
    if spec.trained and hasattr(model, "from_weights"):
        _check_weights_file(spec, method, ctx, work, size)


def _translate(
    spec: MethodSpec, method: Method, direction: Direction, images: torch.Tensor, seeds: Any
) -> torch.Tensor:
    wanted = torch.as_tensor(seeds, dtype=torch.int64)
    with torch.no_grad():
        return translate_padded(
            method, spec.multiple_of, images, direction, samples=wanted.shape[1], seeds=wanted
        )


def _check_translate(spec: MethodSpec, method: Method, direction: Direction, size: int) -> None:
    name = f"{spec.name} {direction.name}"
    images = toy_pictures(3, size, "inputs").float() / 255
    before = images.clone()
    seeds = [[11, 12], [21, 22], [31, 32]]
    try:
        out = _translate(spec, method, direction, images, seeds)
    except BenchError as error:
        raise AssertionError(f"{name}: {error}") from error
    must(torch.equal(images, before), name, "translate changes its input")
    must(out.is_floating_point(), name, f"outputs are {out.dtype}, not floats")
    must(out.isfinite().all(), name, "outputs are not finite")
    must(float(out.min()) >= 0 and float(out.max()) <= 1, name, "outputs leave [0, 1]")
    must(not out.requires_grad, name, "outputs carry gradients")
    again = _translate(spec, method, direction, images, seeds)
    must(torch.equal(out, again), name, "the same seeds give other outputs")
    alone = _translate(spec, method, direction, images[1:2], [[22]])
    must(
        float((alone[0, 0] - out[1, 1]).abs().max()) <= LEVEL + 1e-6,
        name,
        "an output depends on its neighbours in the batch",
    )
    swapped = _translate(spec, method, direction, images[:1], [[12, 11]])[0].flip(0)
    must(
        float((swapped - out[0]).abs().max()) <= LEVEL + 1e-6,
        name,
        "a sample depends on its place among the samples, not on its seed alone",
    )
    if spec.multimodal:
        must(not torch.equal(out[:, 0], out[:, 1]), name, "it is multimodal, and seeds do nothing")
    else:
        must(torch.equal(out[:, 0], out[:, 1]), name, "it is deterministic, and samples differ")


def _first_direction(spec: MethodSpec) -> Direction:
    return Direction.parse(spec.directions[0], ("a", "b"))


def _check_state(spec: MethodSpec, method: Method, other: Method, size: int) -> None:
    """The state of a fitted method makes another instance, of another seed, its equal."""
    state = {key: tensor.detach().clone() for key, tensor in method.state_dict().items()}
    must(
        all(isinstance(tensor, torch.Tensor) for tensor in state.values()),
        spec.name,
        "state_dict is no flat mapping of tensors",
    )
    must(bool(state) or not spec.trained, spec.name, "it is trained, and its state is empty")
    other.load_state_dict(state)
    direction = _first_direction(spec)
    if spec.exemplar:
        pool = _toy_data(spec, size).of(direction.target)
        for one in (method, other):
            one.use_exemplars(pool, direction)  # type: ignore[attr-defined]
    images = toy_pictures(1, size, "inputs").float() / 255
    pair = [_translate(spec, one, direction, images, [[5]]) for one in (method, other)]
    if spec.trained:
        must(torch.equal(*pair), spec.name, "load_state_dict does not bring the outputs back")
        try:
            other.load_state_dict({"no such tensor": torch.zeros(1)})
        except BenchError:
            return
        raise AssertionError(f"{spec.name}: load_state_dict takes a state of another model")


def _check_odd_sizes(spec: MethodSpec, method: Method, device: torch.device) -> None:
    translator = Translator(method, spec, device)
    images = torch.rand(1, 3, 35, 41, generator=generator("odd"))
    style = torch.rand(3, 37, 33, generator=generator("style")) if spec.exemplar else None
    direction = _first_direction(spec).key
    out = translator.translate(images, direction, style_from=style)
    must(out.shape == (1, 1, 3, 35, 41), spec.name, f"35x41 pixels come back as {out.shape}")


def _check_weights_file(
    spec: MethodSpec, method: Method, ctx: Context, work: Path, size: int
) -> None:
    """Weights written as a run writes them can be loaded, widths and all."""
    from safetensors.torch import save_file

    path = work / "weights.safetensors"
    save_file({key: t.detach().contiguous() for key, t in method.state_dict().items()}, path)
    loaded = load_weights(spec, spec.name, path, ctx, {})
    direction = _first_direction(spec)
    images = toy_pictures(1, size, "inputs").float() / 255
    pair = [_translate(spec, one, direction, images, [[5]]) for one in (method, loaded)]
    must(torch.equal(*pair), spec.name, "from_weights gives another method than was saved")
    try:
        load_weights(spec, spec.name, path, ctx, {"no_such_option": 1})
    except BenchError:
        return
    raise AssertionError(f"{spec.name}: from_weights takes options that do not exist")


class _Killed(BaseException):
    """What stops a training run of the kit; no method may catch it."""


def _check_fit(
    spec: MethodSpec,
    model: Any,
    settings: Any,
    ctx: Context,
    work: Path,
    size: int,
    iterations: int,
) -> Method:
    data, budget = _toy_data(spec, size), Budget(iterations=iterations)
    whole: Method = model(settings, ctx.at(work / "whole"))
    before = {key: tensor.clone() for key, tensor in whole.state_dict().items()}
    pixels = data.a.clone()
    whole.fit(data, budget)  # type: ignore[attr-defined]
    must(torch.equal(pixels, data.a), spec.name, "fit changes the training images")
    state = whole.state_dict()
    must(
        any(not torch.equal(before[key], state[key]) for key in before if key in state)
        or before.keys() != state.keys(),
        spec.name,
        "fit changes nothing",
    )
    part = work / "interrupted"
    saved = _fit_until(model(settings, ctx.at(part)), data, budget, stop_at=iterations // 2)
    must(saved, spec.name, "fit keeps no checkpoint on the way: train with run_training")
    resumed = model(settings, ctx.at(part))
    with mock.patch.object(loop, "load_checkpoint", wraps=loop.load_checkpoint) as loads:
        resumed.fit(data, budget)
    must(loads.called, spec.name, "fit does not resume from its checkpoint")
    for key, tensor in resumed.state_dict().items():
        must(
            torch.equal(tensor, state[key]),
            spec.name,
            f"training interrupted and resumed ends with another {key}",
        )
    return whole


def _fit_until(method: Any, data: TrainData, budget: Budget, *, stop_at: int) -> bool:
    """Fit with a checkpoint after every iteration, stopped as if killed after number `stop_at`."""
    save = loop.save_checkpoint

    def save_and_stop(path: Path, trainer: Any, iteration: int, total: int | None) -> None:
        save(path, trainer, iteration, total)
        if iteration >= stop_at:
            raise _Killed

    with (
        mock.patch.object(loop, "save_checkpoint", save_and_stop),
        mock.patch.object(loop, "CHECKPOINT_SECONDS", -1.0),
    ):
        try:
            method.fit(data, budget)
        except _Killed:
            return True
    return False
