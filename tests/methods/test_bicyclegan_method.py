"""BicycleGAN as a method: training on pairs, resuming, codes, files, refusals."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from bench.api import (
    A2B,
    B2A,
    BenchError,
    Budget,
    CodedMethod,
    Context,
    TrainData,
    TrainedMethod,
)
from bench.training.loop import save_checkpoint
from bench_bicyclegan import SPEC
from bench_bicyclegan.config import BicycleGANConfig
from bench_bicyclegan.method import BicycleGAN, BicycleGANTrainer

CPU = Context(torch.device("cpu"))
TINY = BicycleGANConfig(
    ngf=4,
    depth=6,
    nef=4,
    n_blocks_e=2,
    ndf=4,
    n_layers_d=1,
    nz=3,
    load=None,
    crop=None,
    lr=2e-3,
)


def pairs(count: int = 4) -> TrainData:
    """Blocks, and the same blocks in other colours: what one must learn is simple."""
    rng = torch.Generator().manual_seed(0)
    blocks = torch.rand(count, 1, 8, 8, generator=rng)
    grey = torch.nn.functional.interpolate(blocks, scale_factor=8)
    a = grey * torch.tensor([1.0, 0.4, 0.2])[:, None, None]
    b = 1 - grey * torch.tensor([0.9, 0.5, 0.2])[:, None, None]
    a, b = ((x * 255).to(torch.uint8) for x in (a, b))
    return TrainData(a, b, ("summer", "winter"), paired=True)


def fit(work_dir, iterations, config=TINY, seed=0):
    method = BicycleGAN(config, Context(torch.device("cpu"), seed=seed, work_dir=work_dir))
    method.fit(pairs(), Budget(iterations=iterations))
    return method


@pytest.mark.nightly
def test_training_approaches_the_true_target_both_ways():
    method = fit(None, 80)
    data = pairs()
    for direction, source, target in ((A2B, data.a, data.b), (B2A, data.b, data.a)):
        x, y = source.float() / 255, target.float() / 255
        seeds = torch.arange(4)[:, None]
        out = method.translate(x, direction, samples=1, seeds=seeds)[:, 0]
        assert (out - y).abs().mean() < 0.6 * (x - y).abs().mean()


@pytest.mark.parametrize("dropout", [False, True])
def test_resuming_is_bit_exact(tmp_path, monkeypatch, dropout):
    config = TINY.model_copy(update={"dropout": dropout})
    torch.manual_seed(1)
    whole = fit(tmp_path / "whole", 6, config)

    class Stopped(Exception):
        pass

    step = BicycleGANTrainer.step

    def stop_at_3(self, iteration, total):
        if iteration == 3:
            save_checkpoint(self.ctx.work_dir / "last.pt", self, 3, total)
            raise Stopped
        return step(self, iteration, total)

    torch.manual_seed(2)  # the default generator has no say
    monkeypatch.setattr(BicycleGANTrainer, "step", stop_at_3)
    with pytest.raises(Stopped):
        fit(tmp_path / "halves", 6, config)
    monkeypatch.setattr(BicycleGANTrainer, "step", step)
    resumed = fit(tmp_path / "halves", 6, config)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    losses = [(tmp_path / name / "losses.jsonl").read_text() for name in ("whole", "halves")]
    assert losses[0] == losses[1]


def test_pairs_are_needed():
    data = pairs()
    unpaired = TrainData(data.a, data.b, data.domains, paired=False)
    with pytest.raises(BenchError, match="needs pairs"):
        BicycleGAN(TINY, CPU).fit(unpaired, Budget(iterations=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 256}, r"crop 256 is larger than the 64×64 images"),
        ({"crop": 48}, r"multiple of 64"),
        ({"depth": 7}, r"multiple of 128"),
        ({"n_layers_d": 5}, r"at least 192"),
    ],
)
def test_sizes_that_cannot_be_trained_are_refused(change, message):
    method = BicycleGAN(TINY.model_copy(update=change), CPU)
    with pytest.raises(BenchError, match=message):
        method.fit(pairs(), Budget(iterations=1))


# ---------------------------------------------------------------------- translation


@pytest.fixture
def method():
    return BicycleGAN(TINY, CPU)


def test_translate_follows_the_contract(method):
    assert isinstance(method, TrainedMethod) and isinstance(method, CodedMethod)
    images = torch.rand(2, 3, 70, 40)
    seeds = torch.tensor([[0, 1, 0], [2**62, 1, 5]])
    out = method.translate(images, B2A, samples=3, seeds=seeds)
    assert out.shape == (2, 3, 3, 70, 40) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1 and not out.requires_grad
    torch.testing.assert_close(out[0, 0], out[0, 2], rtol=0, atol=1e-6)
    assert (out[0, 0] - out[0, 1]).abs().max() > 1e-5, "the seed changes the output"
    alone = method.translate(images[1:], B2A, samples=1, seeds=seeds[1:, 1:2])
    torch.testing.assert_close(alone[0, 0], out[1, 1], rtol=0, atol=1e-6)


def test_codes_translate_like_seeds(method):
    images = torch.rand(2, 3, 64, 64)
    seeds = torch.tensor([[3], [4]])
    content, style = method.encode(images, "a")
    assert style.shape == (2, TINY.nz)
    codes = method.sample_styles(seeds)
    assert codes.shape == (2, 1, TINY.nz)
    decoded = method.decode(content, codes[:, 0], "b")
    assert torch.equal(decoded, method.translate(images, A2B, samples=1, seeds=seeds)[:, 0])
    assert not torch.equal(style, method.encode(images, "b")[1]), "each way has its encoder"


# ---------------------------------------------------------------------------- files


def test_recorded_networks_translate_as_recorded(golden, tmp_path):
    recorded = torch.load(golden / "bicyclegan.pt", weights_only=True)
    torch.save(recorded["G"], tmp_path / "maps_net_G.pth")
    torch.save(recorded["E"], tmp_path / "maps_net_E.pth")
    for path in (tmp_path, tmp_path / "maps_net_G.pth"):
        method = BicycleGAN.from_weights(path, CPU)
        config = method.config
        assert (config.ngf, config.nz, config.depth) == (4, 8, 8)
        assert (config.nef, config.n_blocks_e) == (4, 4)
        out = method.decode(recorded["a"], recorded["z"], "b")
        torch.testing.assert_close(out, (recorded["fake_b"] + 1) / 2, rtol=0, atol=1e-5)
        style = method.encode((recorded["b"] + 1) / 2, "b")[1]
        torch.testing.assert_close(style, recorded["mu"], rtol=0, atol=1e-5)
    assert torch.equal(method.encode(recorded["a"], "a")[1], torch.zeros(1, 8)), "no encoder of a"
    with pytest.raises(BenchError, match="no weights for b2a gen"):
        method.translate(recorded["a"], B2A, samples=1, seeds=torch.zeros(1, 1, dtype=torch.long))


def test_own_and_official_files_there_and_back(method, tmp_path):
    images, seeds = torch.rand(1, 3, 64, 64), torch.tensor([[7]])
    expected = {d.key: method.translate(images, d, samples=1, seeds=seeds) for d in (A2B, B2A)}
    save_file(method.state_dict(), tmp_path / "weights.safetensors")
    own = BicycleGAN.from_weights(tmp_path / "weights.safetensors", CPU, lr=1e-3)
    assert own.config.lr == 1e-3
    for direction in (A2B, B2A):
        out = own.translate(images, direction, samples=1, seeds=seeds)
        assert torch.equal(out, expected[direction.key])
    paths = method.save_official(tmp_path, "b2a", name="seasons")
    assert [p.name for p in paths] == ["seasons_net_G.pth", "seasons_net_E.pth"]
    official = BicycleGAN.from_weights(paths[0], CPU, direction="b2a")
    out = official.translate(images, B2A, samples=1, seeds=seeds)
    assert torch.equal(out, expected["b2a"])
    whole = BicycleGAN(official.config, CPU)
    whole.load_state_dict(official.state_dict())
    assert list(whole.networks) == ["b2a"]


@pytest.mark.parametrize("option", ["antialias", "input_skip"])
def test_a_generator_tells_its_options_itself(option, tmp_path):
    method = BicycleGAN(TINY.model_copy(update={option: True}), CPU)
    path = tmp_path / "weights.safetensors"
    save_file(method.state_dict(), path)
    again = BicycleGAN.from_weights(path, CPU)
    assert getattr(again.config, option)
    images, seeds = torch.rand(1, 3, 64, 64), torch.tensor([[7]])
    made = [m.translate(images, A2B, samples=1, seeds=seeds) for m in (method, again)]
    assert torch.equal(*made)
    with pytest.raises(BenchError, match=f"{option}=True"):
        method.save_official(tmp_path)


def test_input_skip_starts_as_identity_and_is_remembered(tmp_path):
    config = TINY.model_copy(update={"input_skip": True})
    method = BicycleGAN(config, Context(torch.device("cpu"), work_dir=tmp_path))
    for parts in method.networks.values():
        torch.nn.init.zeros_(parts["gen"].model.up[1].weight)
    images = torch.rand(2, 3, 64, 64) * 0.98 + 0.01
    out = method.translate(images, A2B, samples=1, seeds=torch.zeros(2, 1, dtype=torch.long))
    torch.testing.assert_close(out[:, 0], images, rtol=0, atol=1e-5)
    with pytest.raises(BenchError, match="input_skip=True"):
        BicycleGAN(TINY, CPU).load_state_dict(method.state_dict())
    with pytest.raises(BenchError, match="input_skip=False"):
        method.load_state_dict(BicycleGAN(TINY, CPU).state_dict())
    method.fit(pairs(), Budget(iterations=1))
    assert BicycleGAN.from_weights(tmp_path / "last.pt", CPU).config.input_skip


def test_states_and_files_that_do_not_fit_are_refused(method, tmp_path):
    wide = BicycleGAN(TINY.model_copy(update={"ngf": 5}), CPU).state_dict()
    with pytest.raises(BenchError, match=r"'a2b\.gen\.model\.down\.0\.weight' has shape \(5, 6"):
        method.load_state_dict(wide)
    with pytest.raises(BenchError, match="does not exist"):
        BicycleGAN.from_weights(tmp_path / "x_net_G.pth", CPU)
    with pytest.raises(BenchError, match="holds no <name>_net_G"):
        BicycleGAN.from_weights(tmp_path, CPU)
    torch.save({"enc.weight": torch.zeros(2)}, tmp_path / "x_net_G.pth")
    with pytest.raises(BenchError, match=r"first key is 'enc\.weight'"):
        BicycleGAN.from_weights(tmp_path / "x_net_G.pth", CPU)
    state = dict(method.networks["a2b"]["gen"].state_dict())
    state.pop("model.submodule.down.1.bias")
    torch.save(state, tmp_path / "x_net_G.pth")
    with pytest.raises(BenchError, match=r"has no 'model\.submodule\.down\.1\.bias'"):
        BicycleGAN.from_weights(tmp_path / "x_net_G.pth", CPU)


def test_presets_are_configurations():
    for preset, values in SPEC.presets.items():
        config = SPEC.config(**values)
        assert Budget.parse(SPEC.budgets[preset]).iterations
        if preset == "paper":
            assert (config.ngf, config.depth, config.nz, config.dropout) == (64, 8, 8, True)


@pytest.mark.parametrize("dropout", [True, False])
def test_sheets_change_no_bit(tmp_path, dropout):
    states = []
    for every in (0, 1):
        config = TINY.model_copy(update={"dropout": dropout, "sample_every": every})
        states.append(fit(tmp_path / str(every), 3, config=config).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert len(list((tmp_path / "1" / "samples").iterdir())) == 3
    assert not (tmp_path / "0" / "samples").exists()
