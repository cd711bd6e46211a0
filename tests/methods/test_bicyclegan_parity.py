"""BicycleGAN against recorded tensors, and its batched step against the plain one."""

from __future__ import annotations

import copy

import pytest
import torch

from bench.api import Context, TrainData
from bench.training.seeding import normal
from bench_bicyclegan.config import BicycleGANConfig
from bench_bicyclegan.losses import kl_divergence, sample_code
from bench_bicyclegan.method import BicycleGAN, BicycleGANTrainer
from bench_bicyclegan.networks import Encoder, MultiscaleDiscriminator, UnetGenerator
from bench_bicyclegan.step import Networks, generator_losses, total
from tests.methods import bicyclegan_oracle as oracle

CPU = Context(torch.device("cpu"))
TINY = {
    "ngf": 4,
    "depth": 5,
    "nef": 4,
    "n_blocks_e": 2,
    "ndf": 4,
    "n_layers_d": 1,
    "nz": 3,
    "load": None,
    "crop": None,
}


@pytest.fixture(scope="module")
def recorded(golden):
    return torch.load(golden / "bicyclegan.pt", weights_only=True)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_generator_agrees_with_the_recording(recorded):
    net = UnetGenerator(recorded["config"]["ngf"], 8, recorded["config"]["nz"]).eval()
    net.load_state_dict(recorded["G"], strict=True)
    close(net(recorded["a"], recorded["z"]), recorded["fake_b"])


@torch.no_grad()
def test_encoder_agrees_with_the_recording(recorded):
    net = Encoder(4, 4, 8)
    net.load_state_dict(recorded["E"], strict=True)
    mu, logvar = net(recorded["b"])
    close(mu, recorded["mu"])
    close(logvar, recorded["logvar"])


@torch.no_grad()
def test_discriminator_agrees_with_the_recording(recorded):
    net = MultiscaleDiscriminator(4, 2)
    net.load_state_dict(recorded["D"], strict=True)
    for actual, expected in zip(net(recorded["b"]), recorded["dis_b"], strict=True):
        close(actual, expected)


def test_published_sizes():
    with torch.device("meta"):
        nets = UnetGenerator(), Encoder(), MultiscaleDiscriminator()
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert counts == [54_794_627, 2_590_032, 3_458_978]


def test_dropout_sits_at_the_bottom():
    """Three of the eight levels, the ones between the innermost and the fourth."""
    with torch.device("meta"):
        net, dry = UnetGenerator(), UnetGenerator(dropout=False)
    places = [n for n, m in net.named_modules() if isinstance(m, torch.nn.Dropout)]
    assert [name.count("submodule") for name in places] == [4, 5, 6]
    assert not [m for m in dry.modules() if isinstance(m, torch.nn.Dropout)]


# ------------------------------------------------------- batched against plain order


def pairs(size: int = 32, count: int = 6) -> TrainData:
    rng = torch.Generator().manual_seed(3)
    a = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=rng)
    return TrainData(a, 255 - a, ("summer", "winter"), paired=True)


@pytest.mark.parametrize("size", [2, 4])
def test_batched_step_equals_plain_step(size):
    """Losses and all weights of both directions after four iterations, float64."""
    config = BicycleGANConfig(**TINY, dropout=False, batch_size=size, lambda_gan2=0.8)
    method = BicycleGAN(config, CPU)
    trainer = BicycleGANTrainer(config, CPU, method.networks, pairs())
    for net in trainer.modules.values():
        net.double()
    plain = {
        name: oracle.use_plain_norms(copy.deepcopy(net)) for name, net in trainer.modules.items()
    }
    adams = {
        name: torch.optim.Adam(net.parameters(), lr=config.lr, betas=(config.beta1, 0.999))
        for name, net in plain.items()
    }
    update = trainer.update
    trainer.update = lambda *given: update(*(x.double() for x in given))
    for step in range(4):
        images = {domain: trainer.images(domain, step).double() for domain in ("a", "b")}
        shape = (2, 2, size // 2, config.nz)
        draws = normal(shape, 0, "bicyclegan", "codes", step).double()
        losses = trainer.step(step, None)
        for direction, (noise, code) in zip(("a2b", "b2a"), draws, strict=True):
            keys = ("gen", "enc", "dis", "dis2")
            expected = oracle.plain_step(
                {k: plain[f"{direction}.{k}"] for k in keys},
                {k: adams[f"{direction}.{k}"] for k in keys},
                images[direction[0]],
                images[direction[2]],
                noise,
                code,
                config,
            )
            for name, value in expected.items():
                torch.testing.assert_close(
                    losses[f"{name}_{direction}"], value, rtol=1e-9, atol=1e-12
                )
    assert len(losses) == 14
    for name, net in plain.items():
        for key, value in net.state_dict().items():
            actual = trainer.modules[name].state_dict()[key]
            # A bias before a norm has no gradient but rounding: absolute, not relative.
            torch.testing.assert_close(actual, value, rtol=1e-9, atol=1e-9)


def test_code_recovery_does_not_reach_the_encoder():
    """The encoder's gradient is the same with and without that loss; the generator's is not."""
    torch.manual_seed(0)
    nets = Networks(
        UnetGenerator(4, 5, 3, dropout=False),
        Encoder(4, 2, 3),
        MultiscaleDiscriminator(4, 2, 1),
        MultiscaleDiscriminator(4, 2, 1),
    )
    a, b = torch.rand(2, 2, 3, 32, 32)
    noise, code = torch.randn(2, 1, 3)
    grads = {}
    for weight in (0.0, 0.5):
        for net in (nets.gen, nets.enc):
            net.zero_grad()
        config = BicycleGANConfig(**TINY, lambda_z=weight)
        total(generator_losses(nets, a, b, noise, code, config)[0]).backward()
        grads[weight] = {
            part: torch.cat([p.grad.flatten() for p in getattr(nets, part).parameters()])
            for part in ("gen", "enc")
        }
        assert all(p.grad is None for p in nets.dis.parameters())
    torch.testing.assert_close(grads[0.0]["enc"], grads[0.5]["enc"])
    assert not torch.allclose(grads[0.0]["gen"], grads[0.5]["gen"])


# --------------------------------------------------------------------------- losses


def test_divergence_agrees_with_torch_distributions():
    mu, logvar = torch.randn(2, 3, 8, dtype=torch.float64)
    normal_ = torch.distributions.Normal(mu, (logvar / 2).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    expected = torch.distributions.kl_divergence(normal_, standard).sum()
    torch.testing.assert_close(kl_divergence(mu, logvar), expected)


def test_codes_have_the_encoded_mean_and_spread():
    mu, logvar = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.0, 2.0]])
    codes = sample_code(
        mu, logvar, torch.randn(20000, 2, generator=torch.Generator().manual_seed(1))
    )
    torch.testing.assert_close(codes.mean(0), mu[0], rtol=0, atol=0.1)
    torch.testing.assert_close(codes.var(0), logvar.exp()[0], rtol=0.1, atol=0)
