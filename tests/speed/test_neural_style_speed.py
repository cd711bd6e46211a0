"""Batched neural style against torch.optim.LBFGS, image by image.

``pytest tests/speed/test_neural_style_speed.py --benchmark-enable`` prints both times for
8 pictures of 128² and 50 iterations; ``NEURAL_STYLE_PROFILE=1`` adds a profile of what is left.
"""

from __future__ import annotations

import os
import statistics
import time

import pytest
import torch
import torch.nn.functional as F

from bench_neural_style.config import LAYERS, NeuralStyleConfig
from bench_neural_style.networks import Weights, network_for
from bench_neural_style.step import minimise, objective_for

CONFIG = NeuralStyleConfig(recipe="notebook")
SIZE = 128
_WIDTHS = (64, 128, 256, 512, 512)


def vgg19():
    """VGG-19 at its real widths with He-initialised kernels: speed does not see the values."""
    g = torch.Generator().manual_seed(0)
    kernels, biases, before = [], [], 3
    for name in LAYERS:
        width = _WIDTHS[int(name[4]) - 1]
        kernels.append(torch.randn(width, before, 3, 3, generator=g) * (2 / (9 * before)) ** 0.5)
        biases.append(torch.zeros(width))
        before = width
    return Weights(tuple(kernels), tuple(biases), (123.68, 116.779, 103.939))


def pictures(count, seed):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 9, generator=g) * 255
    return F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")


class Plain:
    """As the method is usually written: conv, ReLU, pool, Gram, one image, torch's L-BFGS."""

    def __init__(self, weights):
        self.weights = weights
        self.mean = torch.tensor(weights.mean)[:, None, None]

    def features(self, x, names):
        x, found = x - self.mean, {}
        for name, kernel, bias in zip(
            LAYERS, self.weights.kernels, self.weights.biases, strict=True
        ):
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, kernel, bias, padding=1))
            if name in names:
                found[name] = x
            if len(found) == len(names):
                return found
        return found

    @staticmethod
    def gram(f):
        rows = f.flatten(2)
        return rows @ rows.transpose(1, 2) / rows.shape[2]

    def run(self, content, style, iterations):
        with torch.no_grad():
            want = self.features(content, list(CONFIG.content_layers))
            like = {
                n: self.gram(f) for n, f in self.features(style, list(CONFIG.style_layers)).items()
            }
        x = content.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([x], lr=1, max_iter=20, history_size=100)
        names = {*want, *like}
        calls = 0

        def closure():
            nonlocal calls
            calls += 1
            optimizer.zero_grad()
            found = self.features(x, names)
            loss = sum(w * F.mse_loss(found[n], want[n]) for n, w in CONFIG.content_layers.items())
            loss = loss + sum(
                w * F.mse_loss(self.gram(found[n]), like[n]) for n, w in CONFIG.style_layers.items()
            )
            loss.backward()
            return loss

        while calls < iterations:
            optimizer.step(closure)
        return x.detach()


class Runs:
    """Both ways over the same pictures."""

    def __init__(self, count):
        weights = vgg19()
        self.network, self.plain = network_for(CONFIG, weights), Plain(weights)
        self.content, self.style = pictures(count, 1), pictures(count, 2)

    def batched(self, iterations, chunk=4):
        """In the chunks the method itself takes on a CPU."""
        for first in range(0, len(self.content), chunk):
            part = slice(first, first + chunk)
            objective = objective_for(
                self.network, CONFIG, self.content[part], self.style[part, None]
            )
            minimise(objective, self.content[part], iterations)

    def one_by_one(self, iterations):
        for row in range(len(self.content)):
            part = slice(row, row + 1)
            self.plain.run(self.content[part], self.style[part], iterations)


@pytest.fixture(scope="module")
def eight():
    return Runs(8)


def test_batched(benchmark, eight):
    if not benchmark.enabled:
        pytest.skip("a benchmark: run with --benchmark-enable")
    benchmark.pedantic(eight.batched, args=(50,), rounds=1, warmup_rounds=0)


def test_one_by_one(benchmark, eight):
    if not benchmark.enabled:
        pytest.skip("a benchmark: run with --benchmark-enable")
    benchmark.pedantic(eight.one_by_one, args=(50,), rounds=1, warmup_rounds=0)


def _ratio(runs, iterations, rounds):
    """Median over interleaved rounds of plain time / our time."""
    runs.batched(2)
    runs.one_by_one(2)
    ratios = []
    for _ in range(rounds):
        begun = time.perf_counter()
        runs.batched(iterations)
        middle = time.perf_counter()
        runs.one_by_one(iterations)
        ratios.append((time.perf_counter() - middle) / (middle - begun))
    return statistics.median(ratios)


@pytest.mark.nightly
def test_faster_than_image_by_image():
    """At 8 iterations a cheap lower bound: the longer the history, the larger the gain."""
    assert _ratio(Runs(4), 8, 3) >= 1.15


@pytest.mark.nightly
def test_one_image_is_not_slower():
    assert _ratio(Runs(1), 8, 3) >= 1.0


@pytest.mark.skipif("NEURAL_STYLE_PROFILE" not in os.environ, reason="prints a profile on request")
def test_profile_of_what_is_left(eight):
    from torch.profiler import ProfilerActivity, profile

    eight.batched(2)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        eight.batched(10)
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))
