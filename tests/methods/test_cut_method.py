"""CUT and FastCUT as methods: training, resuming, refusing, translating."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
import torch
from pydantic import ValidationError

from bench.api import A2B, B2A, BenchError, Budget, Context, TrainData, TrainedMethod
from bench.training.loop import run_training
from bench_cut import SPECS
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cut.method import CUT, CUTTrainer, FastCUT

CPU = Context(torch.device("cpu"))
SMALL = {
    "ngf": 4,
    "ndf": 4,
    "n_blocks": 2,
    "n_layers_d": 2,
    "head_width": 8,
    "num_patches": 16,
    "load": None,
    "crop": None,
    "lr": 1e-3,
}
TINY, FAST = CUTConfig(**SMALL), FastCUTConfig(**SMALL)
BOTH = pytest.mark.parametrize(("model", "config"), [(CUT, TINY), (FastCUT, FAST)])


def data(size: int = 16, count: int = 5) -> TrainData:
    """Dark reddish and bright bluish pictures of blocks."""
    rng = torch.Generator().manual_seed(0)

    def domain(low: float, tint: tuple[float, float, float]) -> torch.Tensor:
        blocks = torch.rand(count, 1, size // 4, size // 4, generator=rng) * 0.5 + low
        images = torch.nn.functional.interpolate(blocks, scale_factor=4)
        return (images * torch.tensor(tint)[:, None, None] * 255).to(torch.uint8)

    return TrainData(domain(0.1, (1, 0.5, 0.3)), domain(0.5, (0.4, 0.6, 1)), ("summer", "winter"))


def context(work_dir=None, *, seed=0, events=None):
    emit = events.append if events is not None else (lambda event: None)
    return Context(torch.device("cpu"), seed=seed, work_dir=work_dir, emit=emit)


def fit(model, config, iterations, ctx=CPU, directions=("a2b", "b2a")):
    method = model(config, ctx, directions)
    method.fit(data(), Budget(iterations=iterations))
    return method


def same(found, expected):
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []


# ------------------------------------------------------------------------- training


@pytest.mark.nightly
@BOTH
def test_training_moves_colours_towards_the_target(model, config):
    method = fit(model, config, 200)
    images = data().a.float() / 255
    out = method.translate(images, A2B, samples=1, seeds=torch.zeros(5, 1, dtype=torch.long))[:, 0]
    goal = (data().b.float() / 255).mean((0, 2, 3))
    before = (images.mean((0, 2, 3)) - goal).norm()
    after = (out.mean((0, 2, 3)) - goal).norm()
    assert after < 0.5 * before


class Killed(BaseException):
    """Stands for the end of the process."""


def state_of(trainer):
    state = {f"{n}.{k}": v for n, m in trainer.modules.items() for k, v in m.state_dict().items()}
    for name, optimizer in trainer.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            state |= {f"{name}.{index}.{k}": v for k, v in entries.items()}
    return state


@BOTH
def test_killed_and_resumed_is_bit_exact(model, config, tmp_path):
    """Stopped at random points, heads included: as if never stopped."""
    total = 12

    def trainer_in(folder):
        ctx = context(folder, seed=7)
        return CUTTrainer(config, ctx, model(config, ctx).generators, data()), ctx

    whole, ctx = trainer_in(tmp_path / "whole")
    run_training(whole, Budget(iterations=total), ctx)
    rng = random.Random(3)
    for kill in [*sorted(rng.sample(range(total), 5)), None]:
        trainer, ctx = trainer_in(tmp_path / "killed")
        step = trainer.step

        def dying(iteration, total, kill=kill, step=step):
            losses = step(iteration, total)
            if iteration == kill:  # the step was made, and is lost
                raise Killed
            return losses

        trainer.step = dying
        try:
            run_training(trainer, Budget(iterations=total), ctx, checkpoint_seconds=0.0)
        except Killed:
            assert kill is not None
    state = state_of(whole)
    assert "heads_b2a.mlp_4.2.weight" in state
    same(state_of(trainer), state)
    curves = [(tmp_path / name / "losses.jsonl").read_text() for name in ("whole", "killed")]
    assert curves[0] == curves[1]
    assert json.loads(curves[0].splitlines()[-1])["iteration"] == total - 1


@BOTH
def test_each_direction_is_a_training_of_its_own(model, config):
    """Alone it ends bit for bit where it ends beside the other."""
    together = fit(model, config, 4).state_dict()
    alone = [
        fit(model, config, 4, directions=(direction,)).state_dict() for direction in ("a2b", "b2a")
    ]
    same(alone[0] | alone[1], together)


def test_only_the_seed_decides():
    first, again, other = (fit(CUT, TINY, 3, context(seed=seed)).state_dict() for seed in (0, 0, 1))
    same(again, first)
    assert any(not torch.equal(other[key], value) for key, value in first.items())


@BOTH
def test_draws_do_not_depend_on_what_was_drawn_before(model, config):
    trainers = [CUTTrainer(config, CPU, model(config, CPU).generators, data()) for _ in "ab"]
    for step in range(3):
        trainers[0].positions(step)
    drawn = [trainer.positions(3) for trainer in trainers]
    assert all(torch.equal(x, y) for x, y in zip(*drawn, strict=True))
    terms = 2 if model is CUT else 1
    for at, (_, height, width) in zip(drawn[0], trainers[0].shapes, strict=True):
        assert at.shape == (2, terms, min(16, height * width))
        assert all(len(set(row.tolist())) == len(row) for row in at.flatten(0, 1))
        assert at.min() >= 0 and at.max() < height * width
    assert not torch.equal(drawn[0][0][0], drawn[0][0][1]), "directions have streams of their own"
    assert any(
        not torch.equal(x, y) for x, y in zip(drawn[0], trainers[1].positions(4), strict=True)
    )
    flips = [trainers[0].mirrored(step) for step in range(400)]
    assert 150 < sum(flips) < 250 if model is FastCUT else sum(flips) == 0


@BOTH
def test_rate_is_constant_and_then_falls_linearly(model, config):
    trainer = CUTTrainer(config, CPU, model(config, CPU).generators, data())
    rates = []
    for iteration in (0, 10, 11, 19):
        trainer.step(iteration, 20)
        now = {opt.param_groups[0]["lr"] / config.lr for opt in trainer.optimizers.values()}
        assert len(trainer.optimizers) == 4 and len(now) == 1
        rates.append(now.pop())
    later = {CUT: [1 - 1 / 11, 1 - 9 / 11], FastCUT: [1, 1 - 4 / 6]}[model]
    assert rates == pytest.approx([1, 1, *later])


@BOTH
def test_loss_names_and_progress(model, config):
    events = []
    fit(model, config, 2, context(events=events))
    names = {"gan", "nce", "nce_identity", "dis"} if model is CUT else {"gan", "nce", "dis"}
    assert set(events[-1].values) == {
        f"{n}_{direction}" for n in names for direction in ("a2b", "b2a")
    }
    assert (events[-1].done, events[-1].total) == (2, 2)


def test_mirrored_steps_are_a_course_of_their_own():
    """A CUDA graph holds one course of the step; both update the same weights."""
    trainer = CUTTrainer(FAST, CPU, FastCUT(FAST, CPU).generators, data())
    told, update = [], trainer.update
    trainer.update = lambda *given, mirrored: (
        told.append(mirrored) or update(*given, mirrored=mirrored)
    )
    for step in range(6):
        trainer.step(step, None)
    assert told == [trainer.mirrored(step) for step in range(6)] and set(told) == {False, True}
    assert len(trainer.runs) == 2
    assert len(CUTTrainer(TINY, CPU, CUT(TINY, CPU).generators, data()).runs) == 1


@pytest.mark.parametrize("mirror", [False, True])
def test_half_precision_trains_and_keeps_its_losses_in_float32(mirror):
    ctx = dataclasses.replace(CPU, precision="bf16")
    config = TINY.model_copy(update={"mirror": mirror})
    trainer = CUTTrainer(config, ctx, CUT(config, ctx).generators, data())
    before = {k: v.clone() for k, v in state_of(trainer).items()}
    for step in range(4):
        losses = trainer.step(step, None)
        assert all(v.dtype == torch.float32 and v.isfinite() for v in losses.values())
    after = state_of(trainer)
    assert all(v.dtype == torch.float32 for v in after.values())
    moved = [k for k, v in before.items() if not torch.equal(v, after[k])]
    assert {"a2b.model.1.weight", "heads_a2b.mlp_0.0.weight", "dis_b2a.model.0.weight"} <= set(
        moved
    )


def test_sheets_change_no_bit(tmp_path):
    states = []
    for every in (0, 2):
        config = TINY.model_copy(update={"sample_every": every})
        states.append(fit(CUT, config, 3, context(tmp_path / str(every))).state_dict())
    same(*states)
    names = sorted(path.name for path in (tmp_path / "2" / "samples").iterdir())
    assert names == ["00000002.png", "00000003.png"]


# ---------------------------------------------------------------------- translation


@pytest.fixture
def method():
    return CUT(TINY, CPU)


def test_translate_follows_the_contract(method):
    assert isinstance(method, TrainedMethod)
    images = torch.rand(3, 3, 24, 16)
    seeds = torch.arange(6).reshape(3, 2)
    out = method.translate(images, B2A, samples=2, seeds=seeds)
    assert out.shape == (3, 2, 3, 24, 16)
    assert out.dtype == torch.float32 and not out.requires_grad
    assert out.min() >= 0 and out.max() <= 1
    assert torch.equal(out[:, 0], out[:, 1]), "deterministic: one output repeated"
    assert not torch.equal(out, method.translate(images, A2B, samples=2, seeds=seeds))


def test_a_state_that_does_not_fit_is_refused_whole(method):
    before = {key: value.clone() for key, value in method.state_dict().items()}
    wide = CUT(TINY.model_copy(update={"ngf": 8}), CPU).state_dict()
    with pytest.raises(BenchError, match=r"CUT's weights.*'a2b\.model\.1\.weight' has shape"):
        method.load_state_dict(wide)
    with pytest.raises(BenchError, match="input_skip=True, configure"):
        skipping = TINY.model_copy(update={"input_skip": True})
        method.load_state_dict(CUT(skipping, CPU).state_dict())
    same(method.state_dict(), before)


# ------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        ({"crop": 256}, 16, r"crop 256 is larger than the 16×16 images of summer"),
        ({}, 18, r"FastCUT cannot train on 18×18 images"),
        ({"n_layers_d": 3}, 16, r"at least 24"),
    ],
)
def test_sizes_that_cannot_be_trained_are_refused(change, size, message):
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    method = FastCUT(FAST.model_copy(update=change), CPU)
    with pytest.raises(BenchError, match=message):
        method.fit(TrainData(images, images, ("summer", "winter")), Budget(iterations=1))


def test_domains_of_two_sizes_are_refused_unless_cropped():
    a, b = (torch.zeros(2, 3, size, 16, dtype=torch.uint8) for size in (16, 20))
    images = TrainData(a, b, ("summer", "winter"))
    with pytest.raises(BenchError, match=r"summer has 16×16 and winter 16×20: set crop"):
        CUT(TINY, CPU).fit(images, Budget(iterations=1))
    config = TINY.model_copy(update={"crop": 12})
    CUT(config, CPU).fit(images, Budget(iterations=1))


@pytest.mark.parametrize(
    ("change", "layers"),
    [
        ({"n_blocks": 9}, (0, 4, 8, 12, 16)),
        ({"n_blocks": 6}, (0, 4, 8, 12, 16)),
        ({"n_blocks": 3}, (0, 4, 8, 12, 14)),
        ({"n_blocks": 1}, (0, 4, 8, 12)),
        ({"n_blocks": 5, "n_downsampling": 1}, (0, 4, 8, 12)),
        ({"nce_layers": (0, 13)}, (0, 13)),
    ],
)
def test_compared_layers_follow_the_depth(change, layers):
    config = CUTConfig(**SMALL | change)
    assert config.layers == layers
    net = CUT(config, CPU).generators["a2b"]
    kinds = [type(net.model[layer]).__name__ for layer in layers]
    if "nce_layers" not in change:
        blocks = kinds[2 + config.n_downsampling - 1 :]
        assert kinds[0] == "ReflectionPad2d" and set(blocks) == {"ResidualBlock"}
        assert set(kinds[1 : 1 + config.n_downsampling]) == {"Conv2d"}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((0, 14), "go from 0 to 13"),
        ((-1, 4), "go from 0 to 13"),
        ((4, 0), "ascending"),
        ((4, 4), "ascending"),
        ((), "at least one"),
    ],
)
def test_layers_that_are_not_there_are_refused(layers, message):
    with pytest.raises(ValidationError, match=message):
        CUTConfig(**SMALL, nce_layers=layers)


def test_presets_are_configurations():
    published = {"cut": (1.0, True, False, 0.5), "fastcut": (10.0, False, True, 0.75)}
    for spec in SPECS:
        for preset, values in spec.presets.items():
            config = spec.config(**values)
            assert Budget.parse(spec.budgets[preset]).iterations
            if preset == "paper":
                assert (config.ngf, config.n_blocks, config.load, config.crop) == (64, 9, 286, 256)
                assert (config.num_patches, config.head_width, config.lr) == (256, 256, 2e-4)
                found = (config.lambda_nce, config.nce_identity, config.mirror, config.constant)
                assert found == published[spec.name]
                assert not config.input_skip
    assert [spec.budgets["paper"] for spec in SPECS] == [f"{400 * 1231}it", f"{200 * 1231}it"]
