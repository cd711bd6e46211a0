"""What a method promises, all of it: how it begins, what it gives, what it keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.api import (
    BenchError,
    CodedMethod,
    Config,
    Context,
    Direction,
    ExemplarMethod,
    FramedMethod,
    Method,
    MethodSpec,
    OfficialMethod,
    PrecomputedMethod,
    TrainedMethod,
)
from bench.testing.abilities import (
    check_codes,
    check_official,
    check_weights_file,
    members,
    need,
)
from bench.testing.outputs import DOMAINS, alike, check_translate, first_direction, show, translate
from bench.testing.promises import build, calling, load, must, promise, undisturbed
from bench.testing.toys import toy_data, toy_pictures
from bench.testing.training import check_fit, difference, state_of

_ODD = (35, 41)


def check_method(
    spec: MethodSpec,
    work: Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    size: int = 32,
    iterations: int = 4,
    offline: bool = True,
    resumes: bool = True,
) -> None:
    """Check that a method keeps the contract of :class:`bench.api.Method`, on a CPU.

    Only what it does is looked at, never how. Checked: weights follow from the seed of the
    context alone; every declared direction is served; outputs have their shape, are float32,
    lie in ``[0, 1]`` and are finite; the same seeds give the same outputs, whatever else is
    in the batch (within one level of 255); a deterministic method repeats its output and a
    multimodal one does not; the state goes through ``state_dict`` and a file into another
    instance; pictures of any size that `multiple_of` allows are taken; what all share (global
    generators, torch's settings) is left alone; abilities are whole.

    Of a trained method also: training stays within its budget, iterations or seconds, and
    says how far it is; interrupted and begun again in the same folder it ends with the same
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
        Training budget, at least 3.
    offline
        Whether pretrained weights may be downloaded.
    resumes
        False: a training that was interrupted may begin anew.

    Raises
    ------
    AssertionError
        One line: the method, the promise it breaks, and how to mend it.
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
                resumes=resumes,
            )
        return
    ctx = Context(torch.device("cpu"), seed=7, offline=offline)
    size = _multiple(size, spec.multiple_of)
    with promise("it has what its declaration says, and begins as its seed says", basis=True):
        settings, model = build(spec, config or {}), load(spec)
        if spec.precomputed:  # it makes no pictures whose promises could be checked
            with calling(spec.name, "building it"):
                method = model(settings)
            need(spec, method, PrecomputedMethod, "a precomputed method")
            return
        make = _maker(spec, model, settings)
        method = _check_start(spec, make, ctx)
    if spec.trained:
        data = toy_data(spec, size)
        method = check_fit(spec, make, data, ctx, work, iterations, resumes=resumes)
    for key in spec.directions:
        with promise(f"{key}: outputs are whole, and follow from their image and seed alone"):
            check_translate(spec, method, Direction.parse(key, DOMAINS), size)
    with promise("pictures of any size are taken"):
        _check_sizes(spec, method)
    with promise("its state makes another instance its equal"):
        _check_state(spec, method, make, Context(ctx.device, seed=8, offline=offline), size)
    if isinstance(method, CodedMethod):
        with promise("codes go from pictures and back"):
            check_codes(spec, method, size)
    if spec.trained:
        with promise("its weights go through a file"):
            check_weights_file(spec, method, ctx, work, size)
    if isinstance(method, OfficialMethod):
        with promise("it writes its original project's files where it is asked to"):
            check_official(spec, method, work)


Make = Callable[[Context], Method]


def _maker(spec: MethodSpec, model: Callable[[Config, Context], Method], settings: Config) -> Make:
    def make(ctx: Context) -> Method:
        with undisturbed(spec.name, "building it"), calling(spec.name, "building it"):
            return model(settings, ctx)

    return make


def _multiple(side: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `side`: the harness pads pictures to it."""
    return -(-side // multiple) * multiple


def _check_start(spec: MethodSpec, make: Make, ctx: Context) -> Method:
    """Check what can be said of a method before it has done anything, and return it."""
    method = make(ctx)
    need(spec, method, Method, "a method")
    if spec.trained:
        need(spec, method, TrainedMethod, "a trained method")
    else:
        must(
            not isinstance(method, TrainedMethod),
            spec.name,
            "it has fit, and is declared untrained",
            "set trained=True and budgets in its spec, or call fit something else",
        )
    if spec.exemplar:
        need(spec, method, ExemplarMethod, "an exemplar method")
    for ability in (CodedMethod, FramedMethod, OfficialMethod):
        if any(hasattr(method, name) for name in members(ability) - members(Method)):
            need(spec, method, ability, f"bench.api.{ability.__name__}, of which it has a part")
    key = difference(state_of(spec, method), state_of(spec, make(ctx)))
    must(
        key is None,
        spec.name,
        f"the same seed begins with another {key} each time",
        "fill the weights from generators made of ctx.seed (bench.training.seeding, bench.nn.init)",
    )
    return method


def _check_sizes(spec: MethodSpec, method: Method) -> None:
    """Check that pictures and exemplars of any size are taken; they need not be square."""
    direction = first_direction(spec)
    height, width = (_multiple(side, spec.multiple_of) for side in _ODD)
    images = toy_pictures(1, (height, width), "odd").float() / 255
    show(spec, method, direction, toy_pictures(1, (37, 33), "style"))
    try:
        translate(spec, method, direction, images, [[5]])
    except AssertionError as error:
        raise AssertionError(
            f"{error} — with a picture of {width}x{height}: a method takes every size whose "
            "sides divide by multiple_of of its spec"
        ) from error


def _check_state(spec: MethodSpec, method: Method, make: Make, ctx: Context, size: int) -> None:
    """Check that the state of a method makes another instance, of another seed, its equal."""
    state, other = state_of(spec, method), make(ctx)
    must(
        bool(state) or not spec.trained,
        spec.name,
        "it is trained, and its state is empty",
        "give all that translate needs from state_dict",
    )
    with undisturbed(spec.name, "load_state_dict"), calling(spec.name, "load_state_dict"):
        other.load_state_dict(state)
    if not spec.trained:
        return
    must(
        alike(spec, method, other, size),
        spec.name,
        "load_state_dict does not bring the outputs back",
        "state_dict gives, and load_state_dict takes, all that translate uses: averaged weights, "
        "buffers and numbers too",
    )
    refused = "raise BenchError where a name or a shape does not fit (bench.nn.state.load_state)"
    try:
        other.load_state_dict({"no such tensor": torch.zeros(1)})
    except BenchError:
        return
    except Exception as error:
        raise AssertionError(
            f"{spec.name}: load_state_dict answers a state of another model with "
            f"{type(error).__name__}: {refused}"
        ) from error
    raise AssertionError(f"{spec.name}: load_state_dict takes a state of another model: {refused}")
