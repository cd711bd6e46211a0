"""CycleGAN as a method: training, resuming, refusing, translating."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from bench.api import A2B, B2A, BenchError, Budget, Context, TrainData, TrainedMethod
from bench_cyclegan import SPEC
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN

CPU = Context(torch.device("cpu"))
TINY = CycleGANConfig(
    ngf=4, ndf=4, n_blocks=1, n_layers_d=2, pool_size=3, load=None, crop=None, lr=1e-3
)


def data(size: int = 16, count: int = 5) -> TrainData:
    """Dark reddish and bright bluish pictures of blocks."""
    rng = torch.Generator().manual_seed(0)

    def domain(low: float, tint: tuple[float, float, float]) -> torch.Tensor:
        blocks = torch.rand(count, 1, size // 4, size // 4, generator=rng) * 0.5 + low
        images = torch.nn.functional.interpolate(blocks, scale_factor=4)
        return (images * torch.tensor(tint)[:, None, None] * 255).to(torch.uint8)

    return TrainData(domain(0.1, (1, 0.5, 0.3)), domain(0.5, (0.4, 0.6, 1)), ("summer", "winter"))


def fit(work_dir, iterations, *, config=TINY, seed=0, events=None):
    ctx = Context(
        torch.device("cpu"),
        seed=seed,
        work_dir=work_dir,
        emit=events.append if events is not None else (lambda event: None),
    )
    method = CycleGAN(config, ctx)
    method.fit(data(), Budget(iterations=iterations))
    return method


@pytest.mark.nightly
def test_training_moves_colours_towards_the_target():
    method = fit(None, 150)
    images = data().a.float() / 255
    out = method.translate(images, A2B, samples=1, seeds=torch.zeros(5, 1, dtype=torch.long))[:, 0]
    goal = (data().b.float() / 255).mean((0, 2, 3))
    before = (images.mean((0, 2, 3)) - goal).norm()
    after = (out.mean((0, 2, 3)) - goal).norm()
    assert after < 0.5 * before


def test_discriminators_train_alone_while_the_generators_warm_up(tmp_path):
    """So that generators that begin trained are not led astray by judges that know nothing."""
    config = TINY.model_copy(update={"warmup": 3})
    begun = CycleGAN(config, CPU).state_dict()
    judges = []
    for iterations in (1, 4):
        state = fit(tmp_path / str(iterations), iterations, config=config).state_dict()
        assert all(torch.equal(value, begun[key]) for key, value in state.items())
        last = torch.load(tmp_path / str(iterations) / "last.pt", weights_only=True)
        judges.append(last["modules"]["dis_a"])
    assert not all(torch.equal(value, judges[1][key]) for key, value in judges[0].items())
    risen = fit(None, 5, config=config).state_dict()
    assert not all(torch.equal(value, begun[key]) for key, value in risen.items())


def test_resuming_is_bit_exact(tmp_path, monkeypatch):
    """Stopped after 4 of 9 iterations, the pools full by then: as if never stopped."""
    whole = fit(tmp_path / "whole", 9)

    class Stopped(Exception):
        pass

    from bench_cyclegan.method import CycleGANTrainer

    step = CycleGANTrainer.step

    def stop_at_4(self, iteration, total):
        if iteration == 4:
            from bench.training.loop import save_checkpoint

            save_checkpoint(self.ctx.work_dir / "last.pt", self, 4, total)
            raise Stopped
        return step(self, iteration, total)

    monkeypatch.setattr(CycleGANTrainer, "step", stop_at_4)
    with pytest.raises(Stopped):
        fit(tmp_path / "halves", 9)
    monkeypatch.setattr(CycleGANTrainer, "step", step)
    resumed = fit(tmp_path / "halves", 9)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    last = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "halves")
    ]
    for domain in ("dis_a", "dis_b"):
        for key, value in last[0]["modules"][domain].items():
            assert torch.equal(last[1]["modules"][domain][key], value)
    for pool in ("pool_a", "pool_b"):
        assert torch.equal(last[0]["extra"][pool]["images"], last[1]["extra"][pool]["images"])
    losses = [(tmp_path / name / "losses.jsonl").read_text() for name in ("whole", "halves")]
    assert losses[0] == losses[1]
    assert json.loads(losses[0].splitlines()[-1])["iteration"] == 8


def test_only_the_seed_decides():
    first, again, other = fit(None, 3), fit(None, 3), fit(None, 3, seed=1)
    for key, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
    assert any(not torch.equal(other.state_dict()[k], v) for k, v in first.state_dict().items())


def test_rate_is_constant_and_then_falls_linearly():
    from bench_cyclegan.method import CycleGANTrainer

    method = CycleGAN(TINY, CPU)
    trainer = CycleGANTrainer(TINY, CPU, method.generators, data())
    rates = []
    for iteration in (0, 4, 5, 9):
        trainer.step(iteration, 10)
        rates.append(trainer.optimizers["gen"].param_groups[0]["lr"] / TINY.lr)
        assert trainer.optimizers["dis"].param_groups[0]["lr"] / TINY.lr == rates[-1]
    assert rates == pytest.approx([1, 1, 1, 1 - 4 / 6])


def test_loss_names_and_progress():
    events = []
    fit(None, 2, events=events)
    assert set(events[-1].values) == {
        "identity_a",
        "identity_b",
        "gan_a",
        "gan_b",
        "cycle_a",
        "cycle_b",
        "dis_a",
        "dis_b",
    }


# ---------------------------------------------------------------------- translation


@pytest.fixture
def method():
    return CycleGAN(TINY, CPU)


def test_translate_follows_the_contract(method):
    assert isinstance(method, TrainedMethod)
    images = torch.rand(3, 3, 24, 16)
    seeds = torch.arange(6).reshape(3, 2)
    out = method.translate(images, B2A, samples=2, seeds=seeds)
    assert out.shape == (3, 2, 3, 24, 16)
    assert out.dtype == torch.float32 and not out.requires_grad
    assert out.min() >= 0 and out.max() <= 1
    assert torch.equal(out[:, 0], out[:, 1]), "deterministic: one output repeated"
    alone = method.translate(images[1:2], B2A, samples=1, seeds=seeds[1:2, :1])
    torch.testing.assert_close(alone[0, 0], out[1, 0], rtol=0, atol=1e-6)
    assert not torch.equal(out, method.translate(images, A2B, samples=2, seeds=seeds))


def test_input_skip_starts_as_identity_and_is_remembered():
    config = TINY.model_copy(update={"input_skip": True})
    method = CycleGAN(config, CPU)
    for net in method.generators.values():
        torch.nn.init.zeros_(net.model[-2].weight)
    images = torch.rand(2, 3, 16, 16) * 0.98 + 0.01
    out = method.translate(images, A2B, samples=1, seeds=torch.zeros(2, 1, dtype=torch.long))
    torch.testing.assert_close(out[:, 0], images, rtol=0, atol=1e-5)
    with pytest.raises(BenchError, match="input_skip=True"):
        CycleGAN(TINY, CPU).load_state_dict(method.state_dict())
    CycleGAN(config, CPU).load_state_dict(method.state_dict())


def test_state_dict_is_flat_and_goes_back(method):
    state = method.state_dict()
    assert "a2b.model.1.weight" in state and "b2a.model.18.weight" in state
    other = CycleGAN(TINY, dataclasses.replace(CPU, seed=5))
    other.load_state_dict(state)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in state.items())


def test_a_state_that_does_not_fit_is_refused_whole(method):
    wide = CycleGAN(TINY.model_copy(update={"ngf": 8}), CPU).state_dict()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    with pytest.raises(BenchError, match=r"'a2b\.model\.1\.weight' has shape \(8, 3, 7, 7\)"):
        method.load_state_dict(wide)
    partial = dict(method.state_dict())
    del partial["b2a.model.4.bias"]
    with pytest.raises(BenchError, match=r"has no 'b2a\.model\.4\.bias'"):
        method.load_state_dict(partial)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        ({"crop": 256}, 16, r"crop 256 is larger than the 16×16 images of summer"),
        ({"crop": None}, 18, r"cannot train on 18×18 images"),
        ({"crop": None, "n_layers_d": 3}, 16, r"at least 24"),
    ],
)
def test_sizes_that_cannot_be_trained_are_refused(change, size, message):
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    method = CycleGAN(TINY.model_copy(update=change), CPU)
    with pytest.raises(BenchError, match=message):
        method.fit(TrainData(images, images, ("summer", "winter")), Budget(iterations=1))


# ----------------------------------------------------------------------------- spec


def test_presets_are_configurations():
    for preset, values in SPEC.presets.items():
        config = SPEC.config(**values)
        assert Budget.parse(SPEC.budgets[preset]).iterations
        if preset == "paper":
            assert (config.ngf, config.n_blocks, config.load, config.crop) == (64, 9, 286, 256)
            assert not config.input_skip and config.n_downsampling == 2


def test_sheets_change_no_bit(tmp_path):
    states = []
    for every in (0, 2):
        config = TINY.model_copy(update={"sample_every": every})
        states.append(fit(tmp_path / str(every), 3, config=config).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    names = sorted(path.name for path in (tmp_path / "2" / "samples").iterdir())
    assert names == ["00000002.png", "00000003.png"]
    assert not (tmp_path / "0" / "samples").exists()
