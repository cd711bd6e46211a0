"""A training step of each method: ours in either precision, and the plain published one."""

from __future__ import annotations

import copy
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any
from unittest import mock

import torch

from bench.api import Context, Precision
from bench.storage.models import read_card
from bench.suite.counting import Work, counting
from bench.training.seeding import normal
from bench_cut.step import Networks as CUTNetworks
from bench_munit.step import Styles
from tests.methods import bicyclegan_oracle, cut_oracle, cyclegan_oracle, munit_oracle
from tests.trainers import pictures, trainer_of

Step = Callable[[], object]

IMAGES = 8


@dataclass(frozen=True)
class Case:
    """A training of which one step is timed.

    Parameters
    ----------
    method
        Its name.
    recipe
        ``paper`` for published widths, ``small`` for those of the weights that are shipped.
    side, batch
        So many pixels a side, so many pictures in a batch.
    """

    method: str
    recipe: str
    side: int
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.method} {self.recipe} {self.side} px, batch {self.batch}"

    def options(self) -> dict[str, Any]:
        """Return what the method's configuration is given."""
        widths: dict[str, Any] = {}
        if self.recipe == "small":
            package = Path(importlib.import_module(f"bench_{self.method}").__path__[0])
            card = next((package / "weights").glob(f"{self.method}-seasons-*.json"))
            widths = read_card(card).training.config
        if self.method == "munit":
            pixels: dict[str, Any] = {"crop_size": self.side}
        else:
            pixels = {"load": None, "crop": None}
        if self.method == "bicyclegan":
            pixels["depth"] = self.side.bit_length() - 1  # down to one pixel, as at 256
        return widths | pixels | {"batch_size": self.batch}

    def trainer(self, precision: Precision, data: Any = None) -> Any:
        """Return what trains it on noise."""
        ctx = Context(torch.device("cpu"), precision=precision)
        data = data or pictures(IMAGES, self.side)
        return trainer_of(self.method, ctx, small=False, data=data, **self.options())[0]

    def step(self, kind: str) -> Step:
        """Return a step to be called again and again: ``fp32``, ``bf16``, or ``plain``."""
        if kind == "plain":
            return _plain(self)
        trainer = self.trainer("bf16" if kind == "bf16" else "fp32")
        done = iter(range(1 << 30))
        return lambda: trainer.step(next(done), None)

    def work(self, kind: str) -> Work:
        """Return what a step has to compute, counted on pictures without pixels."""
        data = pictures(IMAGES, self.side)
        with counting() as (mode, watch):
            fake = type(data)(
                mode.from_tensor(data.a), mode.from_tensor(data.b), data.domains, paired=True
            )
            trainer = self.trainer("bf16" if kind == "bf16" else "fp32", fake)
            trainer.step(0, None)
            before = watch.work
            trainer.step(1, None)
            return watch.work - before


def interleaved(steps: Mapping[str, Step], rounds: int, warm: int = 1) -> dict[str, float]:
    """Return the seconds of each step: what else the machine does hits all of them alike.

    The lower quartile over rounds, because other work only adds; the first rounds warm up.
    """
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for _ in range(warm + rounds):
        for kind, step in steps.items():
            begun = time.perf_counter()
            step()
            times[kind].append(time.perf_counter() - begun)
    return {kind: quantiles(found[warm:], n=4)[0] for kind, found in times.items()}


def profile(step: Step, most: int = 8) -> dict[str, float]:
    """Return the share of a step's time that operators take themselves, the dearest ones."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step()
    own = {row.key: row.self_cpu_time_total for row in seen.key_averages()}
    dearest = sorted(own, key=lambda name: -own[name])[:most]
    return {name: own[name] / sum(own.values()) for name in dearest}


def _plain(case: Case) -> Step:
    """The published order, one network call after the other, with the library's operators."""
    step = {"munit": _munit, "cyclegan": _cyclegan, "cut": _cut, "bicyclegan": _bicyclegan}

    run = step[case.method.removeprefix("fast")](case)

    def plain() -> None:
        with mock.patch("bench.nn.winograd.best_tile", lambda x, weight: 0):
            run()

    return plain


def _munit(case: Case) -> Step:
    config = case.trainer("fp32").config
    assert case.recipe == "paper", "the plain networks are those of the paper"
    gens = [munit_oracle.Gen(config.gen_dim, config.mlp_dim) for _ in "ab"]
    diss = [munit_oracle.Dis(config.dis_dim) for _ in "ab"]
    optimizers = [
        munit_oracle.adam(p for m in parts for p in m.parameters()) for parts in (gens, diss)
    ]
    draws = torch.Generator().manual_seed(0)
    shape = (case.batch, 3, case.side, case.side)
    images = [torch.rand(shape, generator=draws) * 2 - 1 for _ in "ab"]
    styles = Styles(*(torch.randn(case.batch, 8, 1, 1, generator=draws) for _ in range(4)))
    return lambda: munit_oracle.step(gens, diss, *optimizers, *images, styles)


def _cyclegan(case: Case) -> Step:
    trainer = case.trainer("fp32")
    config = trainer.config
    norm = cyclegan_oracle.LibraryNorm
    nets = {
        name: cyclegan_oracle.use_plain_norms(copy.deepcopy(net), norm)
        for name, net in trainer.modules.items()
    }
    adam = {"lr": config.lr, "betas": (config.beta1, 0.999)}
    gen, dis = (
        torch.optim.Adam([p for name in names for p in nets[name].parameters()], **adam)
        for names in (("a2b", "b2a"), ("dis_a", "dis_b"))
    )
    pools = {"a": cyclegan_oracle.PlainPool(), "b": cyclegan_oracle.PlainPool()}
    done = iter(range(1 << 30))

    def step() -> None:
        at = next(done)
        images = [trainer.images(domain, at) for domain in ("a", "b")]
        decisions = {d: p.decide(at, case.batch).tolist() for d, p in trainer.pools.items()}
        cyclegan_oracle.plain_step(nets, gen, dis, *images, pools, decisions, config)

    return step


def _cut(case: Case) -> Step:
    trainer = case.trainer("fp32")
    config = trainer.config
    channels = [channels for channels, _, _ in trainer.shapes]
    adam = {"lr": config.lr, "betas": (config.beta1, 0.999)}
    plain = {}
    for direction in trainer.nets:
        nets = CUTNetworks(
            cut_oracle.Gen(config.ngf, config.n_blocks, norm=cyclegan_oracle.LibraryNorm),
            cut_oracle.Dis(config.ndf, config.n_layers_d, norm=cyclegan_oracle.LibraryNorm),
            cut_oracle.Heads(channels, config.head_width),
        )
        weights = [*nets.gen.parameters(), *nets.heads.parameters()]
        optimizers = {
            "gen": torch.optim.Adam(weights, **adam),
            "dis": torch.optim.Adam(nets.dis.parameters(), **adam),
        }
        plain[direction] = ((nets.gen, nets.dis, nets.heads), optimizers)
    done = iter(range(1 << 30))

    def step() -> None:
        at = next(done)
        images = [trainer.images(domain, at) for domain in ("a", "b")]
        positions, mirrored = trainer.positions(at), trainer.mirrored(at)
        for row, (direction, (parts, optimizers)) in enumerate(plain.items()):
            ids = [part[row, term] for term in range(positions[0].shape[1]) for part in positions]
            pair = images if direction == "a2b" else images[::-1]
            cut_oracle.plain_step(*parts, optimizers, *pair, ids, config, mirrored)

    return step


def _bicyclegan(case: Case) -> Step:
    trainer = case.trainer("fp32")
    config = trainer.config
    plain = {}
    for direction in trainer.nets:
        nets = {
            name: bicyclegan_oracle.use_plain_norms(
                copy.deepcopy(trainer.modules[f"{direction}.{name}"])
            )
            for name in ("gen", "enc", "dis", "dis2")
        }
        adam = {"lr": config.lr, "betas": (config.beta1, 0.999)}
        plain[direction] = (
            nets,
            {name: torch.optim.Adam(net.parameters(), **adam) for name, net in nets.items()},
        )
    done = iter(range(1 << 30))

    def step() -> None:
        at = next(done)
        a, b = (trainer.images(domain, at) for domain in ("a", "b"))
        draws = normal((2, 2, case.batch // 2, config.nz), 0, "bicyclegan", "codes", at)
        for (direction, (nets, optimizers)), codes in zip(plain.items(), draws, strict=True):
            pair = (a, b) if direction == "a2b" else (b, a)
            bicyclegan_oracle.plain_step(nets, optimizers, *pair, *codes, config)

    return step
