"""MUNIT against tensors recorded from the original implementation."""

from __future__ import annotations

import pytest
import torch

from bench.nn import winograd
from bench.nn.state import drop_statistics
from bench.training.loop import set_learning_rate, step_decay
from bench_munit.config import MUNITConfig
from bench_munit.networks import Discriminator, Generator
from bench_munit.step import TINTS, Networks, Styles, recolour, train_step
from tests.methods import munit_oracle as oracle
from tests.trainers import DEVICES


@pytest.fixture(params=[0, winograd.SMALL_TILE, winograd.TILE], ids=["direct", "small", "large"])
def convolutions(request, monkeypatch):
    """The recorded networks are narrow: there the fast convolution must be asked for."""
    tile = request.param
    monkeypatch.setattr(winograd, "best_tile", lambda x, weight: tile * (weight.shape[-1] == 3))


CONFIG = MUNITConfig(gen_dim=4, mlp_dim=8, dis_dim=4)


@pytest.fixture(scope="module")
def recorded(golden):
    return torch.load(golden / "munit_float64.pt", weights_only=True)


def build(state, dtype):
    nets = Networks(
        Generator(CONFIG), Generator(CONFIG), Discriminator(CONFIG), Discriminator(CONFIG)
    )
    for domain in "ab":
        gen, dis = getattr(nets, f"gen_{domain}"), getattr(nets, f"dis_{domain}")
        gen.to(dtype).load_state_dict(drop_statistics(state["gen"][domain]))
        dis.to(dtype).load_state_dict(state["dis"][domain])
    return nets


def build_oracle(state):
    gens = [oracle.Gen(4, 8).double() for _ in "ab"]
    diss = [oracle.Dis(4).double() for _ in "ab"]
    for domain, gen, dis in zip("ab", gens, diss, strict=True):
        gen.load_state_dict(state["gen"][domain])
        dis.load_state_dict(state["dis"][domain])
    return gens, diss


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str
)
def test_forward_equals_the_original(convolutions, recorded, dtype, tolerance):
    nets = build(recorded["init"], dtype)
    x_a, style = recorded["x_a"].to(dtype), recorded["style"].to(dtype)
    with torch.no_grad():
        content, own = nets.gen_a.encode(x_a)
        got = {
            "content_a": content,
            "style_a": own,
            "a2b": nets.gen_b.decode(recorded["out"]["content_a"].to(dtype), style),
        }
        maps = nets.dis_a(x_a)
    for name, value in got.items():
        torch.testing.assert_close(
            value.double(), recorded["out"][name], rtol=tolerance, atol=tolerance, msg=name
        )
    for value, expected in zip(maps, recorded["out"]["dis_a"], strict=True):
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)


def close(got, expected, name):
    torch.testing.assert_close(
        torch.as_tensor(got, dtype=torch.float64).cpu(),
        torch.as_tensor(expected, dtype=torch.float64).cpu(),
        rtol=1e-9,
        atol=1e-12,
        msg=lambda text: f"{name}: {text}",
    )


def check_losses(got, expected):
    for name, value in expected.items():
        close(got[name.removeprefix("loss_")], value, name)


def test_oracle_follows_the_recorded_trajectory(recorded):
    gens, diss = build_oracle(recorded["init"])
    opt_gen = oracle.adam([p for gen in gens for p in gen.parameters()])
    opt_dis = oracle.adam([p for dis in diss for p in dis.parameters()])
    for index, (x_a, x_b) in enumerate(recorded["batches"]):
        draws = recorded["draws"][4 * index : 4 * index + 4]
        check_losses(
            oracle.step(gens, diss, opt_gen, opt_dis, x_a, x_b, draws), recorded["losses"][index]
        )
    for kind, modules in (("gen", gens), ("dis", diss)):
        for domain, module in zip("ab", modules, strict=True):
            for name, value in module.state_dict().items():
                close(value, recorded["final"][kind][domain][name], f"{kind} {domain} {name}")


@pytest.mark.parametrize("adam", [{"foreach": True}, {"fused": True}], ids=["foreach", "fused"])
def test_fast_step_follows_the_recorded_trajectory(convolutions, recorded, adam):
    nets = build(recorded["init"], torch.float64)
    settings = {"lr": 1e-4, "betas": (0.5, 0.999), "weight_decay": 1e-4} | adam
    optimizers = {
        "gen": torch.optim.Adam(list(nets.generator_parameters()), **settings),
        "dis": torch.optim.Adam(list(nets.discriminator_parameters()), **settings),
    }
    for index, (x_a, x_b) in enumerate(recorded["batches"]):
        for optimizer in optimizers.values():
            set_learning_rate(optimizer, 1e-4 * step_decay(index, 1_000_000, steps=10))
        styles = Styles(*recorded["draws"][4 * index : 4 * index + 4])
        losses = train_step(nets, optimizers, x_a, x_b, styles, CONFIG)
        check_losses(losses, recorded["losses"][index])
    for domain in "ab":
        final = drop_statistics(recorded["final"]["gen"][domain])
        for name, value in getattr(nets, f"gen_{domain}").state_dict().items():
            close(value, final[name], f"gen {domain} {name}")
        for name, value in getattr(nets, f"dis_{domain}").state_dict().items():
            close(value, recorded["final"]["dis"][domain][name], f"dis {domain} {name}")


# Widths, depths, scales and what the original has not; batch, height and width.
TINY = [
    ({"gen_dim": 3, "mlp_dim": 5, "dis_dim": 2, "n_res": 2, "style_dim": 3}, (1, 64, 80)),
    ({"gen_dim": 2, "mlp_dim": 4, "dis_dim": 3, "n_res": 1, "dis_num_scales": 2}, (2, 32, 48)),
    ({"gen_dim": 2, "mlp_dim": 4, "dis_dim": 2, "n_downsample": 1, "dis_n_layer": 3}, (2, 40, 40)),
    ({"gen_dim": 2, "dis_dim": 2, "source_negatives": 0.3, "dis_num_scales": 2}, (2, 64, 48)),
    ({"gen_dim": 2, "dis_dim": 2, "content_jitter": 0.7, "dis_num_scales": 2}, (2, 48, 64)),
    ({"gen_dim": 2, "dis_dim": 2, "pixel_skip": True, "dis_num_scales": 2}, (2, 32, 48)),
    (
        {"gen_dim": 2, "dis_dim": 2, "pixel_skip": True, "n_downsample": 1, "dis_n_layer": 3},
        (1, 64, 48),
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("widths", "shape"), TINY)
def test_fast_step_follows_the_plain_one(convolutions, widths, shape, device):
    """Random networks, images and styles, of which nothing is recorded: float64, three steps."""
    config = MUNITConfig(**widths)
    torch.manual_seed(11)
    gens = [
        oracle.Gen(
            config.gen_dim,
            config.mlp_dim,
            config.style_dim,
            config.n_downsample,
            config.n_res,
            config.pixel_skip,
        ).double()
        for _ in "ab"
    ]
    diss = [
        oracle.Dis(config.dis_dim, config.dis_n_layer, config.dis_num_scales).double() for _ in "ab"
    ]
    nets = Networks(*(Generator(config) for _ in "ab"), *(Discriminator(config) for _ in "ab"))
    pairs = list(zip(nets.modules().items(), gens + diss, strict=True))
    for (_, fast), plain in pairs:
        fast.double().load_state_dict(drop_statistics(plain.state_dict()))
        fast.to(device)
        plain.to(device)
    opt_gen = oracle.adam([p for gen in gens for p in gen.parameters()])
    opt_dis = oracle.adam([p for dis in diss for p in dis.parameters()])
    settings = {"lr": 1e-4, "betas": (0.5, 0.999), "weight_decay": 1e-4, "fused": True}
    optimizers = {
        "gen": torch.optim.Adam(list(nets.generator_parameters()), **settings),
        "dis": torch.optim.Adam(list(nets.discriminator_parameters()), **settings),
    }
    batch, *sides = shape
    for _ in range(3):
        x_a, x_b = (torch.rand(batch, 3, *sides).double().to(device) * 2 - 1 for _ in "ab")
        styles = torch.randn(4, batch, config.style_dim, 1, 1).double().to(device)
        tints = seen = None
        if config.content_jitter:
            tints = torch.randn(2, batch, *TINTS).double().to(device)
            seen = [recolour(x_a, tints[0], 0.7), recolour(x_b, tints[1], 0.7)]
        share = config.source_negatives
        expected = oracle.step(gens, diss, opt_gen, opt_dis, x_a, x_b, styles, share, seen)
        losses = train_step(nets, optimizers, x_a, x_b, Styles(*styles), config, tints=tints)
        check_losses(losses, expected)
    for (name, fast), plain in pairs:
        final = drop_statistics(plain.state_dict())
        for key, value in fast.state_dict().items():
            close(value, final[key], f"{name} {key}")


def test_a_step_transforms_each_kernel_once(monkeypatch):
    """Winograd's kernels: used for both updates and in both directions, the same all along."""
    tile = winograd.TILE
    monkeypatch.setattr(winograd, "best_tile", lambda x, weight: tile * (weight.shape[-1] == 3))
    transform, seen = winograd.transform_kernel, []

    def counted(weight, tile):
        seen.append(weight)
        return transform(weight, tile)

    monkeypatch.setattr(winograd, "transform_kernel", counted)
    nets = Networks(
        Generator(CONFIG), Generator(CONFIG), Discriminator(CONFIG), Discriminator(CONFIG)
    )
    optimizers = {
        "gen": torch.optim.Adam(list(nets.generator_parameters())),
        "dis": torch.optim.Adam(list(nets.discriminator_parameters())),
    }
    images = [torch.rand(1, 3, 64, 64) for _ in "ab"]
    train_step(nets, optimizers, *images, Styles(*torch.randn(4, 1, 8, 1, 1)), CONFIG)
    # Two blocks of layers for each domain: content encoder and decoder, with two upsamplings.
    assert len(seen) == len(set(map(id, seen))) == 2 * (2 * 2 * CONFIG.n_res + 2)


def test_parameter_counts_are_the_papers():
    paper = MUNITConfig()
    generator, discriminator = Generator(paper), Discriminator(paper)

    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(generator.enc_content) == 5_385_856
    assert count(generator.enc_style) == 2_764_936
    assert count(generator.dec) == 5_754_627
    assert count(generator.mlp) == 1_120_768
    assert count(generator) == 15_026_187
    assert count(discriminator) == 8_271_171
