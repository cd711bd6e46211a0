"""Trying settings to compute on a pretended GPU: what is taken, and what of it remains."""

from __future__ import annotations

import copy

import pytest
import torch

from bench.api import Budget, Context
from bench.training import tuning
from bench.training.capture import WARMUP
from bench.training.tuning import SETTINGS, Setting, tuned
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN
from tests.fake_cuda import CUDA, fake_cuda
from tests.trainers import METHODS, SIDE, pictures, trainer_of

LONG = Budget(iterations=5000)


class Trying:
    """Gives each setting the seconds it is told, or fails."""

    def __init__(self, monkeypatch, seconds):
        self.seconds, self.seen, self.made = dict(zip(SETTINGS, seconds, strict=True)), [], []
        monkeypatch.setattr(tuning, "_seconds", self.measure)

    def rehearse(self, ctx):
        assert ctx.work_dir is None
        self.made.append(trainer_of("cyclegan", ctx)[0])
        return self.made[-1]

    def measure(self, trainer, device):
        setting = Setting(torch.backends.cudnn.benchmark, _last(trainer))
        self.seen.append(setting)
        if self.seconds[setting] is None:
            raise torch.OutOfMemoryError("no room\nmore")
        return self.seconds[setting]


def _last(trainer):
    weights = [p for m in trainer.modules.values() for p in m.parameters() if p.ndim == 4]
    orders = {p.is_contiguous(memory_format=torch.channels_last) for p in weights if p.shape[1] > 1}
    (last,) = orders
    return last


@pytest.mark.parametrize(
    ("seconds", "taken", "told"),
    [
        ([4, 3, 2, 1], Setting(True, True), "1000.00 ms cuDNN's search and channels last"),
        ([4, 1, 2, 3], Setting(True, False), "taken: cuDNN's search"),
        ([1, 1, 1, 1], Setting(False, False), "taken: as it is"),
        ([4, None, 3, None], Setting(False, True), "(OutOfMemoryError: no room)"),
        ([None] * 4, Setting(False, False), "taken: as it is"),
    ],
)
def test_the_fastest_is_taken_for_as_long_as_the_training(monkeypatch, seconds, taken, told):
    trying, events = Trying(monkeypatch, seconds), []
    before = torch.backends.cudnn.benchmark
    with fake_cuda():
        ctx = Context(CUDA, emit=events.append)
        trainer, _ = trainer_of("cyclegan", ctx)
        with tuned(trainer, trying.rehearse, ctx, LONG):
            assert trying.seen == list(SETTINGS)
            assert Setting(torch.backends.cudnn.benchmark, _last(trainer)) == taken
        assert not _last(trainer) and torch.backends.cudnn.benchmark == before
        assert all(made.runs[0].enabled is False for made in trying.made)  # closed
    assert [event.kind for event in events] == ["log"] and told in events[0].message


@pytest.mark.parametrize(
    ("device", "budget", "enabled"),
    [
        (torch.device("cpu"), LONG, True),
        (CUDA, Budget(iterations=4999), True),
        (CUDA, Budget(seconds=599), True),
        (CUDA, LONG, False),
    ],
)
def test_it_is_not_tried_where_it_does_not_pay(device, budget, enabled):
    def refuse(ctx):
        raise AssertionError

    with tuned(None, refuse, Context(device), budget, enabled=enabled):
        pass


def test_what_is_timed_is_the_settled_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tuning.time, "monotonic", lambda: now[0])

    class Slow:
        def __init__(self, seconds):
            self.seconds, self.seen = seconds, []

        def step(self, iteration, total):
            self.seen.append((iteration, total))
            now[0] += 7.0 if iteration < WARMUP + 4 else self.seconds

        @property
        def settled(self):
            return len(self.seen) >= WARMUP + 4

    with fake_cuda():
        for seconds in (0.01, 0.2, 3.0):
            trainer = Slow(seconds)
            assert tuning._seconds(trainer, CUDA) == pytest.approx(seconds)
            assert trainer.seen == [(i, None) for i in range(len(trainer.seen))]
        assert len(trainer.seen) == WARMUP + 4 + 4


@pytest.mark.parametrize("name", METHODS)
def test_a_step_may_have_its_channels_last(name):
    """The pretended Adam refuses averages and gradients that lie otherwise than weights."""
    with fake_cuda():
        trainer, _ = trainer_of(name, Context(CUDA), ema=0.9)
        with Setting(False, True).used(trainer.modules):
            for iteration in range(WARMUP + 2):
                trainer.step(iteration, 100)
            assert trainer.runs[0].captured and _last(trainer)


def test_a_method_tries_on_copies(monkeypatch):
    """On the CPU, where weights have values: those of the method stay as they are."""
    tried = []

    def look(setting, trainer, device):
        for module in trainer.modules.values():
            for p in module.parameters():
                p.data.zero_()
        tried.append(setting)
        raise RuntimeError

    monkeypatch.setattr(tuning, "_rehearsed", look)
    monkeypatch.setattr(tuning, "_pays", lambda budget: True)
    ctx = Context(torch.device("cpu"))
    config = CycleGANConfig(ngf=4, n_blocks=1, ndf=4, load=None, crop=SIDE, pool_size=2)
    states = []
    for tries in (False, True):
        method = CycleGAN(config, ctx)
        if tries:
            kept = tuning._fastest
            monkeypatch.setattr("bench.training.resnet_method.tuned", _always(kept))
        method.fit(pictures(), Budget(iterations=2))
        states.append(copy.deepcopy(method.state_dict()))
    assert tried == list(SETTINGS)
    assert all(torch.equal(x, states[1][key]) for key, x in states[0].items())


def _always(fastest):
    """`tuned` on any device."""

    def tuned_here(trainer, rehearse, ctx, budget, *, enabled):
        return fastest(rehearse, ctx).used(trainer.modules)

    return tuned_here
