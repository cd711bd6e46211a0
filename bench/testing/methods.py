"""What a method promises: shapes, seeds, neighbours, states, sizes, and its abilities."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from bench.api import (
    BenchError,
    CodedMethod,
    Config,
    Context,
    Direction,
    Domain,
    ExemplarMethod,
    FramedMethod,
    Method,
    MethodSpec,
    OfficialMethod,
    PrecomputedMethod,
    PretrainedMethod,
    TrainedMethod,
)
from bench.testing.promises import build, calling, load, must, undisturbed
from bench.testing.toys import toy_data, toy_pictures
from bench.testing.training import check_fit, difference, state_of

_LEVEL = 1 / 255 + 1e-6
"""Outputs may differ by this much where another batch sums in another order."""

_DOMAINS = ("a", "b")
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
    settings, model = build(spec, config or {}), load(spec)
    if spec.precomputed:  # it makes no pictures whose promises could be checked
        with calling(spec.name, "building it"):
            method = model(settings)
        _need(spec, method, PrecomputedMethod, "a precomputed method")
        return
    ctx = Context(torch.device("cpu"), seed=7, offline=offline)
    make = _maker(spec, model, settings)
    size = _multiple(size, spec.multiple_of)
    method = _check_start(spec, make, ctx)
    if spec.trained:
        data = toy_data(spec, size)
        method = check_fit(spec, make, data, ctx, work, iterations, resumes=resumes)
    for key in spec.directions:
        _check_translate(spec, method, Direction.parse(key, _DOMAINS), size)
    _check_sizes(spec, method)
    _check_state(spec, method, make, Context(ctx.device, seed=8, offline=offline), size)
    _check_codes(spec, method, size)
    if spec.trained:
        _check_weights_file(spec, method, ctx, work, size)
    if isinstance(method, OfficialMethod):
        _check_official(spec, method, work)


Make = Callable[[Context], Method]


def _maker(spec: MethodSpec, model: Callable[[Config, Context], Method], settings: Config) -> Make:
    def make(ctx: Context) -> Method:
        with undisturbed(spec.name, "building it"), calling(spec.name, "building it"):
            return model(settings, ctx)

    return make


def _multiple(side: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `side`: the harness pads pictures to it."""
    return -(-side // multiple) * multiple


def _members(protocol: type) -> set[str]:
    """Return what a protocol asks for by name."""
    asked: set[str] = set()
    for part in protocol.__mro__:
        if part.__module__.startswith("bench."):
            asked |= {*vars(part), *vars(part).get("__annotations__", {})}
    return {name for name in asked if not name.startswith("_")}


def _need(spec: MethodSpec, method: object, protocol: type, what: str) -> None:
    """Check that a method has all that makes it what its declaration says."""
    lacks = sorted(name for name in _members(protocol) if not hasattr(method, name))
    must(
        not lacks,
        spec.name,
        f"the class lacks {', '.join(lacks)} of {what}",
        f"write what bench.api.{protocol.__name__} says, or change the declaration",
    )


def _check_start(spec: MethodSpec, make: Make, ctx: Context) -> Method:
    """Check what can be said of a method before it has done anything, and return it."""
    method = make(ctx)
    _need(spec, method, Method, "a method")
    if spec.trained:
        _need(spec, method, TrainedMethod, "a trained method")
    else:
        must(
            not isinstance(method, TrainedMethod),
            spec.name,
            "it has fit, and is declared untrained",
            "set trained=True and budgets in its spec, or call fit something else",
        )
    if spec.exemplar:
        _need(spec, method, ExemplarMethod, "an exemplar method")
    for ability in (CodedMethod, FramedMethod, OfficialMethod):
        if any(hasattr(method, name) for name in _members(ability) - _members(Method)):
            _need(spec, method, ability, f"bench.api.{ability.__name__}, of which it has a part")
    key = difference(state_of(spec, method), state_of(spec, make(ctx)))
    must(
        key is None,
        spec.name,
        f"the same seed begins with another {key} each time",
        "fill the weights from generators made of ctx.seed (bench.training.seeding, bench.nn.init)",
    )
    return method


def _show(spec: MethodSpec, method: Method, direction: Direction, pool: torch.Tensor) -> None:
    """Give an exemplar method its pool; does nothing for another."""
    if spec.exemplar:
        assert isinstance(method, ExemplarMethod)
        with calling(f"{spec.name} {direction.name}", "use_exemplars"):
            method.use_exemplars(pool, direction)


def _translate(
    spec: MethodSpec,
    method: Method,
    direction: Direction,
    images: torch.Tensor,
    seeds: Sequence[Sequence[int]],
) -> torch.Tensor:
    """Translate as the harness does, and check the form of what comes back."""
    name = f"{spec.name} {direction.name}"
    samples = len(seeds[0])
    others = ", ".join(f'"{key}",' for key in spec.directions if key != direction.key)
    leave_out = f"serve every direction that its spec names, or say directions=({others})"
    hints = {direction.key: leave_out} if others else {}
    with torch.no_grad(), undisturbed(name, "translate"), calling(name, "translate", hints):
        out = method.translate(images, direction, samples=samples, seeds=torch.tensor(seeds))
    must(isinstance(out, torch.Tensor), name, f"translate gives a {type(out).__name__}")
    expected = (len(images), samples, *images.shape[1:])
    must(
        tuple(out.shape) == expected,
        name,
        f"translate gave shape {tuple(out.shape)}, expected {expected}",
        "give one output for each input and seed: (B, samples, 3, H, W)",
    )
    must(
        out.device == images.device,
        name,
        f"outputs are on {out.device}, and ctx.device is {images.device}",
        "put networks and tensors on ctx.device; never call .cuda()",
    )
    must(
        out.dtype == torch.float32,
        name,
        f"outputs are {out.dtype}, not torch.float32",
        "end translate with .float()",
    )
    return out


def _check_translate(spec: MethodSpec, method: Method, direction: Direction, size: int) -> None:
    name = f"{spec.name} {direction.name}"
    _show(spec, method, direction, toy_data(spec, size).of(direction.target))
    images = toy_pictures(3, size, "inputs").float() / 255
    before, state = images.clone(), state_of(spec, method)
    out = _translate(spec, method, direction, images, [[11, 12], [21, 22], [31, 32]])
    must(
        torch.equal(images, before),
        name,
        "translate changes its input",
        "write into a copy, not with in-place functions",
    )
    key = difference(state, state_of(spec, method))
    must(
        key is None,
        name,
        f"translate changes {key} of its state",
        "call eval() before it translates: norms that count go on counting in training mode",
    )
    must(
        out.isfinite().all(),
        name,
        "outputs are not finite",
        "look for a division by 0, the root or the logarithm of a number below 0",
    )
    must(
        float(out.min()) >= 0 and float(out.max()) <= 1,
        name,
        "outputs leave [0, 1]",
        "bring (-1, 1) to it with (x + 1) / 2, and end with .clamp(0, 1)",
    )
    must(
        not out.requires_grad,
        name,
        "outputs carry gradients",
        "return them with .detach()",
    )
    _check_seeds(spec, method, direction, images, out)


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return float((one - other).abs().max()) <= _LEVEL


def _check_seeds(
    spec: MethodSpec,
    method: Method,
    direction: Direction,
    images: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Check that an output follows from its image and its seed, and from nothing else."""
    name = f"{spec.name} {direction.name}"

    def translate(images: torch.Tensor, seeds: Sequence[Sequence[int]]) -> torch.Tensor:
        return _translate(spec, method, direction, images, seeds)

    must(
        torch.equal(out, translate(images, [[11, 12], [21, 22], [31, 32]])),
        name,
        "the same seeds give other outputs",
        "draw from one generator for each seed (bench.training.seeding.normal_per_seed), and "
        "leave no dropout on",
    )
    must(
        _near(translate(images[1:2], [[21, 22]])[0, 1], out[1, 1]),
        name,
        "an output depends on its neighbours in the batch",
        "use no statistics over the batch: eval(), norms over one image, one draw for each seed",
    )
    must(
        _near(translate(images[:1], [[12]])[0, 0], out[0, 1]),
        name,
        "a sample depends on its place among the samples, not on its seed alone",
        "draw from one generator for each seed (bench.training.seeding.normal_per_seed)",
    )
    if spec.multimodal:
        must(
            not torch.equal(out[:, 0], out[:, 1]),
            name,
            "it is multimodal, and seeds do nothing",
            "let the seed choose the sample, or declare multimodal=False",
        )
    else:
        must(
            torch.equal(out[:, 0], out[:, 1]),
            name,
            "it is deterministic, and samples differ",
            "repeat the one output for every seed, or declare multimodal=True",
        )


def _first_direction(spec: MethodSpec) -> Direction:
    return Direction.parse(spec.directions[0], _DOMAINS)


def _check_sizes(spec: MethodSpec, method: Method) -> None:
    """Check that pictures and exemplars of any size are taken; they need not be square."""
    direction = _first_direction(spec)
    height, width = (_multiple(side, spec.multiple_of) for side in _ODD)
    images = toy_pictures(1, (height, width), "odd").float() / 255
    _show(spec, method, direction, toy_pictures(1, (37, 33), "style"))
    try:
        _translate(spec, method, direction, images, [[5]])
    except AssertionError as error:
        raise AssertionError(
            f"{error} — with a picture of {width}x{height}: a method takes every size whose "
            "sides divide by multiple_of of its spec"
        ) from error


def _compare(spec: MethodSpec, one: Method, other: Method, size: int) -> bool:
    """Return whether two instances give the same output."""
    direction = _first_direction(spec)
    images = toy_pictures(1, size, "inputs").float() / 255
    pool = toy_data(spec, size).of(direction.target)
    outputs = []
    for method in (one, other):
        _show(spec, method, direction, pool)
        outputs.append(_translate(spec, method, direction, images, [[5]]))
    return torch.equal(*outputs)


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
        _compare(spec, method, other, size),
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


def _check_weights_file(
    spec: MethodSpec, method: Method, ctx: Context, work: Path, size: int
) -> None:
    """Check that weights can be written as a run writes them, and loaded, widths and all."""
    from safetensors.torch import save_file

    path = work / "weights.safetensors"
    try:
        save_file({key: t.detach().contiguous() for key, t in method.state_dict().items()}, path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise AssertionError(
            f"{spec.name}: state_dict cannot be written to a file ({reason}): give each tensor "
            "once, in memory of its own"
        ) from error
    if not isinstance(method, PretrainedMethod):
        return
    with undisturbed(spec.name, "from_weights"), calling(spec.name, "from_weights"):
        loaded = type(method).from_weights(path, ctx)
    must(
        _compare(spec, method, loaded, size),
        spec.name,
        "from_weights gives another method than was saved",
        "read the widths from the file, then load all of its tensors",
    )
    mend = "build the configuration of what it is given, which refuses unknown names"
    try:
        with undisturbed(spec.name, "from_weights"):
            type(method).from_weights(path, ctx, no_such_option=1)
    except (BenchError, ValidationError):
        return
    except Exception as error:
        raise AssertionError(
            f"{spec.name}: from_weights answers an unknown option with {type(error).__name__}: "
            f"{mend}"
        ) from error
    raise AssertionError(f"{spec.name}: from_weights takes options that do not exist: {mend}")


def _check_codes(spec: MethodSpec, method: Method, size: int) -> None:
    """Check that codes go back and forth between pictures and :class:`bench.api.CodedMethod`."""
    if not isinstance(method, CodedMethod):
        return
    images = toy_pictures(2, size, "inputs").float() / 255
    seeds = torch.tensor([[1, 2, 3], [4, 5, 6]])
    direction = _first_direction(spec)
    source: Domain = direction.source
    with torch.no_grad(), undisturbed(spec.name, "encode or sample_styles"):
        with calling(spec.name, "encode"):
            content, style = method.encode(images, source)
        with calling(spec.name, "sample_styles"):
            drawn, again = method.sample_styles(seeds), method.sample_styles(seeds)
    must(
        drawn.shape[:2] == seeds.shape and drawn.shape[2:] == style.shape[1:],
        spec.name,
        f"sample_styles gives {tuple(drawn.shape)} for seeds of shape (2, 3)",
        f"give one code of the shape that encode gives for each seed: (2, 3, "
        f"{', '.join(str(side) for side in style.shape[1:])})",
    )
    must(
        torch.equal(drawn, again),
        spec.name,
        "sample_styles draws other codes for the same seeds",
        "draw from one generator for each seed (bench.training.seeding.normal_per_seed)",
    )
    with torch.no_grad(), undisturbed(spec.name, "decode"), calling(spec.name, "decode"):
        out = method.decode(content, drawn[:, 0], direction.target)
    must(
        out.shape == images.shape and 0 <= float(out.min()) <= float(out.max()) <= 1,
        spec.name,
        "decode gives no pictures (B, 3, H, W) in [0, 1]",
        "end with (x + 1) / 2 and .clamp(0, 1), as translate does",
    )


def _check_official(spec: MethodSpec, method: OfficialMethod, work: Path) -> None:
    folder = work / "official"
    folder.mkdir()
    with calling(spec.name, "save_official"):
        paths = method.save_official(folder)
    must(
        paths and all(path.is_file() and path.parent == folder for path in paths),
        spec.name,
        "save_official does not give the files it wrote",
        "write them into the folder, and return their paths",
    )
