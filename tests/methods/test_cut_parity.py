"""CUT against recorded tensors, and its step against the plain one."""

from __future__ import annotations

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from bench.api import Context, TrainData
from bench.nn.patch import PatchDiscriminator
from bench.nn.resnet import ResnetGenerator
from bench_cut import step as cut_step
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cut.losses import patch_nce
from bench_cut.method import CUT, CUTTrainer, map_shapes
from bench_cut.networks import PatchHeads, sample_positions, unit_length
from bench_cut.step import Networks, train_step
from tests.methods import cut_oracle as oracle
from tests.methods.cyclegan_oracle import LibraryNorm, PlainNorm, use_plain_norms

CPU = Context(torch.device("cpu"))
CONFIGS = {"cut": CUTConfig, "fastcut": FastCUTConfig}


# ------------------------------------------------------------------ recorded tensors


@pytest.fixture(params=["cut", "fastcut"])
def recorded(request, golden):
    found = torch.load(golden / f"{request.param}_float64.pt", weights_only=True)
    return found | {"name": request.param}


def config_of(recorded):
    """The published configuration but for the recorded widths."""
    widths = recorded["config"]
    config = CONFIGS[recorded["name"]](
        ngf=widths["ngf"],
        ndf=widths["ndf"],
        head_width=widths["netF_nc"],
        num_patches=widths["num_patches"],
    )
    assert list(config.layers) == widths["nce_layers"]
    assert (config.temperature, config.lambda_nce) == (widths["nce_T"], widths["lambda_NCE"])
    assert (config.lr, config.beta1) == (widths["lr"], widths["betas"][0])
    return config


def networks_of(recorded, dtype=torch.float64, generator=ResnetGenerator):
    """Ours, with the recorded weights: the keys are the recorded ones."""
    config = config_of(recorded)
    channels = [shape[0] for shape in map_shapes(config, 64, 64)]
    nets = Networks(
        generator(config.ngf, config.n_blocks, antialias=True),
        PatchDiscriminator(3, config.ndf, antialias=True),
        PatchHeads(channels, config.head_width),
    )
    for net, letter in ((nets.gen, "G"), (nets.dis, "D"), (nets.heads, "F")):
        net.to(dtype).load_state_dict(recorded["init"][letter], strict=True)
    return nets


def plain_networks_of(recorded, norm):
    config = config_of(recorded)
    channels = [shape[0] for shape in map_shapes(config, 64, 64)]
    nets = Networks(
        oracle.Gen(config.ngf, norm=norm),
        oracle.Dis(config.ndf, norm=norm),
        oracle.Heads(channels, config.head_width),
    )
    for net, letter in ((nets.gen, "G"), (nets.dis, "D"), (nets.heads, "F")):
        net.double().load_state_dict(recorded["init"][letter], strict=True)
    return nets


def test_networks_agree_with_the_recording_in_float32(recorded):
    nets, out = networks_of(recorded, torch.float32), recorded["out"]
    image = recorded["batches"][0][0].float()
    with torch.no_grad():
        fake, maps = nets.gen.translate(image, config_of(recorded).layers)
        found = [fake, nets.dis(image), *maps]
    for got, expected in zip(found, [out["fake"], out["dis"], *out["features"]], strict=True):
        torch.testing.assert_close(got, expected.float(), rtol=1e-5, atol=1e-5)


def adams(nets, config):
    settings = {"lr": config.lr, "betas": (config.beta1, 0.999)}
    gen = [*nets.gen.parameters(), *nets.heads.parameters()]
    return {
        "gen": torch.optim.Adam(gen, **settings),
        "dis": torch.optim.Adam(nets.dis.parameters(), **settings),
    }


def ours(nets, config, optimizers, batch, flip, ids):
    count = len(config.layers)
    positions = [torch.stack(ids[layer::count]) for layer in range(count)]
    return train_step(nets, optimizers, *batch, positions, config, mirrored=flip)


def plain(nets, config, optimizers, batch, flip, ids):
    parts = (nets.gen, nets.dis, nets.heads)
    return oracle.plain_step(*parts, optimizers, *batch, ids, config, mirrored=flip)


def trajectory(recorded, nets, step):
    """The losses of all recorded iterations; the weights change in place."""
    config = config_of(recorded)
    optimizers = adams(nets, config)
    iterations = zip(recorded["batches"], recorded["flips"], recorded["patch_ids"], strict=True)
    return [step(nets, config, optimizers, *given) for given in iterations]


def assert_recorded_losses(recorded, losses):
    weight = 0.5 if recorded["name"] == "cut" else 1.0
    for found, expected in zip(losses, recorded["losses"], strict=True):
        wanted = {
            "dis": 0.5 * (expected["D_fake"] + expected["D_real"]),
            "gan": expected["G_GAN"],
            "nce": weight * expected["NCE"],
        }
        if "NCE_Y" in expected:
            wanted["nce_identity"] = weight * expected["NCE_Y"]
        assert found.keys() == wanted.keys()
        assert {k: v.item() for k, v in found.items()} == pytest.approx(wanted, rel=1e-9)
        total = sum(v.item() for k, v in found.items() if k != "dis")
        assert total == pytest.approx(expected["G"], rel=1e-9)


def assert_same_weights(found, expected):
    """Within 1e-9.

    A bias before a norm has no gradient but rounding, which Adam divides by 1e-8: there two
    orders of the same sums part by up to that much of a step. The biases of layers 4 and 8
    are before a norm, but compared, too.
    """
    for key, value in expected.items():
        idle = key.endswith(".bias") and key in IDLE
        torch.testing.assert_close(
            found[key],
            value,
            rtol=1e-9,
            atol=1e-6 if idle else 1e-9,
            msg=lambda m, key=key: f"{key}: {m}",
        )


IDLE = {f"G.model.{i}.bias" for i in (1, 22, 26)} | {f"D.model.{i}.bias" for i in (3, 7, 11)}
IDLE |= {f"G.model.{i}.conv_block.{j}.bias" for i in range(12, 21) for j in (1, 5)}


def weights_of(nets):
    parts = {"G": nets.gen, "D": nets.dis, "F": nets.heads}
    return {f"{n}.{k}": v for n, net in parts.items() for k, v in net.state_dict().items()}


def final(recorded):
    return {f"{n}.{k}": v for n, net in recorded["final"].items() for k, v in net.items()}


def norm_gradient(norm, memory):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    return torch.autograd.grad(norm(x), x, weights.contiguous(memory_format=memory))[0]


def library_is_wrong():
    """Whether torch's instance norm still gives one image's vectors a wrong gradient on a CPU.

    The originals pick vectors from maps in a way that gives the norm a gradient in
    channels-last memory. Of that its backward makes a wrong one on a CPU, when there is one
    image: it differs from what the same numbers in another memory give, and from finite
    differences. The recorded trajectories were made on a CPU and have that error inside, from
    the first update on. (Trained on a GPU the originals do not have it.)
    """
    found = (
        norm_gradient(LibraryNorm(), m) for m in (torch.contiguous_format, torch.channels_last)
    )
    return not torch.allclose(*found)


recorded_gradient = pytest.mark.skipif(
    not library_is_wrong(),
    reason="the recordings have a wrong gradient of a norm inside, which this torch does not give",
)


def test_definition_of_the_norm_has_the_right_gradient():
    """The oracle's norm and ours, by finite differences and in either memory."""
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    for norm in (PlainNorm(), ResnetGenerator(1, 1).model[2]):
        assert torch.autograd.gradcheck(norm, (x,))
        torch.testing.assert_close(
            norm_gradient(norm, torch.channels_last),
            norm_gradient(LibraryNorm(), torch.contiguous_format),
        )


@recorded_gradient
def test_plain_step_is_the_recorded_one(recorded):
    """With the library's norm: losses and weights of the whole trajectory."""
    nets = plain_networks_of(recorded, LibraryNorm)
    assert_recorded_losses(recorded, trajectory(recorded, nets, plain))
    assert_same_weights(weights_of(nets), final(recorded))


class OneByOne(ResnetGenerator):
    """Encodes each image by itself, as the recorded runs did."""

    def encode(self, images, layers):
        parts = [super(OneByOne, self).encode(image, layers) for image in images.split(1)]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]


@recorded_gradient
def test_step_gives_the_recorded_trajectory(recorded, monkeypatch):
    """Ours, made to meet the library's wrong gradient where the recorded runs met it.

    To that end it has the library's norm, encodes images one by one and picks vectors as the
    originals do. All else is ours: shared features, the order of passes, layers, losses.
    """

    def sample(maps, positions, *, mirrored=False):
        batches = (maps.flip(3) if mirrored else maps).chunk(len(positions))
        rows = [oracle.sample(x, at) for x, at in zip(batches, positions, strict=True)]
        return torch.cat(rows)

    nets = networks_of(recorded, generator=OneByOne)
    for net in (nets.gen, nets.dis):
        use_plain_norms(net, LibraryNorm)
    monkeypatch.setattr(cut_step, "sample_positions", sample)
    assert_recorded_losses(recorded, trajectory(recorded, nets, ours))
    assert_same_weights(weights_of(nets), final(recorded))


def test_step_is_the_plain_one_on_the_recorded_batches(recorded):
    """As shipped, against the plain step with the right gradient of the norm."""
    nets, reference = networks_of(recorded), plain_networks_of(recorded, PlainNorm)
    losses = [trajectory(recorded, *run) for run in ((nets, ours), (reference, plain))]
    for found, expected in zip(*losses, strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)
    assert_same_weights(weights_of(nets), weights_of(reference))
    first = recorded["losses"][0]
    assert losses[0][0]["gan"].item() == pytest.approx(first["G_GAN"], rel=1e-12)


# ---------------------------------------------------------------- shared against plain

TINY = {
    "ngf": 6,
    "ndf": 4,
    "n_blocks": 2,
    "n_layers_d": 2,
    "head_width": 24,
    "num_patches": 40,
    "load": None,
    "crop": None,
}


def data(size: int = 32, count: int = 6) -> TrainData:
    rng = torch.Generator().manual_seed(3)
    a, b = (
        torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=rng)
        for _ in "ab"
    )
    return TrainData(a, b, ("summer", "winter"))


def copied(nets, config):
    """Plain networks with the weights of ours."""
    channels = [layers[0].in_features for layers in nets.heads.children()]
    plain_nets = Networks(
        oracle.Gen(config.ngf, config.n_blocks, config.n_downsampling),
        oracle.Dis(config.ndf, config.n_layers_d),
        oracle.Heads(channels, config.head_width),
    )
    for mine, other in zip(
        (nets.gen, nets.dis, nets.heads),
        (plain_nets.gen, plain_nets.dis, plain_nets.heads),
        strict=True,
    ):
        other.double().load_state_dict(mine.state_dict())
    return plain_nets


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("cut", {}),
        ("fastcut", {}),
        ("cut", {"batch_size": 2, "mirror": True}),
        ("fastcut", {"batch_size": 2, "lambda_nce": 3.0, "lambda_gan": 0.7}),
        ("cut", {"n_downsampling": 1, "nce_layers": (0, 2, 7, 9), "temperature": 0.2}),
    ],
    ids=["cut", "fastcut", "two a batch, mirrored", "fastcut, other weights", "other layers"],
)
def test_step_equals_plain_step_in_both_directions(kind, extra):
    """Losses and all weights after six iterations, float64, 1e-9 relative."""
    config = CONFIGS[kind](**TINY, **extra)
    method = CUT(config, CPU)
    trainer = CUTTrainer(config, CPU, method.generators, data())
    for net in trainer.modules.values():
        net.double()
    reference = {direction: copied(nets, config) for direction, nets in trainer.nets.items()}
    optimizers = {direction: adams(nets, config) for direction, nets in reference.items()}
    update = trainer.update
    trainer.update = lambda a, b, *at, **how: update(a.double(), b.double(), *at, **how)
    flips = [trainer.mirrored(step) for step in range(6)]
    assert config.mirror == (True in flips) and False in flips
    for step in range(6):
        images = [trainer.images(domain, step).double() for domain in "ab"]
        positions = trainer.positions(step)
        losses = trainer.step(step, None)
        for index, (direction, nets) in enumerate(reference.items()):
            ids = [at[index, t] for t in range(positions[0].shape[1]) for at in positions]
            batch = images if direction == "a2b" else images[::-1]
            expected = plain(nets, config, optimizers[direction], batch, flips[step], ids)
            assert {f"{name}_{direction}" for name in expected} <= losses.keys()
            for name, value in expected.items():
                torch.testing.assert_close(
                    losses[f"{name}_{direction}"], value, rtol=1e-9, atol=1e-12
                )
    assert len(losses) == 2 * len(expected)
    for direction, nets in reference.items():
        found, expected = weights_of(trainer.nets[direction]), weights_of(nets)
        for key, value in expected.items():
            idle = key.endswith(".bias") and key[0] in "GD"
            torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-6 if idle else 1e-9)


class Kept:
    """An optimiser that only keeps the gradients."""

    def __init__(self, *nets):
        self.nets, self.gradients = nets, []

    def zero_grad(self):
        for net in self.nets:
            net.zero_grad()

    def step(self):
        self.gradients = [p.grad for net in self.nets for p in net.parameters()]


def small_step(config, nets=None):
    torch.manual_seed(0)
    if nets is None:
        channels = [shape[0] for shape in map_shapes(config, 16, 16)]
        gen = ResnetGenerator(config.ngf, config.n_blocks, antialias=True)
        dis = PatchDiscriminator(3, config.ndf, config.n_layers_d, antialias=True)
        nets = Networks(gen, dis, PatchHeads(channels, config.head_width))
    kept = {"gen": Kept(nets.gen, nets.heads), "dis": Kept(nets.dis)}
    a, b = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    shapes, terms = map_shapes(config, 16, 16), 2 if config.nce_identity else 1
    positions = [torch.arange(min(9, h * w)).expand(terms, -1) for _, h, w in shapes]
    return nets, kept, train_step(nets, kept, a, b, positions, config)


def test_the_generators_update_leaves_no_gradient_on_the_discriminator():
    nets, kept, _ = small_step(CUTConfig(**TINY))
    assert all(g is not None and g.isfinite().all() for g in kept["gen"].gradients)
    before = [g.clone() for g in kept["dis"].gradients]
    assert all(p.requires_grad for p in nets.dis.parameters())
    now = [p.grad for p in nets.dis.parameters()]
    assert all(torch.equal(x, y) for x, y in zip(before, now, strict=True))


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_encoder_runs_over_inputs_only_where_they_were_mirrored(monkeypatch, mirrored):
    """Else their features come from the way to the outputs."""
    runs = []
    encode = ResnetGenerator.encode

    def counted(self, images, layers):
        runs.append((len(images), torch.is_grad_enabled()))
        return encode(self, images, layers)

    config = CUTConfig(**TINY)
    nets, _, _ = small_step(config)
    monkeypatch.setattr(ResnetGenerator, "encode", counted)
    kept = {"gen": Kept(nets.gen, nets.heads), "dis": Kept(nets.dis)}
    positions = [torch.arange(5).expand(2, -1)] * len(config.layers)
    a, b = torch.rand(2, 1, 3, 16, 16)
    train_step(nets, kept, a, b, positions, config, mirrored=mirrored)
    assert runs == [(2, False)] * mirrored + [(2, True)]


# ------------------------------------------------------------------------------- losses


def test_a_vector_of_zeros_has_a_finite_gradient_where_the_original_has_none():
    """Dead features, and the biases still 0: the first iteration of a narrow network."""
    config = FastCUTConfig(**TINY)
    nets, _, _ = small_step(config)
    for layers in nets.heads.children():
        torch.nn.init.constant_(layers[0].weight, 0.0)
        torch.nn.init.zeros_(layers[0].bias)
        torch.nn.init.zeros_(layers[2].bias)
    _, kept, losses = small_step(config, nets)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["nce"].item() == pytest.approx(10 * math.log(9), rel=1e-2)
    assert all(g.isfinite().all() for g in kept["gen"].gradients)

    dead = oracle.Heads([4], 4)
    for layer in (dead.mlp_0[0], dead.mlp_0[2]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    dead([torch.rand(1, 4, 2, 2)], [torch.arange(3)])[0].sum().backward()
    assert dead.mlp_0[2].bias.grad.isnan().all()


def test_unit_length_where_there_is_one():
    torch.manual_seed(0)
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    expected = x / (x.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7)
    torch.testing.assert_close(unit_length(x), expected, rtol=1e-14, atol=0)
    assert torch.autograd.gradcheck(unit_length, (x,))


def test_contrast_without_the_column_that_adds_nothing():
    torch.manual_seed(1)
    query, key = (unit_length(torch.randn(2, 30, 8, dtype=torch.float64)) for _ in "qk")
    key[0, 3] = -query[0, 3]  # the least favourable positive there is
    positive = (query * key).sum(2, keepdim=True)
    negative = query @ key.transpose(1, 2)
    negative[:, range(30), range(30)] = -10.0
    logits = torch.cat((positive, negative), 2).flatten(0, 1) / 0.07
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(60, dtype=torch.long))
    assert patch_nce(query, key, 0.07).item() == pytest.approx(expected.item(), rel=1e-14)
    same = unit_length(torch.ones(1, 16, 3))
    assert patch_nce(same, same, 0.07).item() == pytest.approx(math.log(16), rel=1e-5)


@pytest.mark.parametrize("mirrored", [False, True])
def test_positions_of_mirrored_maps(mirrored):
    torch.manual_seed(2)
    maps = torch.rand(4, 3, 5, 7)
    positions = torch.stack([torch.randperm(35)[:6] for _ in "ab"])
    given = maps.flip(3) if mirrored else maps
    found = sample_positions(given, positions, mirrored=mirrored)
    assert found.shape == (4, 6, 3)
    for image in range(4):
        for n, position in enumerate(positions[image // 2].tolist()):
            expected = maps[image, :, position // 7, position % 7]
            assert torch.equal(found[image, n], expected)


# ------------------------------------------------------------------------- size and cost


def test_published_sizes():
    """Parameters, the 30×30 map of a 256×256 image, and what is compared in it."""
    config = CUTConfig()
    shapes = map_shapes(config, 256, 256)
    with torch.device("meta"):
        gen, dis = ResnetGenerator(antialias=True), PatchDiscriminator(antialias=True)
        heads = PatchHeads([c for c, _, _ in shapes])
        scores = dis(torch.empty(1, 3, 256, 256))
    assert config.layers == FastCUTConfig().layers == (0, 4, 8, 12, 16)
    assert shapes == [(3, 262, 262), (128, 256, 256), (256, 128, 128), *[(256, 64, 64)] * 2]
    assert sum(p.numel() for p in gen.parameters()) == 11_378_179
    assert sum(p.numel() for p in dis.parameters()) == 2_764_737
    assert sum(p.numel() for p in heads.parameters()) == 560_384
    assert scores.shape == (1, 1, 30, 30)


def tflop(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e12


@pytest.mark.parametrize(
    ("config", "mirrored", "expected", "most"),
    [
        (CUTConfig(), False, 1.436, 1.30),
        (FastCUTConfig(), False, 0.775, 0.70),
        (FastCUTConfig(), True, 0.775, 0.77),
    ],
    ids=["cut", "fastcut", "fastcut mirrored"],
)
def test_an_iteration_costs_less_than_in_the_plain_order(
    config, mirrored, expected, most, capsys, monkeypatch
):
    """Published widths at 256×256, one direction, counted without computing anything.

    Convolutions count as such on both sides, not by what Winograd's way saves on a CPU.
    """
    monkeypatch.setattr("bench.nn.winograd.best_tile", lambda x, weight: 0)
    shapes, terms = map_shapes(config, 256, 256), 2 if config.nce_identity else 1
    channels = [c for c, _, _ in shapes]
    with FakeTensorMode(allow_non_fake_inputs=True):  # a module may hold constants
        nets = Networks(
            ResnetGenerator(antialias=True),
            PatchDiscriminator(antialias=True),
            PatchHeads(channels),
        )
        reference = Networks(oracle.Gen(64), oracle.Dis(64), oracle.Heads(channels, 256))
        a, b = torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256)
        positions = [torch.empty(terms, 256, dtype=torch.long) for _ in shapes]
        ids = [at[t] for t in range(terms) for at in positions]
        kept = [{"gen": Kept(n.gen, n.heads), "dis": Kept(n.dis)} for n in (nets, reference)]
        fast = tflop(lambda: train_step(nets, kept[0], a, b, positions, config, mirrored=mirrored))
        slow = tflop(lambda: plain(reference, config, kept[1], (a, b), mirrored, ids))
    with capsys.disabled():
        kind = f"{type(config).__name__.removesuffix('Config')}{', mirrored' * mirrored}"
        print(f"\n{kind}, one direction at 256²: {fast:.3f} TFLOP, plain order {slow:.3f}")
    assert slow == pytest.approx(expected, abs=0.002)
    assert fast <= most
