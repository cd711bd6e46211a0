"""From the host to the device, without either waiting for the other.

A copy out of ordinary memory makes the host wait until it is done, and a CUDA graph refuses
it. Out of pinned memory it is queued like any kernel. Pinned memory comes from torch's own
cache, which gives a block out again only when the copies from it are done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def pinned(x: Tensor, device: torch.device) -> Tensor:
    """A tensor from which a copy to `device` need not be waited for; `x` itself if it is one."""
    return x.pin_memory() if device.type == "cuda" and x.device.type == "cpu" else x


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """The same tensor on `device`; a copy from the CPU to CUDA is queued, not waited for."""
    return pinned(x, device).to(device, non_blocking=True)


class Ahead:
    """Host tensors that are on their way to the device a step before they are needed.

    Parameters
    ----------
    fetch
        Step number to a tensor on the CPU; a pure function.
    device
        On CUDA the copies run on a stream of their own, beside the step before.
    """

    def __init__(self, fetch: Callable[[int], Tensor], device: torch.device) -> None:
        self.fetch, self.device = fetch, device
        self._next: tuple[int, Tensor] | None = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, step: int) -> Tensor:
        """What belongs to `step`, on the device; what belongs to the next one is sent off."""
        if self.device.type != "cuda":
            return self.fetch(step)
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        if self._next is None or self._next[0] != step:
            self._next = step, self._send(step, self._stream)
        sent = self._next[1]
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._stream)
        sent.record_stream(current)  # its memory is not given out anew before it is read
        self._next = step + 1, self._send(step + 1, self._stream)
        return sent

    def _send(self, step: int, stream: torch.cuda.Stream) -> Tensor:
        with torch.cuda.stream(stream):
            return to_device(self.fetch(step), self.device)
