"""A training step as one CUDA graph.

At batch 1 a step is thousands of small kernels, and starting them takes longer than running
them. A graph starts them all at once. What a graph needs: tensors that stay where they
are, no synchronisation, no Python decision that depends on a value. :class:`CapturedStep`
takes care of the first; the step and its optimisers must see to the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    on_fallback
        Told why capture failed, once.

    Notes
    -----
    Inputs keep their shapes from call to call. The losses of a replay live in the graph's
    own memory and are overwritten by the next one: read them before.
    """

    def __init__(
        self,
        function: Step,
        device: torch.device,
        *,
        enabled: bool = True,
        on_fallback: Callable[[str], None] | None = None,
    ) -> None:
        self.function = function
        self.device = device
        self.enabled = enabled and device.type == "cuda"
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

    def __call__(self, *inputs: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Run one step."""
        if not self.enabled:
            return self.function(*inputs)
        self.calls += 1
        self._load(inputs)
        if self._graph is None and self.calls <= WARMUP:
            return self._warm_up()
        if self._graph is None:
            try:
                self._graph = self._capture()
            except RuntimeError as error:
                self.enabled = False
                self._inputs, self._outputs = [], {}
                if self.on_fallback is not None:
                    self.on_fallback(str(error).splitlines()[0])
                return self.function(*inputs)
        self._replay(self._graph)
        return self._outputs

    def _load(self, inputs: tuple[torch.Tensor, ...]) -> None:
        """Copy the inputs to where the graph reads them."""
        if not self._inputs:
            self._inputs = [x.detach().to(self.device, copy=True) for x in inputs]
            return
        for static, given in zip(self._inputs, inputs, strict=True):
            if static.shape != given.shape:
                raise ValueError(f"input was {tuple(static.shape)}, now is {tuple(given.shape)}")
            static.copy_(given, non_blocking=True)

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

    On CUDA: a fused, capturable update whose rate and step counts are tensors on the device,
    so that a graph reads the rate of the day. Elsewhere: a fused update with a plain rate.
    Call it after state was loaded and before the first step.
    """
    cuda = device.type == "cuda"
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        group["lr"] = torch.tensor(rate, device=device) if cuda else rate
        group.update(capturable=cuda, fused=True, foreach=False)
    for state in optimizer.state.values():
        if "step" in state:
            state["step"] = state["step"].to(device)
