"""The captured step: its logic, with the three calls that touch CUDA replaced."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import pytest
import torch

from bench.training.capture import WARMUP, CapturedStep, prepare_optimizer


class Fake(CapturedStep):
    """On a CPU: a "capture" keeps the function and a "replay" runs it on the static inputs."""

    def __init__(self, function, fail=False):
        super().__init__(function, torch.device("cpu"))
        self.enabled = True
        self.fail = fail
        self.log = []

    def _warm_up(self):
        self.log.append("warm-up")
        return self.function(*self._inputs)

    def _capture(self):
        self.log.append("capture")
        if self.fail:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return object()

    def _replay(self, graph):
        self.log.append("replay")
        self._outputs = self.function(*self._inputs)


def counting():
    total = torch.zeros(())

    def step(x, y):
        total.add_(x.sum() + y.sum())
        return {"total": total.clone()}

    return step


def inputs(i):
    return torch.full((2,), float(i)), torch.full((1, 3), float(i))


def test_every_call_is_one_real_step_with_its_own_inputs():
    plain, fake = counting(), Fake(counting())
    for i in range(WARMUP + 4):
        assert torch.equal(fake(*inputs(i))["total"], plain(*inputs(i))["total"])
    assert fake.log == ["warm-up"] * WARMUP + ["capture"] + ["replay"] * 4
    assert fake.captured


def test_inputs_are_copied_to_the_same_place():
    seen = []

    def step(x):
        seen.append(x.data_ptr())
        return {"x": x.sum()}

    fake = Fake(step)
    given = [torch.ones(3) * i for i in range(6)]
    for x in given:
        fake(x)
    assert len(set(seen)) == 1 and seen[0] != given[0].data_ptr()


def test_a_failed_capture_falls_back_and_loses_no_step():
    told = []
    plain, fake = counting(), Fake(counting(), fail=True)
    fake.on_fallback = told.append
    for i in range(WARMUP + 3):
        assert torch.equal(fake(*inputs(i))["total"], plain(*inputs(i))["total"])
    assert told == ["operation not permitted when stream is capturing"]
    assert fake.log.count("capture") == 1 and not fake.captured


def test_other_shapes_are_refused():
    fake = Fake(counting())
    fake(*inputs(1))
    with pytest.raises(ValueError, match=r"\(2,\), now is \(3,\)"):
        fake(torch.ones(3), torch.ones(1, 3))


def test_without_cuda_every_call_runs_the_function():
    step = CapturedStep(counting(), torch.device("cpu"))
    assert step(*inputs(1))["total"] == 5 and not step.captured


def test_optimizers_are_made_fit_for_the_device_after_loading():
    weight = torch.nn.Parameter(torch.ones(2))
    elsewhere = torch.optim.Adam([weight], lr=torch.tensor(0.25), capturable=True, foreach=True)
    weight.grad = torch.ones(2)
    here = torch.optim.Adam([weight], lr=1.0, fused=True)
    here.step()
    state = here.state_dict()
    state["param_groups"][0] |= {"lr": torch.tensor(0.25), "capturable": True}
    here.load_state_dict(state)
    prepare_optimizer(here, torch.device("cpu"))
    group = here.param_groups[0]
    assert group["lr"] == 0.25 and isinstance(group["lr"], float)
    assert group["fused"] and not group["capturable"] and not group["foreach"]
    here.step()
    assert here.state[weight]["step"] == 2
    assert elsewhere.param_groups[0]["capturable"]


def test_close_gives_the_graph_back_and_goes_on_without():
    class Graph:
        resets = 0

        def reset(self):
            self.resets += 1

    graph = Graph()
    fake, plain = Fake(counting()), counting()
    fake._capture = lambda: graph
    for i in range(WARMUP + 2):
        assert torch.equal(fake(*inputs(i))["total"], plain(*inputs(i))["total"])
    assert fake.captured and fake.settled
    fake.close()
    fake.close()
    assert graph.resets == 1 and not fake.captured and fake._outputs == {} == dict(fake._inputs)
    assert torch.equal(fake(*inputs(9))["total"], plain(*inputs(9))["total"])


def test_it_settles_with_the_graph_or_without():
    settled = {}
    for fail in (False, True):
        fake = Fake(counting(), fail=fail)
        settled[fail] = []
        for i in range(WARMUP + 2):
            settled[fail].append(fake.settled)
            fake(*inputs(i))
        assert fake.settled
    assert settled[False] == settled[True] == [False] * (WARMUP + 1) + [True]
    assert CapturedStep(counting(), torch.device("cpu")).settled


def test_recording_surrounds_the_capture_alone():
    log = []

    @contextmanager
    def recording():
        log.append("in")
        yield
        log.append("out")

    fake = Fake(counting())
    fake.recording, fake.log = recording, log
    for i in range(WARMUP + 2):
        fake(*inputs(i))
    assert log == ["warm-up"] * WARMUP + ["in", "capture", "out", "replay", "replay"]


def test_averages_lie_as_their_weights_do_wherever_they_were_saved():
    def made(layout):
        net = torch.nn.Conv2d(3, 4, 3)
        with torch.no_grad():
            for index, p in enumerate(net.parameters()):
                p.copy_(torch.arange(p.numel()).view(p.shape) / (index + 50))
        net = net.to(memory_format=layout)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
        prepare_optimizer(optimizer, torch.device("cpu"))
        return net, optimizer

    def step(net, optimizer):
        x = torch.arange(2 * 3 * 5 * 5).view(2, 3, 5, 5) / 100
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()

    plain, last = made(torch.contiguous_format), made(torch.channels_last)
    step(*plain)
    last[0].load_state_dict(plain[0].state_dict())
    last[1].load_state_dict(copy.deepcopy(plain[1].state_dict()))
    prepare_optimizer(last[1], torch.device("cpu"))
    for weight, state in last[1].state.items():
        assert state["exp_avg"].stride() == weight.stride() == state["exp_avg_sq"].stride()
    for pair in (plain, last):
        step(*pair)
    for one, two in zip(plain[0].parameters(), last[0].parameters(), strict=True):
        torch.testing.assert_close(one, two)
