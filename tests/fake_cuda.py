"""A GPU for tests on machines without one: CUDA tensors have shapes, types and places, no values.

What computes on the CPU computes; what computes on ``cuda:0`` is PyTorch's FakeTensorMode. All
that would pass between host and device, and all that would make the host wait for the device,
is written down, with whether a CUDA graph was being recorded at that moment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.autograd.function import BackwardCFunction
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)

PINNED = "pinned copy"
"""From pinned memory, not waited for: the one way that costs the host nothing."""
PAGEABLE = "pageable copy"
WAIT = "wait"
"""The host stands still until the device has caught up."""

_ROOT = f"{Path(__file__).resolve().parents[1]}/"
_SOURCES = tuple(_ROOT + part for part in ("bench/", "methods/", "datasets/", "reports/"))
aten = torch.ops.aten

_READS = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.repeat_interleave.Tensor,
    aten._unique2.default,
    aten.bincount.default,
}
"""What needs a value of the device on the host."""


@dataclass(frozen=True)
class Event:
    """Something between host and device."""

    kind: str
    what: str
    recording: bool
    where: str


@dataclass(frozen=True)
class Product:
    """A matrix product, and how it would have been computed."""

    what: str
    dtype: torch.dtype
    tf32: bool
    where: tuple[str, ...]
    """The lines of this project that led to it, the innermost first."""


def _lines() -> Iterator[str]:
    """The lines of this project, tests aside, that led here, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_SOURCES):
            yield f"{file.removeprefix(_ROOT)}:{frame.f_lineno}"
        frame = frame.f_back


def _where() -> str:
    """The innermost line of this project, tests aside, that led here."""
    return next(_lines(), "a test")


class _Fake(FakeTensorMode):
    """It looks for a GPU, which tests say is there, and would initialise it."""

    @property
    def avoid_device_init(self) -> bool:
        return True


class Recorder(TorchDispatchMode):
    """Computes on the CPU, pretends on CUDA, and writes down what passes between them."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.products: list[Product] = []
        self.recording = False
        self.replays = 0
        self._pinned: dict[int, torch.UntypedStorage] = {}  # kept: no other comes by its id

    def note(self, kind: str, what: str) -> None:
        self.events.append(Event(kind, what, self.recording, _where()))

    def clear(self) -> None:
        self.events.clear()
        self.products.clear()

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def pinned(self, x: Tensor) -> bool:
        return not isinstance(x, FakeTensor) and x.untyped_storage()._cdata in self._pinned

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten.is_pinned.default:
            return self.pinned(args[0])
        if func is aten._pin_memory.default:
            if self.recording:
                self.note(WAIT, "pinning memory")
            with unset_fake_temporarily():
                locked = args[0].clone()
            self._pinned[locked.untyped_storage()._cdata] = locked.untyped_storage()
            return locked
        flat = pytree.tree_leaves((args, kwargs))
        if not any(_on_cuda(x) for x in flat):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        return self._pretend(func, flat, args, kwargs)

    def _pretend(self, func: Any, flat: Sequence[Any], args: Any, kwargs: Any) -> Any:
        tensors = [x for x in flat if isinstance(x, Tensor)]
        if func is aten._to_copy.default:
            device = kwargs.get("device") or args[0].device
            self._copy(args[0], device, bool(kwargs.get("non_blocking")), func)
            if torch.device(device).type == "cpu":
                with unset_fake_temporarily():
                    return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        elif func is aten.copy_.default:
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            self._copy(args[1], args[0].device, not waits, func)
        elif func in _READS:
            self.note(WAIT, str(func))
            if func is aten._local_scalar_dense.default:  # any value: here, that all is well
                return True if args[0].dtype == torch.bool else args[0].dtype.is_floating_point + 0
        elif func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
            for index in args[1]:
                if index is not None and index.dtype in (torch.bool, torch.uint8):
                    self.note(WAIT, f"{func} by a mask")
                elif index is not None and index.device.type == "cpu":
                    self.note(PAGEABLE, f"{func} by an index on the CPU")
        elif func in (aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default):
            tf32 = torch.backends.cuda.matmul.allow_tf32
            self.products.append(Product(str(func), tensors[-1].dtype, tf32, tuple(_lines())))
        elif func in (aten._fused_adam_.default, aten._fused_adam_.tensor_lr):
            return _fused_adam(*args, **kwargs)
        return func(*args, **kwargs)

    def _copy(self, source: Tensor, device: torch.device, queued: bool, func: Any) -> None:
        there = torch.device(device).type
        if source.device.type == there:
            return
        if not self.pinned(source) and there == "cuda":
            self.note(PAGEABLE, f"{func} of {tuple(source.shape)} {source.dtype}")
        elif not queued or there == "cpu":
            self.note(WAIT, f"{func} to {there}")
        else:
            self.note(PINNED, f"{func} of {tuple(source.shape)} {source.dtype}")


def _on_cuda(x: Any) -> bool:
    return isinstance(x, FakeTensor) or (isinstance(x, torch.device) and x.type == "cuda")


def _fused_adam(
    weights: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    _: Any,
    steps: list[Tensor],
    *,
    lr: Any,
    **__: Any,
) -> None:
    """The restrictions of the CUDA kernel: one device, and one layout for all that belongs."""
    assert isinstance(lr, FakeTensor), "a graph would keep a rate that is a number"
    for weight, *others in zip(weights, grads, means, squares, strict=True):
        for other in others:
            assert (other.shape, other.stride()) == (weight.shape, weight.stride())
            assert (other.device, other.dtype) == (weight.device, weight.dtype)
    assert all(step.device == CUDA for step in steps)


# ------------------------------------------------------------------------- backward


def _nodes(roots: Sequence[Any]) -> list[Any]:
    """All nodes of a graph of derivatives, each after those that need its gradient."""
    order: list[Any] = []
    stack, seen = [(node, False) for node in roots], set()
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(after, False) for after, _ in node.next_functions if after is not None]
    return order[::-1]


def _differentiate(
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    inputs: Sequence[Tensor] | None,
    arrived: Callable[[Any, Tensor], None],
) -> None:
    """Walk back through a graph, node by node: torch's engine wants a real CUDA context."""
    roots = [x.grad_fn for x in outputs]
    order = _nodes(roots)
    wanted = None if inputs is None else {_sink(x) for x in inputs}
    useful = {None} if wanted is None else set(wanted)
    for node in reversed(order):
        if wanted is None or any(after in useful for after, _ in node.next_functions):
            useful.add(node)
    pending: dict[Any, dict[int, Tensor]] = {}
    with torch.no_grad():
        for x, grad in zip(outputs, grads, strict=True):
            slots = pending.setdefault(x.grad_fn, {})
            one = torch.ones_like(x) if grad is None else grad
            slots[x.output_nr] = slots[x.output_nr] + one if x.output_nr in slots else one
        for node in order:
            slots = pending.pop(node, {})
            if not slots or node not in useful:
                continue
            if wanted is not None and node in wanted:
                arrived(node, slots[0])
                continue
            if hasattr(node, "variable"):
                arrived(node, slots[0])
                continue
            count = max(max(slots) + 1, len(getattr(node, "_input_metadata", ())))
            given = [slots.get(index) for index in range(count)]
            call = node.apply if isinstance(node, BackwardCFunction) else node
            results = call(*given)
            results = results if isinstance(results, tuple) else (results,)
            for (after, index), grad in zip(node.next_functions, results, strict=False):
                if after is not None and grad is not None and after in useful:
                    grad = _fit(grad, after, index)
                    there = pending.setdefault(after, {})
                    there[index] = there[index] + grad if index in there else grad


def _fit(grad: Tensor, node: Any, index: int) -> Tensor:
    """A gradient in the shape and type of what it belongs to, as torch's engine makes it."""
    wanted = node.variable if hasattr(node, "variable") else node._input_metadata[index]
    return grad.sum_to_size(wanted.shape).to(wanted.dtype)


def _sink(x: Tensor) -> Any:
    """The node at which a leaf's gradient arrives."""
    return torch.autograd.graph.get_gradient_edge(x).node


def _backward(
    tensors: Any, grad_tensors: Any = None, *_: Any, inputs: Any = None, **__: Any
) -> None:
    outputs = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    grads = [None] * len(outputs)
    if grad_tensors is not None:
        grads = [grad_tensors] if isinstance(grad_tensors, Tensor) else list(grad_tensors)
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    _differentiate(outputs, grads, inputs, lambda node, grad: node(grad))


def _grad(outputs: Any, inputs: Any, grad_outputs: Any = None, **_: Any) -> tuple[Tensor, ...]:
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    grads = [None] * len(outputs) if grad_outputs is None else list(grad_outputs)
    found: dict[Any, Tensor] = {}
    _differentiate(outputs, grads, inputs, found.__setitem__)
    return tuple(found[_sink(x)] for x in inputs)


# ---------------------------------------------------------------------- torch.cuda


class _Stream:
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def wait_stream(self, other: Any) -> None:
        """One stream waits for another on the device; the host does not."""

    def synchronize(self) -> None:
        self.recorder.note(WAIT, "Stream.synchronize")

    def is_capturing(self) -> bool:
        return self.recorder.recording


class Graph:
    """What :class:`torch.cuda.CUDAGraph` offers."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.reset_calls = 0

    def replay(self) -> None:
        assert not self.reset_calls
        self.recorder.replays += 1

    def reset(self) -> None:
        self.reset_calls += 1


def _deepcopy(x: FakeTensor, memo: dict[int, Any]) -> Tensor:
    """A copy of a leaf; the usual way asks for the address of its values."""
    copied = x.detach().clone()
    result = nn.Parameter(copied, x.requires_grad) if isinstance(x, nn.Parameter) else copied
    memo[id(x)] = result
    return result


@contextmanager
def fake_cuda(memory: int = 80 << 30) -> Iterator[Recorder]:
    """Within it there is a GPU with so many bytes of memory, as far as this process can tell."""
    recorder = Recorder()
    stream = _Stream(recorder)

    @contextmanager
    def recording(graph: Graph, **_: Any) -> Iterator[None]:
        recorder.recording = True
        try:
            yield
        finally:
            recorder.recording = False

    @contextmanager
    def on(_: Any) -> Iterator[None]:
        yield

    stand_ins: dict[tuple[Any, str], Any] = {
        (torch.cuda, "is_available"): lambda: True,
        (torch.cuda, "device_count"): lambda: 1,
        (torch.cuda, "is_bf16_supported"): lambda *_, **__: True,
        (torch.cuda, "synchronize"): lambda *_: recorder.note(WAIT, "torch.cuda.synchronize"),
        (torch.cuda, "Stream"): lambda *_, **__: stream,
        (torch.cuda, "stream"): on,
        (torch.cuda, "current_stream"): lambda *_: stream,
        (torch.cuda, "is_current_stream_capturing"): lambda: recorder.recording,
        (torch.cuda, "CUDAGraph"): lambda: Graph(recorder),
        (torch.cuda, "graph"): recording,
        (torch.cuda, "mem_get_info"): lambda *_: (memory, memory),
        (torch.cuda, "get_rng_state"): lambda *_: torch.zeros(16, dtype=torch.uint8),
        (torch.cuda, "set_rng_state"): lambda *_: None,
        (torch.cuda, "manual_seed_all"): lambda *_: None,
        (torch.accelerator, "current_accelerator"): lambda *_, **__: torch.device("cuda"),
        (torch.accelerator, "current_stream"): lambda *_: stream,
        (fake_tensor, "init_gpu_context"): lambda _: None,  # torch 2.11 would, for each tensor
        (torch.autograd, "backward"): _backward,
        (torch.autograd, "grad"): _grad,
    }
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with ExitStack() as stack:
        for (module, name), value in stand_ins.items():
            stack.enter_context(mock.patch.object(module, name, value))
        of_tensors = {"__deepcopy__": _deepcopy, "record_stream": lambda *_: None}
        for name, value in of_tensors.items():
            stack.enter_context(mock.patch.object(FakeTensor, name, value, create=True))
        stack.enter_context(_Fake(allow_non_fake_inputs=True))
        stack.enter_context(recorder)
        try:
            yield recorder
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = flags
