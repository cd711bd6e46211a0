"""One MUNIT iteration: the fast step against the plain one in the reference order.

``pytest tests/speed/test_munit_speed.py --benchmark-enable`` prints both times at the paper's
widths; the last test holds the fast one to a margin. ``MUNIT_PROFILE=1 … -s -k profile`` prints
what the fast one is spent on.
"""

from __future__ import annotations

import os
import statistics
import time

import pytest
import torch

from bench_munit.config import MUNITConfig
from bench_munit.networks import Discriminator, Generator
from bench_munit.step import Networks, Styles, train_step
from tests.methods import munit_oracle as oracle

SIZE = 128
CONFIG = MUNITConfig()


class Steps:
    """Both steps at the paper's widths on the same images; built when first asked for."""

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(0)
        self.images = [torch.rand(1, 3, SIZE, SIZE, generator=draws) * 2 - 1 for _ in "ab"]
        self.styles = Styles(*(torch.randn(1, 8, 1, 1, generator=draws) for _ in range(4)))
        self.nets = Networks(
            Generator(CONFIG), Generator(CONFIG), Discriminator(CONFIG), Discriminator(CONFIG)
        )
        adam = {"lr": 1e-4, "betas": (0.5, 0.999), "weight_decay": 1e-4, "fused": True}
        self.optimizers = {
            "gen": torch.optim.Adam(list(self.nets.generator_parameters()), **adam),
            "dis": torch.optim.Adam(list(self.nets.discriminator_parameters()), **adam),
        }
        self.gens = [oracle.Gen(64, 256) for _ in "ab"]
        self.diss = [oracle.Dis(64) for _ in "ab"]
        self.opt_gen = oracle.adam(p for m in self.gens for p in m.parameters())
        self.opt_dis = oracle.adam(p for m in self.diss for p in m.parameters())

    def fast(self) -> None:
        train_step(self.nets, self.optimizers, *self.images, self.styles, CONFIG)

    def reference(self) -> None:
        oracle.step(self.gens, self.diss, self.opt_gen, self.opt_dis, *self.images, self.styles)


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps()


@pytest.mark.nightly
@pytest.mark.benchmark(group=f"munit iteration {SIZE}x{SIZE}, paper widths")
@pytest.mark.parametrize("kind", ["fast", "reference"])
def test_iteration(benchmark, steps, kind):
    if not benchmark.enabled:
        pytest.skip("a benchmark: run with --benchmark-enable")
    benchmark.pedantic(getattr(steps, kind), rounds=10, warmup_rounds=2)


@pytest.mark.nightly
def test_the_fast_step_is_faster(steps, record_property, capsys):
    """Interleaved rounds, so that whatever else the machine does hits both alike."""
    times: dict[str, list[float]] = {"fast": [], "reference": []}
    for _ in range(6):
        for kind, seconds in times.items():
            begun = time.perf_counter()
            getattr(steps, kind)()
            seconds.append(time.perf_counter() - begun)
    # The first round warms up; the lower half, because other work only adds.
    quick = {kind: statistics.mean(sorted(t[1:])[:3]) for kind, t in times.items()}
    ratio = quick["reference"] / quick["fast"]
    record_property("speedup", round(ratio, 3))
    with capsys.disabled():
        print(
            f"\n  fast {1e3 * quick['fast']:.0f} ms, reference order "
            f"{1e3 * quick['reference']:.0f} ms: {ratio:.2f} times as fast"
        )
    assert ratio > 1.45


@pytest.mark.nightly
@pytest.mark.skipif("MUNIT_PROFILE" not in os.environ, reason="on demand: set MUNIT_PROFILE=1")
def test_profile(steps, capsys):
    steps.fast()
    with torch.profiler.profile() as profile:
        steps.fast()
    table = profile.key_averages().table("self_cpu_time_total", row_limit=12)
    with capsys.disabled():
        print(table)
    assert "aten::bmm" in table  # where Winograd's products are
