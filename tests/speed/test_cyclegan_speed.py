"""One CycleGAN iteration: the batched step against the plain published one.

``pytest tests/speed/test_cyclegan_speed.py --benchmark-enable`` prints both times; the last
test holds the batched one to being faster.
"""

from __future__ import annotations

import copy
import statistics
import time

import pytest
import torch

from bench.api import Context, TrainData
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN, CycleGANTrainer
from tests.methods import cyclegan_oracle as oracle

CONFIG = CycleGANConfig(ngf=16, ndf=16, n_blocks=4, load=None, crop=None)
SIZE = 64


class Steps:
    """Both steps on copies of the same networks and the same images."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        a, b = torch.randint(
            0, 256, (2, 4, 3, SIZE, SIZE), dtype=torch.uint8, generator=rng
        ).unbind()
        ctx = Context(torch.device("cpu"))
        method = CycleGAN(CONFIG, ctx)
        self.trainer = CycleGANTrainer(CONFIG, ctx, method.generators, TrainData(a, b, ("a", "b")))
        self.nets = {
            name: oracle.use_plain_norms(copy.deepcopy(net), oracle.LibraryNorm)
            for name, net in self.trainer.modules.items()
        }
        adam = {"lr": CONFIG.lr, "betas": (CONFIG.beta1, 0.999)}
        gen, dis = (
            [p for name in names for p in self.nets[name].parameters()]
            for names in (("a2b", "b2a"), ("dis_a", "dis_b"))
        )
        self.opt_g, self.opt_d = torch.optim.Adam(gen, **adam), torch.optim.Adam(dis, **adam)
        self.pools = {"a": oracle.PlainPool(), "b": oracle.PlainPool()}
        self.counts = {"batched": 0, "plain": 0}

    def batched(self) -> None:
        self.trainer.step(self.counts["batched"], None)
        self.counts["batched"] += 1

    def plain(self) -> None:
        step = self.counts["plain"]
        images = [self.trainer.images(domain, step) for domain in ("a", "b")]
        decisions = {d: p.decide(step, 1).tolist() for d, p in self.trainer.pools.items()}
        oracle.plain_step(self.nets, self.opt_g, self.opt_d, *images, self.pools, decisions, CONFIG)
        self.counts["plain"] += 1


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps()


@pytest.mark.benchmark(group=f"cyclegan iteration {SIZE}x{SIZE}", warmup=True)
@pytest.mark.parametrize("kind", ["batched", "plain"])
def test_iteration(benchmark, steps, kind):
    benchmark.pedantic(getattr(steps, kind), rounds=12, warmup_rounds=3)


@pytest.mark.nightly
def test_batched_iteration_is_faster(steps, record_property, capsys):
    """Interleaved rounds, so that whatever else the machine does hits both alike."""
    times: dict[str, list[float]] = {"batched": [], "plain": []}
    for _ in range(15):
        for kind, seconds in times.items():
            begun = time.perf_counter()
            getattr(steps, kind)()
            seconds.append(time.perf_counter() - begun)
    # The first rounds warm up; lower quartiles, because other work only adds.
    quick = {kind: statistics.quantiles(t[3:], n=4)[0] for kind, t in times.items()}
    ratio = quick["plain"] / quick["batched"]
    record_property("speedup", round(ratio, 3))
    with capsys.disabled():
        print(
            f"\n  batched {1e3 * quick['batched']:.1f} ms, plain {1e3 * quick['plain']:.1f} ms, "
            f"{ratio:.2f} times as fast"
        )
    assert ratio > 1.0
