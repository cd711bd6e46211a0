"""What a method promises beside translating: whole abilities, weights in files, codes."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError

from bench.api import (
    BenchError,
    CodedMethod,
    Context,
    Domain,
    Method,
    MethodSpec,
    OfficialMethod,
    PretrainedMethod,
)
from bench.testing.outputs import alike, first_direction
from bench.testing.promises import calling, must, undisturbed
from bench.testing.toys import toy_pictures


def members(protocol: type) -> set[str]:
    """Return what a protocol asks for by name."""
    asked: set[str] = set()
    for part in protocol.__mro__:
        if part.__module__.startswith("bench."):
            asked |= {*vars(part), *vars(part).get("__annotations__", {})}
    return {name for name in asked if not name.startswith("_")}


def need(spec: MethodSpec, method: object, protocol: type, what: str) -> None:
    """Check that a method has all that makes it what its declaration says."""
    lacks = sorted(name for name in members(protocol) if not hasattr(method, name))
    must(
        not lacks,
        spec.name,
        f"the class lacks {', '.join(lacks)} of {what}",
        f"write what bench.api.{protocol.__name__} says, or change the declaration",
    )


def check_weights_file(
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
        alike(spec, method, loaded, size),
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


def check_codes(spec: MethodSpec, method: CodedMethod, size: int) -> None:
    """Check that codes go back and forth between pictures and :class:`bench.api.CodedMethod`."""
    images = toy_pictures(2, size, "inputs").float() / 255
    seeds = torch.tensor([[1, 2, 3], [4, 5, 6]])
    direction = first_direction(spec)
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


def check_official(spec: MethodSpec, method: OfficialMethod, work: Path) -> None:
    """Check that files of the original project are written where they are asked for."""
    folder = work / "official"
    folder.mkdir()
    with calling(spec.name, "save_official"):
        paths = method.save_official(folder)
    must(
        paths and all(path.is_file() and folder in path.parents for path in paths),
        spec.name,
        "save_official does not give the files it wrote",
        "write them into the folder, and return their paths",
    )
