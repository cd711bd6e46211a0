"""Where a GPU may round: convolutions and Gram matrices, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench.api import Context
from bench.metrics.networks import Networks
from bench.nn.precision import (
    apply_float32_policy,
    float32,
    products_like_convolutions,
)
from bench.testing.metrics import toy_scoring_data
from tests.fake_cuda import CUDA, WAIT, fake_cuda
from tests.trainers import METHODS, trainer_of


def flags():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def _restored():
    before = flags()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("before", [(True, True), (True, False), (False, True), (False, False)])
def test_settings_are_put_back(before):
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    for precision, convolutions in (("fp32", False), ("tf32", True), ("bf16", True)):
        with float32(precision):
            assert flags() == (convolutions, False)
            with products_like_convolutions():
                assert flags() == (convolutions, convolutions)
            assert flags() == (convolutions, False)
        assert flags() == before
    with pytest.raises(KeyError), float32("fp32"), products_like_convolutions():
        raise KeyError
    assert flags() == before


@pytest.mark.usefixtures("_restored")
def test_the_policy_is_for_gpus_and_never_for_products():
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, True
    apply_float32_policy(Context(torch.device("cpu"), precision="fp32"))
    assert flags() == (True, True)
    apply_float32_policy(Context(CUDA, precision="tf32"))
    assert flags() == (True, False)
    apply_float32_policy(Context(CUDA, precision="fp32"))
    assert flags() == (False, False)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_a_trained_step_multiplies_in_full_precision(name, precision):
    with fake_cuda() as gpu:
        ctx = Context(CUDA, precision=precision)
        trainer, _ = trainer_of(name, ctx)
        trainer.step(0, 100)
        assert not any(product.tf32 for product in gpu.products)
        if name in ("munit", "cut"):  # style MLP and sums of norms; heads and cosines
            assert gpu.products
            assert {product.dtype for product in gpu.products} == {torch.float32}


@pytest.mark.usefixtures("_restored")
def test_networks_behind_numbers_compute_in_full_precision(monkeypatch):
    """Whatever the trial left on for the whole process, and it is on again afterwards."""
    seen = []

    class Network:
        preprocessing, smallest = "as they are", 1

        def describe(self, images):
            seen.append(flags())
            return torch.ones(len(images), 2), torch.ones(len(images), 1)

        def embed(self, images):
            seen.append(flags())
            return torch.ones(len(images), 4)

    data = toy_scoring_data()
    pictures = [samples[0] for samples in data.outputs.values()]
    networks = Networks(
        {}, device=CUDA, weights_dir=None, offline=True, cache=None, emit=lambda event: None
    )
    monkeypatch.setattr(networks, "build", lambda chosen: Network())
    chosen = SimpleNamespace(name="net", digest="d", spec=SimpleNamespace(version="1"))
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, True
    networks.described(pictures, chosen)
    networks.distances(pictures, chosen)
    assert set(seen) == {(False, False)} and len(seen) >= 2
    assert flags() == (True, True)


def test_pairs_are_compared_on_the_device(monkeypatch):
    """What leaves it are distances, not what the network gave; their products are exact."""

    class Network:
        preprocessing, smallest = "as they are", 1

        def embed(self, images):
            return torch.ones(len(images), 4).pin_memory().to(CUDA, non_blocking=True)

    data = toy_scoring_data()
    pictures = [samples[0] for samples in data.outputs.values()]
    chosen = SimpleNamespace(name="net", digest="d", spec=SimpleNamespace(version="1"))
    with fake_cuda() as gpu:
        networks = Networks(
            {}, device=CUDA, weights_dir=None, offline=True, cache=None, emit=lambda event: None
        )
        monkeypatch.setattr(networks, "build", lambda chosen: Network())
        torch.backends.cuda.matmul.allow_tf32 = True
        networks.distances(pictures, chosen)
        (product,) = gpu.products
        assert not product.tf32
        # Are all values finite, and the distances themselves.
        assert len(gpu.of(WAIT)) == 2
