"""What a method has to compute, counted before anything has run.

A method is built as for a trial and given pictures that have a shape and no pixels (PyTorch's
FakeTensorMode): its own code runs, two iterations of training and the translation of one picture,
and every operator that would touch these pictures is counted instead of computed. That takes
seconds whatever the size, and needs no GPU.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.api import (
    A2B,
    Budget,
    Context,
    Event,
    ExemplarMethod,
    MethodSpec,
    TrainData,
    TrainedMethod,
)
from bench.code import code_hash, plugin_modules
from bench.metrics.networks import Chosen
from bench.nn import winograd
from bench.nn.padding import translate_padded
from bench.plugins import make_method
from bench.storage.cache import key_of
from bench.storage.files import write_json
from bench.storage.jobs import Job

_IMAGES = 4
"""Pictures of each domain that a training is counted on."""
_ITERATIONS = 2
"""Of training; the last is counted, because a first one may set up what later ones have."""
_READ = torch.ops.aten._local_scalar_dense.default
_ADAM = "aten::_fused_adam"


@dataclass(frozen=True)
class Work:
    """Floating-point operations, bytes read and written, and operators that are started."""

    flops: float = 0.0
    bytes: float = 0.0
    operators: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.operators + other.operators,
        )

    def __sub__(self, other: Work) -> Work:
        return self + other * -1

    def __mul__(self, times: float) -> Work:
        return Work(self.flops * times, self.bytes * times, self.operators * times)


@dataclass(frozen=True)
class Counted:
    """What a trial of a method consists of.

    Parameters
    ----------
    step
        One iteration of training; nothing where it is not trained.
    output
        The translation of one picture, for each sample.
    weights
        Bytes of its weights.
    """

    step: Work = field(default_factory=Work)
    output: Work = field(default_factory=Work)
    weights: float = 0.0


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's are untyped
    """Counts operators on tensors without values; what has values is computed, uncounted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operator, and pretend to run it."""
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        if not any(isinstance(x, FakeTensor) for x in given):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func is _READ:  # any value will do: here, that all is well
            return True if args[0].dtype == torch.bool else args[0].is_floating_point() * 0.5
        formula = flop_registry.get(func._overloadpacket)
        if formula is None and func.namespace == "aten":
            with self:  # what several operators are made of is counted as these
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        # Weights are real, their gradients are not: nothing is to be done to them.
        made = None if func._schema.name.startswith(_ADAM) else func(*args, **kwargs)
        flops = formula(*args, **kwargs, out_val=made) if formula is not None else 0
        touched = 0 if _is_view(func) else sum(x.nbytes for x in [*given, *_tensors(made)])
        self.work += Work(flops, touched, 1)
        return made


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _is_view(func: Any) -> bool:
    """Whether an operator moves nothing: what it returns is what it was given, seen otherwise."""
    returned = func._schema.returns
    return bool(returned) and all(
        one.alias_info is not None and not one.alias_info.is_write for one in returned
    )


@contextmanager
def counting() -> Iterator[tuple[FakeTensorMode, Watch]]:
    """Count what is done to tensors of the mode that it gives, and leave no trace of it.

    Convolutions count as such: which other way computes one faster depends on the machine.
    """
    tile, fused = winograd.best_tile, torch.backends.mkldnn.enabled
    winograd.best_tile = lambda x, weight: 0
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # a setting of torch
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of torch, about tensors without values
            torch.random.fork_rng(devices=[]),
            FakeTensorMode(allow_non_fake_inputs=True) as mode,
            Watch() as watch,
        ):
            yield mode, watch
    finally:
        winograd.best_tile, torch.backends.mkldnn.enabled = tile, fused


def count_method(job: Job, spec: MethodSpec, *, trains: bool) -> Counted:
    """Return what the method of a job has to compute.

    Parameters
    ----------
    trains
        Whether an iteration of its training is counted, too.

    Raises
    ------
    Exception
        Whatever stops its code on pictures without pixels.
    """
    marks: list[Work] = []
    tells: list[Callable[[], Work]] = []

    def heard(event: Event) -> None:
        if event.kind == "progress" and event.stage == "fit" and tells:
            marks.append(tells[0]())

    ctx = Context(
        torch.device("cpu"),
        weights_dir=Path(job.weights_dir) if job.weights_dir else None,
        offline=job.offline,
        checkpoint_seconds=0.0,  # so each iteration is told of
        emit=heard,
        judge=lambda real: lambda outputs: 0.0,
    )

    make = partial(make_method, spec, job.label, job.config, ctx, job.weights)
    method = make()
    step = Work()
    if trains and isinstance(method, TrainedMethod):
        with counting() as (mode, watch):
            tells.append(lambda: watch.work)
            method.fit(_data(mode, job.size), Budget(iterations=_ITERATIONS))
        known = len(marks) > 1
        step = marks[-1] - marks[-2] if known else watch.work * (1 / _ITERATIONS)
        method = make()
    samples = min(job.samples, 2)  # what a picture's samples share is counted half at most
    with counting() as (mode, watch), torch.no_grad():
        if isinstance(method, ExemplarMethod):
            method.use_exemplars(_data(mode, job.size).b, A2B)
        images = mode.from_tensor(torch.zeros(1, 3, job.size, job.size))
        seeds = torch.arange(samples)[None]
        translate_padded(method, spec.multiple_of, images, A2B, samples=samples, seeds=seeds)
    weights = sum(x.nbytes for x in method.state_dict().values())
    return Counted(step, watch.work * (1 / samples), weights)


def count_network(network: Chosen, size: int) -> Work:
    """Return what one picture of a side costs in a network that metrics ask."""
    built = network.build(torch.device("cpu"))
    look = getattr(built, "describe", None) or built.embed
    with counting() as (mode, watch), torch.no_grad():
        look(mode.from_tensor(torch.zeros(1, 3, size, size, dtype=torch.uint8)))
    return watch.work


def _data(mode: FakeTensorMode, size: int) -> TrainData:
    a, b = (mode.from_tensor(torch.zeros(_IMAGES, 3, size, size, dtype=torch.uint8)) for _ in "ab")
    return TrainData(a, b, ("a", "b"), paired=True)


def kept(
    cache: Path, count: Callable[[], Counted], parts: Mapping[str, Any], implementation: str
) -> Counted:
    """Return what was counted before of the same code and `parts`, else count, and keep it."""
    here = code_hash(__name__, plugin_modules(implementation))
    key = key_of(torch=str(torch.__version__), code=here, implementation=implementation, **parts)
    file = cache / "counts" / f"{key}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        values = json.loads(file.read_text("utf-8"))
        step, output = Work(**values["step"]), Work(**values["output"])
        return Counted(step, output, float(values["weights"]))
    found = count()
    write_json(file, asdict(found))
    return found
