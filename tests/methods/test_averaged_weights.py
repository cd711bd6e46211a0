"""Averaged weights (`ema`): the same in every method that has a step of its own."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from bench.api import A2B, Budget, Context
from bench.data.images import read_image, to_uint8
from bench.training.averages import Averages
from bench.training.loop import CHECKPOINT, kept_path, run_training
from bench.training.watch import SAMPLES, SampleGrids
from tests.trainers import METHODS, method_of, pictures, trainer_of

CPU = Context(torch.device("cpu"))
AVERAGED = {
    "munit": ["gen_a", "gen_b"],
    "cyclegan": ["a2b", "b2a"],
    "cut": ["a2b", "b2a"],
    "bicyclegan": ["a2b.gen", "a2b.enc", "b2a.gen", "b2a.enc"],
}
each = pytest.mark.parametrize("name", METHODS)


def weights(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []


def differ(one, other):
    return any(not torch.equal(one[key], value) for key, value in other.items())


@each
def test_averages_follow_their_definition_and_change_no_training(name):
    plain, _ = trainer_of(name, CPU)
    trainer, _ = trainer_of(name, CPU, ema=0.15)
    assert type(plain.config)().ema == 0 and plain.averages.modules() == {}
    averages = trainer.averages.modules()
    assert list(averages) == [f"ema_{network}" for network in AVERAGED[name]]
    expected = {network: weights(plain.modules[network]) for network in AVERAGED[name]}
    for iteration in range(3):
        for each_trainer in (plain, trainer):
            each_trainer.step(iteration, 3)
        for network, mean in expected.items():
            now = plain.modules[network].state_dict()
            kept = min(0.15, (1 + iteration) / (10 + iteration))  # 0.1, then 0.15
            expected[network] = {k: kept * v + (1 - kept) * now[k] for k, v in mean.items()}
    for network, module in plain.modules.items():
        same(trainer.modules[network].state_dict(), module.state_dict())
    for network, mean in expected.items():
        found = averages[f"ema_{network}"].state_dict()
        for key, value in mean.items():
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-7, msg=key)
        assert differ(found, plain.modules[network].state_dict())
    assert not any(p.requires_grad for m in averages.values() for p in m.parameters())


def test_a_short_training_does_not_keep_its_start():
    """0.999 kept from the first step on would leave a third of the start after 1,100."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    averages = Averages({"net": network}, 0.999)
    torch.nn.init.ones_(network.weight)
    for iteration in range(1100):
        averages.begin(iteration, CPU.device)
        averages.update()
    assert averages.of(network).weight.item() == pytest.approx(1, abs=1e-6)


@each
def test_what_a_training_gives_are_the_averages(name, tmp_path, monkeypatch):
    """Its weights, those kept on the way or read from its checkpoint, and its sheets."""
    drawn, init = [], SampleGrids.__init__
    monkeypatch.setattr(
        SampleGrids, "__init__", lambda self, *given: drawn.append(given[1]) or init(self, *given)
    )
    ctx = Context(CPU.device, work_dir=tmp_path, keep_at=(3,))
    method, plain = method_of(name, ctx, sample_every=3, ema=0.75), method_of(name, CPU)
    for one in (method, plain):
        one.fit(pictures(), Budget(iterations=3))
    assert differ(method.state_dict(), plain.state_dict())
    trainer, _ = trainer_of(name, CPU, ema=0.75)
    for iteration in range(3):
        trainer.step(iteration, 3)
    trainer.averages.settle()
    kept = {n: m.state_dict() for n, m in trainer.averages.modules().items()}
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)["modules"]
    for network in AVERAGED[name]:
        same(checkpoint[f"ema_{network}"], kept[f"ema_{network}"])
        same(trainer.modules[network].state_dict(), kept[f"ema_{network}"])
        assert differ(checkpoint[network], checkpoint[f"ema_{network}"])
    same(load_file(kept_path(tmp_path, 3)), method.state_dict())
    read = type(method).from_weights(tmp_path / CHECKPOINT, CPU)
    same(read.state_dict(), method.state_dict())
    image, seeds = pictures().a[:1].float() / 255, torch.zeros(1, 1, dtype=torch.long)
    made = [m.translate(image, A2B, samples=1, seeds=seeds) for m in (method, read, plain)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    # Drawn during the training; then, whatever network drew it has its average.
    (sheet,) = (tmp_path / SAMPLES).iterdir()
    assert torch.equal(torch.from_numpy(read_image(sheet)), to_uint8(drawn[0](3)).permute(1, 2, 0))


@each
def test_resumed_averages_are_exact(name, tmp_path):
    states = []
    for stops in ((), (1, 2)):
        folder = tmp_path / str(len(stops))
        for stop in (*stops, 4):
            ctx = Context(CPU.device, work_dir=folder)
            trainer, _ = trainer_of(name, ctx, ema=0.75)
            # A budget that ends early would end the schedule early.
            step = trainer.step
            trainer.step = lambda iteration, total, step=step: step(iteration, 4)
            run_training(trainer, Budget(iterations=stop), ctx)
        states.append({n: weights(module) for n, module in trainer.modules.items()})
    assert states[0].keys() == states[1].keys()
    for network, state in states[0].items():
        same(states[1][network], state)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_decays_that_average_nothing_sensible_are_refused(decay):
    with pytest.raises(ValidationError, match="ema"):
        method_of("cyclegan", CPU, ema=decay)
