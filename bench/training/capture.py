"""A training step as one CUDA graph.

At batch 1 a step is thousands of small kernels, and starting them takes longer than running
them. A graph starts them all at once. What a graph needs: tensors that stay where they
are, no synchronisation, no Python decision that depends on a value. :class:`CapturedStep`
takes care of the first; the step and its optimisers must see to the others.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from bench.training.transfer import pinned, to_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Step = Callable[..., Mapping[str, torch.Tensor]]

WARMUP = 3
"""Steps run as usual before capture: lazy initialisation and cuDNN's choices are then done."""


class CapturedStep:
    """Runs a step as it is at first, then as a replayed graph; falls back if that fails.

    The first steps and the capture are no rehearsals: every call is one real step. A capture
    records without running, and its replay is the step.

    Parameters
    ----------
    function
        ``(*inputs) -> losses``. It changes parameters and optimiser state in place, allocates
        gradients anew (``zero_grad(set_to_none=True)``), and reads no value back.
    device
        A CUDA device; on any other every call runs `function`.
    recording
        Surrounds the recording of the graph.
    on_fallback
        Told why capture failed, once.

    Notes
    -----
    Inputs keep their shapes from call to call. They may lie on the CPU: they are copied to
    the device before the step, without either waiting for the other. The losses of a replay
    live in the graph's own memory and are overwritten by the next one: read them before.
    """

    def __init__(
        self,
        function: Step,
        device: torch.device,
        *,
        enabled: bool = True,
        recording: Callable[[], AbstractContextManager[object]] = nullcontext,
        on_fallback: Callable[[str], None] | None = None,
    ) -> None:
        self.function = function
        self.device = device
        self.enabled = enabled and device.type == "cuda"
        self.recording = recording
        self.on_fallback = on_fallback
        self.calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[torch.Tensor] = []
        self._outputs: Mapping[str, torch.Tensor] = {}
        self._stream: torch.cuda.Stream | None = None

    @property
    def captured(self) -> bool:
        """Whether calls replay a graph."""
        return self._graph is not None

    @property
    def settled(self) -> bool:
        """Whether the next call runs the way all later ones will."""
        return self.captured or not self.enabled

    def __call__(self, *inputs: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Run one step."""
        if not self.enabled:
            return self.function(*(to_device(x, self.device) for x in inputs))
        self.calls += 1
        self._load(inputs)
        if self._graph is None and self.calls <= WARMUP:
            return self._warm_up()
        if self._graph is None:
            try:
                with self.recording():
                    self._graph = self._capture()
            except RuntimeError as error:
                self.enabled = False
                given, self._inputs, self._outputs = self._inputs, [], {}
                if self.on_fallback is not None:
                    self.on_fallback(str(error).splitlines()[0])
                return self.function(*given)
        self._replay(self._graph)
        return self._outputs

    def close(self) -> None:
        """Give the graph's memory back; a later call runs the function as it is.

        The step usually belongs to whoever holds this, so both live on in a circle of
        references until the garbage collector comes by, and the graph's memory with them.
        """
        if self._graph is not None:
            self._graph.reset()
        self._graph, self.enabled = None, False
        self._inputs, self._outputs = [], {}

    def _load(self, inputs: tuple[torch.Tensor, ...]) -> None:
        """Copy the inputs to where the graph reads them."""
        if not self._inputs:
            self._inputs = [torch.empty(x.shape, dtype=x.dtype, device=self.device) for x in inputs]
        for static, given in zip(self._inputs, inputs, strict=True):
            if static.shape != given.shape:
                raise ValueError(f"input was {tuple(static.shape)}, now is {tuple(given.shape)}")
            static.copy_(pinned(given.detach(), self.device), non_blocking=True)

    # The three methods below are all that touches CUDA.

    def _warm_up(self) -> Mapping[str, torch.Tensor]:
        """One step on a side stream, as capture will see it."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            losses = self.function(*self._inputs)
        current.wait_stream(self._stream)
        return losses

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Record one step without running it."""
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._outputs = self.function(*self._inputs)
        return graph

    def _replay(self, graph: torch.cuda.CUDAGraph) -> None:
        graph.replay()


def prepare_optimizer(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Make an Adam fit for `device`, wherever its state was saved.

    On CUDA: a fused update whose rate and step counts are tensors on the device, so that a
    graph reads the rate of the day. Elsewhere: a fused update with a plain rate. Averages lie
    in memory as their weights do, which a fused update insists on. Call it after state was
    loaded and before the first step.
    """
    cuda = device.type == "cuda"
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        group["lr"] = torch.tensor(rate, device=device) if cuda else rate
        group.update(capturable=False, fused=True, foreach=False)
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if name == "step":
                state[name] = value.to(device)
            elif value.stride() != weight.stride():
                state[name] = torch.empty_like(weight).copy_(value)


@contextmanager
def capturable(optimizers: Iterable[torch.optim.Optimizer]) -> Iterator[None]:
    """Within it the optimisers say that a graph may record them.

    A fused update is the same either way. torch asks for the word while it records, and may
    warn of it at any other time.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
