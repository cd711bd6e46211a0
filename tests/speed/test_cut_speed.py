"""One iteration of CUT and of FastCUT: the step of the package against the plain published one.

``pytest tests/speed/test_cut_speed.py --benchmark-enable`` prints the times; the last test holds
the package's to being faster.
"""

from __future__ import annotations

import statistics
import time

import pytest
import torch

from bench.api import Context, TrainData
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cut.method import CUT, CUTTrainer
from bench_cut.step import Networks
from tests.methods import cut_oracle as oracle
from tests.methods.cyclegan_oracle import LibraryNorm

WIDTHS = {"ngf": 16, "ndf": 16, "n_blocks": 9, "head_width": 64, "load": None, "crop": None}
CONFIGS = {"cut": CUTConfig(**WIDTHS), "fastcut": FastCUTConfig(**WIDTHS)}
SIZE = 64


class Steps:
    """Both steps in one direction, on the same weights and images."""

    def __init__(self, config: CUTConfig) -> None:
        self.config = config
        rng = torch.Generator().manual_seed(0)
        a, b = torch.randint(
            0, 256, (2, 4, 3, SIZE, SIZE), dtype=torch.uint8, generator=rng
        ).unbind()
        ctx = Context(torch.device("cpu"))
        method = CUT(config, ctx, ("a2b",))
        self.trainer = CUTTrainer(config, ctx, method.generators, TrainData(a, b, ("a", "b")))
        ours = self.trainer.nets["a2b"]
        channels = [channels for channels, _, _ in self.trainer.shapes]
        self.nets = Networks(
            oracle.Gen(config.ngf, config.n_blocks, norm=LibraryNorm),
            oracle.Dis(config.ndf, config.n_layers_d, norm=LibraryNorm),
            oracle.Heads(channels, config.head_width),
        )
        self.parts = (self.nets.gen, self.nets.dis, self.nets.heads)
        for part, mine in zip(self.parts, (ours.gen, ours.dis, ours.heads), strict=True):
            part.load_state_dict(mine.state_dict())
        adam = {"lr": config.lr, "betas": (config.beta1, 0.999)}
        weights = [*self.nets.gen.parameters(), *self.nets.heads.parameters()]
        self.optimizers = {
            "gen": torch.optim.Adam(weights, **adam),
            "dis": torch.optim.Adam(self.nets.dis.parameters(), **adam),
        }
        self.counts = {"shared": 0, "plain": 0}

    def shared(self) -> None:
        self.trainer.step(self.counts["shared"], None)
        self.counts["shared"] += 1

    def plain(self) -> None:
        step = self.counts["plain"]
        images = [self.trainer.images(domain, step) for domain in ("a", "b")]
        positions = self.trainer.positions(step)
        ids = [at[0, term] for term in range(positions[0].shape[1]) for at in positions]
        mirrored = self.trainer.mirrored(step)
        oracle.plain_step(*self.parts, self.optimizers, *images, ids, self.config, mirrored)
        self.counts["plain"] += 1


@pytest.fixture(scope="module", params=list(CONFIGS))
def steps(request) -> Steps:
    return Steps(CONFIGS[request.param])


@pytest.mark.benchmark(group=f"cut iteration {SIZE}x{SIZE}", warmup=True)
@pytest.mark.parametrize("kind", ["shared", "plain"])
def test_iteration(benchmark, steps, kind):
    benchmark.pedantic(getattr(steps, kind), rounds=12, warmup_rounds=3)


@pytest.mark.nightly
def test_iteration_is_faster_than_the_plain_one(steps, record_property, capsys):
    """Interleaved rounds, so that whatever else the machine does hits both alike."""
    times: dict[str, list[float]] = {"shared": [], "plain": []}
    for _ in range(18):
        for kind, seconds in times.items():
            begun = time.perf_counter()
            getattr(steps, kind)()
            seconds.append(time.perf_counter() - begun)
    # The first rounds warm up; lower quartiles, because other work only adds.
    quick = {kind: statistics.quantiles(t[3:], n=4)[0] for kind, t in times.items()}
    ratio = quick["plain"] / quick["shared"]
    record_property("speedup", round(ratio, 3))
    name = type(steps.config).__name__.removesuffix("Config")
    with capsys.disabled():
        print(
            f"\n  {name}: {1e3 * quick['shared']:.1f} ms, plain {1e3 * quick['plain']:.1f} ms, "
            f"{ratio:.2f} times as fast"
        )
    assert ratio > 1.0
