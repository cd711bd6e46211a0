"""MUNIT behind the suite's contracts: training, translating, codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from bench.api import (
    A2B,
    B2A,
    BenchError,
    Budget,
    CodedMethod,
    Context,
    Diverged,
    TrainData,
    TrainedMethod,
)
from bench.training import loop
from bench.training.loop import run_training
from bench.training.watch import Sheet
from bench_munit import SPEC
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT
from bench_munit.networks import Generator
from bench_munit.step import TINTS, recolour
from bench_munit.trainer import MUNITTrainer, draw_styles, draw_tints

TINY = {"gen_dim": 2, "mlp_dim": 4, "n_res": 1, "dis_dim": 2, "dis_num_scales": 1, "crop_size": 16}


def context(work_dir=None, **more):
    return Context(device=torch.device("cpu"), work_dir=work_dir, **more)


def pictures(n=5, size=20, seed=0):
    draws = torch.Generator().manual_seed(seed)
    a, b = (
        torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=draws) for _ in "ab"
    )
    return TrainData(a, b // 2, ("summer", "winter"))


def make(ctx=None, **config):
    return MUNIT(MUNITConfig(**{**TINY, **config}), ctx or context())


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, bench_munit; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_spec_and_presets():
    assert set(SPEC.presets) == set(SPEC.budgets) == {"demo", "quick", "paper"}
    for name, preset in SPEC.presets.items():
        SPEC.config(**preset)
        assert Budget.parse(SPEC.budgets[name]).iterations
    paper = SPEC.config(**SPEC.presets["paper"])
    assert paper == MUNITConfig()
    assert SPEC.budgets["paper"] == "1000000it"
    assert paper.model_dump() == json.loads("""{
      "gen_dim": 64, "mlp_dim": 256, "style_dim": 8, "style_std": 1, "n_downsample": 2,
      "n_res": 4, "antialias": false, "pixel_skip": false, "content_jitter": 0,
      "dis_dim": 64, "dis_n_layer": 4, "dis_num_scales": 3, "gan_w": 1, "recon_x_w": 10,
      "recon_s_w": 1, "recon_c_w": 1, "recon_x_cyc_w": 10, "source_negatives": 0,
      "vgg_w": 0, "vgg_weights": "caffe-vgg16",
      "lr": 1e-4, "beta1": 0.5, "beta2": 0.999,
      "weight_decay": 1e-4, "lr_steps": 10, "gamma": 0.5, "init": "kaiming", "same_start": false,
      "ema": 0, "warmup": 0, "batch_size": 1, "new_size": null, "crop_size": 256,
      "sample_every": 10000, "keep": "last", "compile": false, "capture": true, "tune": true}""")


def test_contract():
    method = make()
    assert isinstance(method, TrainedMethod) and isinstance(method, CodedMethod)
    x = torch.rand(2, 3, 24, 20)
    seeds = torch.tensor([[5, 6, 7], [8, 5, 2**62]])
    out = method.translate(x, A2B, samples=3, seeds=seeds)
    assert out.shape == (2, 3, 3, 24, 20) and out.min() >= 0 and out.max() <= 1
    assert not out.requires_grad
    alone = method.translate(x[1:], A2B, samples=1, seeds=torch.tensor([[5]]))
    assert torch.equal(out[1, 1], alone[0, 0]), "an output depends on its image and seed alone"
    assert not torch.equal(out[0, 0], out[0, 1])
    assert not torch.equal(out, method.translate(x, B2A, samples=3, seeds=seeds))
    with pytest.raises(BenchError, match="too small"):
        method.translate(torch.rand(1, 3, 12, 64), A2B, samples=1, seeds=torch.tensor([[0]]))


@pytest.mark.parametrize("pixel_skip", [False, True])
def test_codes_make_the_same_picture_as_translate(pixel_skip):
    method = make(pixel_skip=pixel_skip)
    x, seeds = torch.rand(2, 3, 16, 16), torch.tensor([3, 4])
    content, style = method.encode(x, "a")
    assert style.shape == (2, 8)
    drawn = method.sample_styles(seeds)
    assert drawn.shape == (2, 8) and method.sample_styles(seeds.view(1, 2)).shape == (1, 2, 8)
    decoded = method.decode(content, drawn, "b")
    translated = method.translate(x, A2B, samples=1, seeds=seeds.view(2, 1))[:, 0]
    torch.testing.assert_close(decoded, translated)
    assert method.decode(content, style, "a").shape == x.shape


def test_styles_are_drawn_as_widely_as_asked():
    seeds = torch.arange(6).view(3, 2)
    widely = make().sample_styles(seeds)
    assert torch.equal(make(style_std=0.5).sample_styles(seeds), 0.5 * widely)
    assert not make(style_std=0).sample_styles(seeds).any()


def test_all_at_once_as_on_a_gpu_is_the_same_up_to_rounding():
    method, images = make(), torch.rand(3, 3, 16, 20)
    seeds = torch.arange(6).view(3, 2)
    alone = method.translate(images, A2B, samples=2, seeds=seeds)
    assert method._alone
    method._alone = False
    sizes = []
    encoder = method.generators["a"].enc_content
    encoder.register_forward_hook(lambda module, given, out: sizes.append(len(given[0])))
    together = method.translate(images, A2B, samples=2, seeds=seeds)
    assert sizes == [3]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_start_comes_from_the_seed_alone():
    one = make()
    torch.manual_seed(99)
    two, other = make(), make(context(seed=1))
    assert equal(one.state_dict(), two.state_dict())
    assert not equal(one.state_dict(), other.state_dict())
    a, b = (one.generators[d].state_dict() for d in "ab")
    assert not equal(a, b)
    alike = make(same_start=True)
    assert equal(*(alike.generators[d].state_dict() for d in "ab"))
    weight = one.state_dict()["a.enc_content.model.0.conv.weight"]
    assert abs(weight.std() - (2 / 147) ** 0.5) < 0.02
    gamma = one.state_dict()["a.dec.model.2.norm.gamma"]
    assert gamma.min() >= 0 and gamma.max() < 1


def test_discriminators_start_from_the_normal_distribution():
    method = MUNIT(MUNITConfig(**{**TINY, "dis_dim": 16, "init": "xavier"}), context())
    gens = [method._generator(d) for d in "ab"]
    trainer = MUNITTrainer(method.config, method.ctx, *gens, pictures())
    weight = trainer.nets.dis_a.cnns[0][2].conv.weight
    assert abs(weight.std() - 0.02) < 0.002
    assert not torch.equal(weight, trainer.nets.dis_b.cnns[0][2].conv.weight)


def test_training_is_reproducible_and_moves_every_weight(tmp_path):
    runs = []
    for folder in ("one", "two"):
        method = make(context(tmp_path / folder))
        before = {k: v.clone() for k, v in method.state_dict().items()}
        method.fit(pictures(), Budget(iterations=3))
        runs.append(method.state_dict())
        moved = [k for k, v in method.state_dict().items() if not torch.equal(v, before[k])]
        assert moved == list(before)
    assert equal(*runs)
    lines = (tmp_path / "one" / "losses.jsonl").read_text().splitlines()
    losses = json.loads(lines[-1])["losses"]
    assert {"dis_total", "gen_total", "gen_recon_x_a", "gen_cycrecon_x_b"} <= losses.keys()


def test_options_train_too():
    for options in (
        {"recon_x_cyc_w": 0.0},
        {"batch_size": 2, "new_size": 24},
        {"n_downsample": 1, "crop_size": None},
        {"init": "orthogonal"},
        {"pixel_skip": True},
    ):
        method = make(**options)
        method.fit(pictures(), Budget(iterations=1))
        out = method.translate(torch.rand(1, 3, 16, 16), A2B, samples=1, seeds=torch.tensor([[0]]))
        assert out.isfinite().all(), options


def test_small_images_lower_the_crop_and_tiny_ones_are_refused():
    make(crop_size=256).fit(pictures(size=18), Budget(iterations=1))
    with pytest.raises(BenchError, match="16 pixels a side at least, here are 12"):
        make().fit(pictures(size=13), Budget(iterations=1))
    with pytest.raises(BenchError, match="64 pixels a side at least, here are 20"):
        make(dis_num_scales=3, crop_size=64).fit(pictures(size=20), Budget(iterations=1))


def test_the_schedule_halves_the_rate_at_every_step():
    method = make(lr=0.01, lr_steps=4)
    gens = [method._generator(d) for d in "ab"]
    trainer = MUNITTrainer(method.config, method.ctx, *gens, pictures())
    rates = []
    for iteration in range(8):
        trainer.step(iteration, 8)
        rates.append([opt.param_groups[0]["lr"] for opt in trainer.optimizers.values()])
    # As in the original, the schedule steps before the iteration.
    assert rates == [[0.01 * 0.5 ** ((i + 1) * 4 // 8)] * 2 for i in range(8)]


def test_style_draws_are_four_different_ones_and_a_function_of_the_iteration():
    config = MUNITConfig(**TINY, batch_size=2)
    styles = draw_styles(config, 0, 5)
    assert [s.shape for s in styles] == [(2, 8, 1, 1)] * 4
    assert len({s.sum().item() for s in styles}) == 4
    assert equal(styles._asdict(), draw_styles(config, 0, 5)._asdict())
    assert not torch.equal(styles.dis_a, draw_styles(config, 0, 6).dis_a)


def test_tints_are_a_function_of_the_iteration_and_leave_the_styles_as_they_are():
    config = MUNITConfig(**TINY, batch_size=2, content_jitter=0.5)
    tints = draw_tints(config, 0, 5)
    assert tints.shape == (2, 2, *TINTS)
    assert torch.equal(tints, draw_tints(config, 0, 5))
    assert not torch.equal(tints, draw_tints(config, 0, 6))
    plain = draw_styles(MUNITConfig(**TINY, batch_size=2), 0, 5)
    assert equal(draw_styles(config, 0, 5)._asdict(), plain._asdict())


def test_recolour_changes_the_light_and_leaves_the_edges():
    torch.manual_seed(4)
    x = torch.rand(2, 3, 48, 64) * 0.2 - 0.4
    x[..., 20:] += 0.6  # an edge down the picture
    tints = torch.randn(2, *TINTS)
    out = recolour(x, tints, 0.2)
    assert torch.equal(out[1:], recolour(x[1:], tints[1:], 0.2)), "each image by its own tints"
    change = out - x
    assert change.std((2, 3)).min() > 0.02, "other colours here than there"
    assert change.diff(dim=-1).abs().max() < 0.03, "and nowhere an edge"
    assert torch.allclose(change[:, :, 0, 0], 0.2 * tints[:, :, 0, 0]), "a corner has its own"
    assert torch.equal(recolour(x, tints, 0.0), x)
    assert recolour(x, tints, 9.0).abs().max() == 1


def test_content_is_read_from_recoloured_images_and_style_from_theirs():
    net = Generator(MUNITConfig(**TINY))
    x, other = torch.rand(2, 1, 3, 16, 16)
    content, style = net.encode(x, other)
    assert torch.equal(content, net.encode(other)[0]) and torch.equal(style, net.encode(x)[1])


def test_divergence_stops_with_the_last_good_checkpoint(tmp_path):
    ctx = context(tmp_path)
    method = make(ctx)
    method.fit(pictures(), Budget(iterations=2))
    good = (tmp_path / "last.pt").read_bytes()
    again = make(ctx)
    gens = [again._generator(d) for d in "ab"]
    trainer = MUNITTrainer(again.config, ctx, *gens, pictures())
    step = trainer.step

    def poisoned(iteration, total):
        trainer.nets.gen_a.mlp.model[0].fc.weight.data.fill_(float("nan"))
        return step(iteration, total)

    trainer.step = poisoned
    with pytest.raises(Diverged, match="not finite at iteration 2"):
        run_training(trainer, Budget(iterations=9), ctx, checkpoint_seconds=0)
    assert (tmp_path / "last.pt").read_bytes() == good


def test_bf16_runs_close_to_fp32():
    x, seeds = torch.rand(1, 3, 32, 32), torch.tensor([[1]])
    wide, narrow = make(), make(context(precision="bf16"))
    expected = wide.translate(x, A2B, samples=1, seeds=seeds)
    got = narrow.translate(x, A2B, samples=1, seeds=seeds)
    assert got.dtype == torch.float32 and not torch.equal(got, expected)
    assert (got - expected).abs().mean() < 0.02
    before = {k: v.clone() for k, v in narrow.state_dict().items()}
    narrow.fit(pictures(), Budget(iterations=2))
    wide.fit(pictures(), Budget(iterations=2))
    state = narrow.state_dict()
    assert all(v.dtype == torch.float32 for v in state.values())
    # Every weight moves: none lost its gradient to autocast's cache of converted weights.
    assert [k for k in state if torch.equal(state[k], before[k])] == []


def test_watching_changes_no_bit(tmp_path):
    states = []
    for folder, config in (("plain", {"sample_every": 0}), ("watched", {"sample_every": 1})):
        method = make(context(tmp_path / folder, judge=mean_judge), **config)
        method.fit(pictures(), Budget(iterations=3))
        states.append(method.state_dict())
    assert equal(*states)
    names = sorted(p.name for p in (tmp_path / "watched" / "samples").iterdir())
    assert names == [f"{i:08d}.png" for i in (1, 2, 3)]
    assert not (tmp_path / "plain" / "samples").exists()


def mean_judge(real):
    """A judge that likes dark pictures."""
    return lambda outputs: float(outputs.float().mean())


def test_a_sheet_has_fixed_and_fresh_styles_for_both_directions():
    method, data = make(), pictures(n=5, size=20)
    sheet = Sheet(method._row, data, context(seed=1), multiple_of=4)
    one, two = sheet(1), sheet(2)
    assert one.shape == (3, 8 * 22 - 2, 6 * 22 - 2)
    assert torch.equal(one, sheet(1))
    assert torch.equal(one[..., : 4 * 22], two[..., : 4 * 22])
    for column in (4, 5):
        assert not torch.equal(one[..., column * 22 :][..., :20], two[..., column * 22 :][..., :20])
    torch.testing.assert_close(one[:, :20, :20], data.a[0].float() / 255)
    torch.testing.assert_close(one[:, 88:108, :20], data.b[0].float() / 255)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_keep_best_gives_the_weights_of_the_best_point(tmp_path, ema):
    ctx = context(tmp_path, judge=mean_judge)
    best, last = make(ctx, keep="best", ema=ema), make(ema=ema)
    best.fit(pictures(), Budget(iterations=4))
    values = [json.loads(s)["kid"] for s in (tmp_path / "quality.jsonl").read_text().splitlines()]
    assert len(values) == 4
    chosen = values.index(min(values)) + 1
    same = make(context(tmp_path / "again", judge=mean_judge), keep="best", ema=ema)
    same.fit(pictures(), Budget(iterations=4))
    assert equal(best.state_dict(), same.state_dict())
    last.fit(pictures(), Budget(iterations=4))
    assert equal(best.state_dict(), last.state_dict()) == (chosen == 4)
    with pytest.raises(BenchError, match="keep=best needs"):
        make(keep="best").fit(pictures(), Budget(iterations=1))


def test_a_budget_in_minutes_has_the_schedule_of_its_iterations(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    method = make(lr=0.01, lr_steps=4)
    gens = [method._generator(domain) for domain in "ab"]
    trainer = MUNITTrainer(method.config, method.ctx, *gens, pictures())
    rates, step = [], trainer.step

    def timed(iteration, total):
        now[0] += 3.0
        losses = step(iteration, total)
        rates.append(trainer.optimizers["gen"].param_groups[0]["lr"])
        return losses

    trainer.step = timed
    assert run_training(trainer, Budget.parse("1m"), method.ctx) == 20
    # While the pace is measured the rate is at its start; from then on it is what 20it give.
    whole = [0.01 * 0.5 ** ((i + 1) * 4 // 20) for i in range(20)]
    assert rates == [0.01] * 10 + whole[10:]
