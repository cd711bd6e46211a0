"""CycleGAN against recorded tensors, and its batched step against the plain one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.api import Context, TrainData
from bench.nn.patch import PatchDiscriminator, smallest_side
from bench.nn.resnet import ResnetGenerator
from bench.training.pool import ImagePool
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN, CycleGANTrainer
from bench_cyclegan.step import Networks, discriminator_losses, generator_losses, total
from tests.methods import cyclegan_oracle as oracle

CPU = Context(torch.device("cpu"))


def read(path):
    return torch.load(path, weights_only=True)


# ------------------------------------------------------------------ recorded tensors


def test_generator_agrees_with_the_recording(golden):
    io = read(golden / "cyclegan_io.pt")
    net = ResnetGenerator(io["ngf"], 9)
    net.load_state_dict(read(golden / "cyclegan_net_G.pth"), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(net(io["x"]), io["g"], rtol=0, atol=1e-5)


def test_discriminator_agrees_with_the_recording(golden):
    io = read(golden / "cyclegan_io.pt")
    net = PatchDiscriminator(3, 4)
    net.load_state_dict(read(golden / "cyclegan_net_D.pth"), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(net(io["x"]), io["d"], rtol=0, atol=1e-5)


def test_published_sizes():
    """Parameters and the 30×30 map of a 256×256 image."""
    with torch.device("meta"):
        gen, dis = ResnetGenerator(), PatchDiscriminator()
        scores = dis(torch.empty(1, 3, 256, 256))
    assert sum(p.numel() for p in gen.parameters()) == 11_378_179
    assert sum(p.numel() for p in dis.parameters()) == 2_764_737
    assert scores.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("strided", [1, 2, 3])
def test_smallest_side_is_the_smallest(strided):
    net, side = PatchDiscriminator(3, 2, strided), smallest_side(strided)
    assert net(torch.zeros(1, 3, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises((RuntimeError, ValueError)):
        net(torch.zeros(1, 3, side - 2**strided, side - 2**strided))


# ------------------------------------------------------- batched against plain order

TINY = {"ngf": 4, "ndf": 4, "n_blocks": 2, "n_layers_d": 2, "pool_size": 2}


def data(size: int = 32, count: int = 6) -> TrainData:
    rng = torch.Generator().manual_seed(3)
    a, b = (
        torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=rng)
        for _ in "ab"
    )
    return TrainData(a, b, ("summer", "winter"))


@pytest.mark.parametrize(
    "extra",
    [{}, {"lambda_identity": 0.0, "lambda_gan": 0.7, "lambda_a": 3.0}, {"batch_size": 2}],
    ids=["published", "no identity", "two a batch"],
)
def test_batched_step_equals_plain_step(extra):
    """Losses and all weights after five iterations, float64, 1e-9 relative."""
    config = CycleGANConfig(load=None, crop=None, **TINY, **extra)
    method = CycleGAN(config, CPU)
    trainer = CycleGANTrainer(config, CPU, method.generators, data())
    for net in trainer.modules.values():
        net.double()
    plain = {
        name: oracle.use_plain_norms(copy.deepcopy(net)) for name, net in trainer.modules.items()
    }
    adam = {"lr": config.lr, "betas": (config.beta1, 0.999)}
    opt_g = torch.optim.Adam([*plain["a2b"].parameters(), *plain["b2a"].parameters()], **adam)
    opt_d = torch.optim.Adam([*plain["dis_a"].parameters(), *plain["dis_b"].parameters()], **adam)
    pools = {"a": oracle.PlainPool(), "b": oracle.PlainPool()}
    update = trainer.update
    trainer.update = lambda a, b, *decisions: update(a.double(), b.double(), *decisions)
    for step in range(5):
        decisions = {
            d: p.decide(step, config.batch_size).tolist() for d, p in trainer.pools.items()
        }
        a, b = (trainer.images(domain, step).double() for domain in ("a", "b"))
        expected = oracle.plain_step(plain, opt_g, opt_d, a, b, pools, decisions, config)
        losses = trainer.step(step, None)
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value, rtol=1e-9, atol=1e-12)
    for name, net in plain.items():
        for key, value in net.state_dict().items():
            actual = trainer.modules[name].state_dict()[key]
            # A bias before a norm has no gradient but rounding: absolute, not relative.
            torch.testing.assert_close(actual, value, rtol=1e-9, atol=1e-9)


def test_generator_step_leaves_no_gradient_on_the_discriminators():
    config = CycleGANConfig(**TINY)
    nets = Networks(
        ResnetGenerator(4, 1),
        ResnetGenerator(4, 1),
        PatchDiscriminator(3, 4),
        PatchDiscriminator(3, 4),
    )
    a, b = torch.rand(2, 1, 3, 32, 32)
    losses, fake_a, _ = generator_losses(nets, a, b, config)
    total(losses).backward()
    assert all(p.grad is not None for p in nets.a2b.parameters())
    assert all(p.grad is None and p.requires_grad for p in nets.dis_a.parameters())
    assert not fake_a.requires_grad


def test_a_share_of_the_negatives_are_images_of_the_other_domain():
    torch.manual_seed(0)
    nets = Networks(*(torch.nn.Identity() for _ in range(4)))
    a, b, fake_a, fake_b = torch.randn(4, 2, 3, 8, 8)
    found = discriminator_losses(nets, a, b, fake_a, fake_b, 0.25)
    for name, real, fake, source in (("dis_a", a, fake_a, b), ("dis_b", b, fake_b, a)):
        negative = 0.75 * (fake**2).mean() + 0.25 * (source**2).mean()
        torch.testing.assert_close(found[name], 0.5 * (((real - 1) ** 2).mean() + negative))


def test_iteration_costs_at_most_1_90_tflop():
    """Published widths at 256×256 with identity, counted without computing anything."""
    config = CycleGANConfig()
    with torch.device("meta"):
        nets = Networks(
            ResnetGenerator(), ResnetGenerator(), PatchDiscriminator(), PatchDiscriminator()
        )
        a, b = torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256)
    with FlopCounterMode(display=False) as counter:
        losses, fake_a, fake_b = generator_losses(nets, a, b, config)
        total(losses).backward()
        total(discriminator_losses(nets, a, b, fake_a, fake_b)).backward()
    tflop = counter.get_total_flops() / 1e12
    assert 1.85 < tflop <= 1.90, tflop


# ------------------------------------------------------------------------ image pool


def test_pool_fills_then_swaps_half_of_the_time():
    pool = ImagePool(50, seed=1, name="a")
    slot, store, swap = torch.cat([pool.decide(step, 1) for step in range(4050)]).T
    assert slot[:50].tolist() == list(range(50))
    assert store[:50].all() and not swap[:50].any()
    slot, store, swap = slot[50:], store[50:], swap[50:]
    assert torch.equal(store, swap)
    assert 0.47 < swap.double().mean() < 0.53
    counts = torch.bincount(slot[swap == 1], minlength=50)
    assert len(counts) == 50 and counts.min() > 15


def test_pool_decisions_do_not_depend_on_what_was_asked_before():
    first, second = ImagePool(4, 0, "a"), ImagePool(4, 0, "a")
    for step in range(20):
        first.decide(step, 3)
    assert torch.equal(first.decide(20, 3), second.decide(20, 3))
    for other in (ImagePool(4, 0, "b"), ImagePool(4, 1, "a")):
        assert any(not torch.equal(first.decide(s, 9), other.decide(s, 9)) for s in (20, 21))


def test_pool_gives_back_what_it_kept_and_resumes():
    pool = ImagePool(3, 0, "a")
    seen, resumed = [], None
    for step in range(40):
        image = torch.full((1, 3, 2, 2), float(step))
        if step == 20:
            resumed = ImagePool(3, 0, "a")
            resumed.load_state(copy.deepcopy(pool.state()), torch.device("cpu"))
        out = pool.query(image, pool.decide(step, 1))
        if resumed is not None:
            assert torch.equal(resumed.query(image, resumed.decide(step, 1)), out)
        seen.append(int(out[0, 0, 0, 0]))
    assert seen[:3] == [0, 1, 2]
    assert all(value <= step for step, value in enumerate(seen))
    assert any(value < step for step, value in enumerate(seen))
    # Taken, an image leaves the pool; only the first ones were also used when stored.
    again = [value for value in seen if seen.count(value) > 1]
    assert all(value < 3 and again.count(value) == 2 for value in again)


def test_pool_of_size_0_is_off():
    image = torch.rand(2, 3, 4, 4)
    pool = ImagePool(0, 0, "a")
    assert all(torch.equal(pool.query(image, pool.decide(s, 2)), image) for s in range(5))
    assert pool.state() == {}
