"""The captured step: its logic, with the three calls that touch CUDA replaced."""

from __future__ import annotations

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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_training_equals_an_eager_one_on_the_gpu():
    """TF32 off and deterministic kernels: the graph replays what eager runs."""
    from bench.api import Context, TrainData
    from bench_munit.config import MUNITConfig
    from bench_munit.method import MUNIT
    from bench_munit.trainer import MUNITTrainer

    device = torch.device("cuda")
    draws = torch.Generator().manual_seed(0)
    a, b = (
        torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=draws).to(device)
        for _ in "ab"
    )
    states = []
    for capture in (False, True):
        warnings = []
        ctx = Context(device=device, emit=warnings.append)
        config = MUNITConfig(gen_dim=8, mlp_dim=16, n_res=2, dis_dim=8, capture=capture, ema=0.9)
        method = MUNIT(config, ctx)
        trainer = MUNITTrainer(
            config, ctx, method._generator("a"), method._generator("b"), TrainData(a, b, ("a", "b"))
        )
        for iteration in range(WARMUP + 5):
            losses = trainer.step(iteration, 100)
            assert torch.stack(list(losses.values())).isfinite().all()
        assert trainer.run.captured == capture and warnings == []
        states.append(method.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-3, atol=1e-4, msg=name)
