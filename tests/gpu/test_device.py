"""Parity on a GPU: with the CPU, of a graph with the step it was made of, of other precisions.

``pytest -m gpu tests`` runs them where there is one. On the CPU, where both sides are the same,
they show that they can be run; ``test_fake_cuda*.py`` see what a CPU alone can see of a GPU.
"""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from bench.api import A2B, Context
from bench.metrics.networks import squared_distances
from bench.nn.precision import float32
from bench.training.capture import WARMUP
from tests import networks
from tests.gpu.test_fake_cuda_neural_style import method_of as neural_style_of
from tests.methods.test_munit_capture import Fake
from tests.trainers import DEVICES, METHODS, SIDE, method_of, trainer_of

CPU = torch.device("cpu")
on_each_device = pytest.mark.parametrize("device", DEVICES)
of_each_method = pytest.mark.parametrize("name", METHODS)


class _FakeOnCPU(Fake):
    """The fake with the arguments of the real one."""

    def __init__(self, function, device, *, enabled=True, recording=None, on_fallback=None):
        super().__init__(function)
        self.enabled = enabled
        self.recording, self.on_fallback = recording, on_fallback

    def _capture(self):
        super()._capture()
        return mock.Mock()


@pytest.fixture(autouse=True)
def _flags():
    """In full precision, whatever a test leaves on for the whole process."""
    with float32("fp32"):
        yield


def _trainer(name, ctx, **options):
    # Dropout draws otherwise on every device, and in a graph.
    more = {"dropout": False} if name == "bicyclegan" else {}
    return trainer_of(name, ctx, **more, **options)[0]


def _losses(trainer, steps):
    told = [torch.stack(list(trainer.step(i, 100).values())).cpu() for i in range(steps)]
    return torch.stack(told)


def _kernels(trainer):
    """All weights but biases: before a norm their gradients are rounding, which Adam enlarges."""
    weights = [p for m in trainer.modules.values() for p in m.parameters() if p.ndim > 1]
    return torch.cat([weight.detach().flatten().cpu() for weight in weights])


@on_each_device
@of_each_method
def test_a_captured_training_equals_an_eager_one(name, device, monkeypatch):
    if device == "cpu":  # the calls that touch a GPU are replaced, and no more
        monkeypatch.setattr("bench.training.trainer.CapturedStep", _FakeOnCPU)
    found, warnings = [], []
    for capture in (False, True):
        ctx = Context(torch.device(device), emit=warnings.append)
        trainer = _trainer(name, ctx, capture=capture, ema=0.9)
        start = _kernels(trainer)
        losses = _losses(trainer, WARMUP + 5)
        assert trainer.runs[0].captured == capture
        trainer.close()
        assert not trainer.runs[0].captured
        found.append((losses, _kernels(trainer) - start))
    assert warnings == []
    (losses, moved), (captured, moved_too) = found
    torch.testing.assert_close(captured, losses, rtol=5e-3, atol=1e-3)
    assert (moved_too - moved).norm() < 0.05 * moved.norm() != 0


@on_each_device
@of_each_method
def test_a_step_is_that_of_the_cpu(name, device):
    here, there = (
        _losses(_trainer(name, Context(one), capture=False), 3)
        for one in (CPU, torch.device(device))
    )
    torch.testing.assert_close(there, here, rtol=2e-3, atol=1e-3)


@on_each_device
@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 0.02), ("bf16", 0.1)])
@of_each_method
def test_a_step_of_less_precision_is_near(name, precision, tolerance, device):
    full, less = (
        _losses(_trainer(name, Context(torch.device(device), precision=one)), 1)
        for one in ("fp32", precision)
    )
    torch.testing.assert_close(less, full, rtol=tolerance, atol=tolerance)


@on_each_device
@of_each_method
def test_translations_are_those_of_the_cpu(name, device):
    """In float32, each for itself as well as all at once."""
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    seeds = torch.arange(6).view(3, 2)
    here = method_of(name, Context(CPU))
    there = method_of(name, Context(torch.device(device)))
    expected = here.translate(images, A2B, samples=2, seeds=seeds)
    found = there.translate(images.to(device), A2B, samples=2, seeds=seeds)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=2e-3)
    single = there.translate(images[1:2].to(device), A2B, samples=1, seeds=seeds[1:2, 1:])
    torch.testing.assert_close(single[0, 0], found[1, 1], rtol=0, atol=2e-3)


@on_each_device
def test_neural_style_is_that_of_the_cpu(device):
    torch.manual_seed(0)
    images, pool = torch.rand(1, 3, 32, 32), torch.randint(0, 256, (3, 3, 32, 32))
    found = []
    for one in (CPU, torch.device(device)):
        method = neural_style_of(Context(one), iterations=3)
        method.use_exemplars(pool.byte().to(one), A2B)
        found.append(method.translate(images.to(one), A2B, samples=1, seeds=torch.tensor([[7]])))
    torch.testing.assert_close(found[1].cpu(), found[0], rtol=0, atol=1e-2)


@on_each_device
def test_what_networks_say_is_what_they_say_on_the_cpu(device):
    """Features and distances agree to the 1e-3 that numbers made of them are good for."""
    pictures = torch.randint(
        0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    features, distances = [], []
    for one in (CPU, torch.device(device)):
        described = networks.find(["efficientnet-lite0"]).build(one).describe(pictures)
        features.append(torch.cat(described, 1).cpu())
        embedded = networks.find(["st-lpips-alex"]).build(one).embed(pictures)
        assert embedded.device.type == one.type
        distances.append(squared_distances(embedded))
    change = (features[1] - features[0]).norm() / features[0].norm()
    assert change < 1e-3 and distances[1] == pytest.approx(distances[0], rel=1e-3)


@on_each_device
def test_a_trainer_gives_back_its_memory(device):
    """A graph in a circle of references would keep all that it holds."""
    for capture in (True, False):
        trainer = _trainer("munit", Context(torch.device(device)), capture=capture)
        _losses(trainer, WARMUP + 2)
        held = torch.cuda.memory_allocated() if device == "cuda" else 1
        trainer.close()
        assert trainer.runs[0]._outputs == {}
        if device == "cuda":
            assert torch.cuda.memory_allocated() < held
