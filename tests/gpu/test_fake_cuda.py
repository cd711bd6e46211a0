"""The pretended GPU itself: it sees what it is there to see, and differentiates as torch does."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.nn.norms import SampleNorm
from tests.fake_cuda import CUDA, PAGEABLE, PINNED, WAIT, _backward, _grad, fake_cuda


def test_copies_are_told_apart():
    with fake_cuda() as gpu:
        x = torch.rand(3)
        assert x.sum() > 0  # the CPU computes
        assert x.to(CUDA).device == CUDA
        torch.tensor([1.0, 2.0], device=CUDA)
        torch.ones(2, device=CUDA).new_tensor([1.0, 2.0])
        torch.empty(3, device=CUDA).copy_(x, non_blocking=True)
        assert [event.kind for event in gpu.events] == [PAGEABLE] * 4
        gpu.clear()
        x.pin_memory().to(CUDA)
        x.pin_memory()[1:].to(CUDA, non_blocking=True)
        torch.empty(3, device=CUDA).copy_(x.pin_memory(), non_blocking=True)
        torch.empty(3, device=CUDA).fill_(0.5)
        torch.empty(3, device=CUDA) * torch.tensor(2.0)  # a number goes along with the kernel
        assert [event.kind for event in gpu.events] == [WAIT, PINNED, PINNED]
    assert x.device.type == "cpu" and not torch.cuda.is_available()


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x[torch.tensor([0, 1])],
        lambda x: torch.cuda.synchronize(),
        lambda x: float(x.sum()),
        lambda x: x.nonzero(),
        lambda x: bool((x > 0).all()),
    ],
)
def test_what_waits_is_seen(act):
    with fake_cuda() as gpu:
        x = torch.rand(4).pin_memory().to(CUDA, non_blocking=True)
        gpu.clear()
        with suppress(RuntimeError):  # there are no values to give a shape
            act(x)
        assert gpu.of(WAIT, PAGEABLE)


def test_recording_is_told():
    with fake_cuda() as gpu:
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            torch.ones(2).to(CUDA)
        torch.ones(2).to(CUDA)
        assert [event.recording for event in gpu.events] == [True, False]


def test_gradients_are_those_of_torch():
    """On the CPU, where there are numbers: a leaf used twice, a broadcast, a written-out norm."""
    torch.manual_seed(0)
    conv, norm, line = nn.Conv2d(2, 3, 3), SampleNorm(3), nn.Linear(3, 2)
    x = torch.rand(2, 2, 6, 6, requires_grad=True)
    leaves = [x, *conv.parameters(), *norm.parameters(), *line.parameters()]

    def loss():
        y = norm(conv(F.pad(x, (1,) * 4, "reflect"))).relu()
        a, b = line(y.mean((2, 3))).chunk(2)
        return (a * b).sum() + conv(x).square().mean() + line.bias.sum()

    expected = torch.autograd.grad(loss(), leaves)
    found = _grad(loss(), leaves)
    for one, two in zip(expected, found, strict=True):
        torch.testing.assert_close(one, two)
    _backward(loss(), inputs=[x])
    torch.testing.assert_close(x.grad, expected[0])
    assert conv.weight.grad is None
    _backward(loss())
    torch.testing.assert_close(x.grad, 2 * expected[0])
    torch.testing.assert_close(line.bias.grad, expected[-1])
