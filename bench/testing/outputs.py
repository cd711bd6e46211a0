"""What a method promises of its outputs: shapes, ranges, seeds, neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.api import Direction, ExemplarMethod, Method, MethodSpec
from bench.testing.promises import calling, must, undisturbed
from bench.testing.toys import toy_data, toy_pictures
from bench.testing.training import difference, state_of

_LEVEL = 1 / 255 + 1e-6
"""Outputs may differ by this much where another batch sums in another order."""

DOMAINS = ("a", "b")


def first_direction(spec: MethodSpec) -> Direction:
    """Return a direction that the method can go."""
    return Direction.parse(spec.directions[0], DOMAINS)


def show(spec: MethodSpec, method: Method, direction: Direction, pool: torch.Tensor) -> None:
    """Give an exemplar method its pool; does nothing for another."""
    if spec.exemplar:
        assert isinstance(method, ExemplarMethod)
        with calling(f"{spec.name} {direction.name}", "use_exemplars"):
            method.use_exemplars(pool, direction)


def translate(
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
    must(not out.requires_grad, name, "outputs carry gradients", "return them with .detach()")
    return out


def check_translate(spec: MethodSpec, method: Method, direction: Direction, size: int) -> None:
    """Check all that one direction promises."""
    name = f"{spec.name} {direction.name}"
    show(spec, method, direction, toy_data(spec, size).of(direction.target))
    images = toy_pictures(3, size, "inputs").float() / 255
    before, state = images.clone(), state_of(spec, method)
    out = translate(spec, method, direction, images, [[11, 12], [21, 22], [31, 32]])
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

    def drawn(images: torch.Tensor, seeds: Sequence[Sequence[int]]) -> torch.Tensor:
        return translate(spec, method, direction, images, seeds)

    must(
        torch.equal(out, drawn(images, [[11, 12], [21, 22], [31, 32]])),
        name,
        "the same seeds give other outputs",
        "draw from one generator for each seed (bench.training.seeding.normal_per_seed), and "
        "leave no dropout on",
    )
    must(
        _near(drawn(images[1:2], [[21, 22]])[0, 1], out[1, 1]),
        name,
        "an output depends on its neighbours in the batch",
        "use no statistics over the batch: eval(), norms over one image, one draw for each seed",
    )
    must(
        _near(drawn(images[:1], [[12]])[0, 0], out[0, 1]),
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


def alike(spec: MethodSpec, one: Method, other: Method, size: int) -> bool:
    """Return whether two instances give the same output."""
    direction = first_direction(spec)
    images = toy_pictures(1, size, "inputs").float() / 255
    pool = toy_data(spec, size).of(direction.target)
    outputs = []
    for method in (one, other):
        show(spec, method, direction, pool)
        outputs.append(translate(spec, method, direction, images, [[5]]))
    return torch.equal(*outputs)
