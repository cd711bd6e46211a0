"""What every check of the kit is made of: a promise, and what to do where it is broken."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from bench.api import (
    BenchError,
    Config,
    DatasetSpec,
    ExtractorSpec,
    LauncherSpec,
    MethodSpec,
    MetricSpec,
    ReportSpec,
)

AnySpec = MethodSpec | DatasetSpec | MetricSpec | ExtractorSpec | ReportSpec | LauncherSpec

_SEEDS = itertools.count(0x6B6974)
"""Seeds of the global generators while a plugin runs: each time one that nobody else takes."""


def must(condition: object, name: str, promise: str, mend: str = "") -> None:
    """Raise `AssertionError` where a promise is broken: one line, with what to do about it."""
    if not condition:
        raise AssertionError(f"{name}: {promise}" + (f": {mend}" if mend else ""))


Tell = Callable[[str, str], None]
"""Takes a promise and what breaks it, with how to mend it; nothing where it is held."""

_TELL: ContextVar[Tell | None] = ContextVar("tell", default=None)


@contextmanager
def telling(tell: Tell) -> Iterator[None]:
    """Tell each promise as it was found; a broken one ends only the checks that rest on it."""
    token = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(token)


@contextmanager
def promise(what: str, *, basis: bool = False) -> Iterator[None]:
    """Name the checks inside for :func:`telling`; `basis`: what follows rests on them."""
    tell = _TELL.get()
    try:
        yield
    except AssertionError as error:
        if tell is None:
            raise
        tell(what, str(error))
        if basis:
            raise
    else:
        if tell is not None:
            tell(what, "")


@contextmanager
def calling(name: str, what: str, hints: Mapping[str, str] = {}) -> Iterator[None]:
    """Turn what a plugin raises into a broken promise: one line that says how to mend it.

    `hints` says what to do about an error whose line holds a text.
    """
    try:
        yield
    except BenchError as error:
        raise AssertionError(f"{name}: {what} gives up: {error}") from error
    except (Exception, SystemExit) as error:
        text = next(iter(str(error).strip().splitlines()), "")
        said = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise AssertionError(f"{name}: {what} raises {said}{_hint(said, hints)}") from error


_DEVICE = "put networks and tensors on ctx.device; never call .cuda()"
_HINTS = {
    **dict.fromkeys(("cuda", "nvidia", "gpu", "same device"), _DEVICE),
    "nonetype": "ctx.work_dir is None where nothing is kept, budget.iterations where a budget is "
    "in seconds",
}
"""What usually mends an error whose line holds a word."""


def _hint(said: str, hints: Mapping[str, str]) -> str:
    found = (hint for word, hint in {**hints, **_HINTS}.items() if word in said.lower())
    return "".join(f" ({hint})" for hint in itertools.islice(found, 1))


def load(spec: AnySpec) -> Any:
    """Import what a spec names as ``"module:attribute"``."""
    module, _, attribute = spec.implementation.partition(":")
    with calling(spec.name, f"importing {spec.implementation}"):
        return getattr(importlib.import_module(module), attribute)


def build(spec: AnySpec, values: Mapping[str, Any], what: str = "the configuration") -> Config:
    """Make a plugin's configuration of its defaults and of `values`."""
    try:
        return spec.config(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "value"
        raise AssertionError(f"{spec.name}: {what} is refused: {key}: {first['msg']}") from error


@contextmanager
def undisturbed(name: str, what: str) -> Iterator[None]:
    """Check that a plugin leaves what the whole process shares as it found it.

    Numbers of torch's global generator may be drawn where they have no influence, as layers do
    before a method gives them weights of its own. So that an influence shows, the generators
    begin with other seeds each time; afterwards they are put back.
    """
    seed = next(_SEEDS)
    # NPY002 would have a generator of our own: it is the global one that is guarded.
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    began = {"Python's": random.getstate(), "NumPy's": _numpy_state()}
    settings = _settings()
    try:
        yield
        for key, value in _settings().items():
            must(
                value == settings[key],
                name,
                f"{what} leaves {key} changed to {value}",
                "it is the whole process's; put it back, or do without",
            )
        must(
            torch.initial_seed() == seed,
            name,
            f"{what} seeds torch's global generator",
            "draw from a torch.Generator() made of ctx.seed (bench.training.seeding)",
        )
        for key, state in (("Python's", random.getstate()), ("NumPy's", _numpy_state())):
            must(
                state == began[key],
                name,
                f"{what} uses {key} global random numbers",
                "make a generator of its own from ctx.seed (bench.training.seeding)",
            )
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}
_READ: list[str] = []


@cache
def _listen() -> None:
    """Note every picture that Python opens for reading; a hook stays, so there is one."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and str(args[1] or "r").startswith("r"):
            path = PurePath(os.fsdecode(args[0]) if isinstance(args[0], bytes) else str(args[0]))
            if path.suffix.lower() in _PICTURES:
                _READ.append(path.name)

    sys.addaudithook(hook)


@contextmanager
def reading_no_picture(name: str, what: str) -> Iterator[None]:
    """Check that no picture is read from a file: the test images would be among them."""
    _listen()
    _READ.clear()
    yield
    must(
        not _READ,
        name,
        f"{what} reads the picture {_READ[0] if _READ else ''}",
        "train on the images of its data alone; in files lie those it is tested with",
    )


def _numpy_state() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(state, dict)
    inner = state["state"]
    return inner["key"].tobytes(), inner["pos"], state["has_gauss"]


def _cuda_begun() -> bool:
    begun: Callable[[], bool] = torch.cuda.is_initialized  # torch declares no type for it
    return begun()


def _settings() -> dict[str, object]:
    """Switches of the whole process that would change what other methods compute.

    Not among them: how float32 is multiplied, which follows the precision of the run.
    """
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch.use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "the gradient mode": torch.is_grad_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the number of threads": torch.get_num_threads(),
        "torch.backends.cudnn.enabled": torch.backends.cudnn.enabled,
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "torch.backends.cudnn.deterministic": torch.backends.cudnn.deterministic,
        "CUDA, which a run on a CPU does not need,": _cuda_begun(),
        "the working folder": os.getcwd(),  # noqa: PTH109 - a string to compare
    }
