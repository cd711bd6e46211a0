"""Neural style on a GPU, as far as a machine without one can see it."""

from __future__ import annotations

import pytest
import torch

from bench.api import A2B, Context
from bench_neural_style.config import NeuralStyleConfig
from bench_neural_style.method import NeuralStyle
from bench_neural_style.step import minimise, objective_for
from tests.fake_cuda import CUDA, PAGEABLE, PINNED, WAIT, fake_cuda

SMALL = {
    "vgg_weights": "embedded",
    "content_layers": {"relu2_1": 1.0},
    "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0},
    "tv_weight": 1.0,
    "iterations": 6,
    "exemplars": 2,
    "history": 3,
}


def method_of(ctx, **options):
    method = NeuralStyle(NeuralStyleConfig(**SMALL | options), ctx)
    method.use_exemplars(torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8), A2B)
    return method


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_an_iteration_waits_for_nothing(optimizer, precision):
    seen = []
    with fake_cuda() as gpu:
        method = method_of(Context(CUDA, precision=precision), optimizer=optimizer)
        network = method._network(A2B)
        content, styles = (torch.rand(shape, device=CUDA) for shape in ((2, 3, 32, 32),) * 2)
        objective = objective_for(
            network, method.config, content, styles[:, None].expand(-1, 2, -1, -1, -1)
        )

        def look(iteration, x, losses):
            seen.append([event.kind for event in gpu.events])
            gpu.clear()

        out = minimise(objective, content, 6, on_step=look)
        assert out.shape == content.shape and out.device == CUDA
    assert seen[1:] == [[]] * 5


def test_a_chunk_of_outputs_is_sent_once_and_checked_once():
    with fake_cuda() as gpu:
        method = method_of(Context(CUDA), init="noise", scales=(0.5, 1.0))
        images, seeds = torch.rand(2, 3, 32, 32, device=CUDA), torch.tensor([[1], [2]])
        method.translate(images, A2B, samples=1, seeds=seeds)  # the network is made
        gpu.clear()
        method.translate(images, A2B, samples=1, seeds=seeds)
        assert gpu.of(PAGEABLE) == []
        sent = [event.what for event in gpu.of(PINNED)]
        # Exemplars, noise, and how exemplars are weighed, at both sizes.
        assert len(sent) == 4 and sum("(2, 2, 3, 32, 32) torch.uint8" in what for what in sent) == 1
        # The last iteration's losses are shown; and are all outputs finite?
        assert {event.where.split(":")[0] for event in gpu.of(WAIT)} == {
            "methods/bench_neural_style/method.py"
        }


def test_only_gram_matrices_may_be_rounded():
    with fake_cuda() as gpu:
        for precision, allowed in (("fp32", False), ("tf32", True), ("bf16", True)):
            method = method_of(Context(CUDA, precision=precision))
            images = torch.rand(1, 3, 32, 32, device=CUDA)
            gpu.clear()
            method.translate(images, A2B, samples=1, seeds=torch.tensor([[1]]))
            found = set()
            for product in gpu.products:
                files = [line.rpartition("/")[2].split(":")[0] for line in product.where]
                found.add(("lbfgs.py" if "lbfgs.py" in files else files[0], product.tf32))
                assert product.dtype in (torch.float32, torch.float64)
            assert found == {("lbfgs.py", False), ("losses.py", allowed)}
            assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.backends.cudnn.allow_tf32 == allowed
