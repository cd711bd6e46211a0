"""The baselines do what their one sentence says, and only the seed decides."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest
import torch

from bench.api import A2B, B2A, BenchError, Config, Context, ExemplarMethod, Method
from bench_baselines import SPECS
from bench_baselines.color import lab_to_rgb, match_histograms, rgb_to_lab, transfer_statistics

NAMES = [spec.name for spec in SPECS]


def build(name: str, seed: int = 0):
    spec = next(s for s in SPECS if s.name == name)
    module, _, cls = spec.implementation.partition(":")
    method = getattr(importlib.import_module(module), cls)(
        spec.config(), Context(torch.device("cpu"), seed=seed)
    )
    assert isinstance(method, Method)
    assert isinstance(method, ExemplarMethod) is spec.exemplar
    return spec, method


@pytest.fixture
def pool() -> torch.Tensor:
    return torch.randint(
        0, 256, (7, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(2))


def run(name, images, pool, seeds, direction=A2B, seed=0):
    _, method = build(name, seed)
    if isinstance(method, ExemplarMethod):
        method.use_exemplars(pool, direction)
    return method.translate(images, direction, samples=seeds.shape[1], seeds=seeds)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_follow_the_contract(name, images, pool):
    seeds = torch.arange(6).reshape(3, 2) + 2**40
    out = run(name, images, pool, seeds)
    assert out.shape == (3, 2, 3, 40, 40)
    assert out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    assert torch.equal(out, run(name, images, pool, seeds))
    # Nothing depends on the neighbours in the batch.
    alone = torch.cat([run(name, images[i : i + 1], pool, seeds[i : i + 1]) for i in range(3)])
    assert torch.equal(out, alone)


@pytest.mark.parametrize("name", NAMES)
def test_multimodal_is_what_the_seed_changes(name, images, pool):
    spec, _ = build(name)
    outs = [run(name, images, pool, torch.full((3, 1), s)) for s in range(5)]
    differ = any(not torch.equal(x, y) for x, y in itertools.pairwise(outs))
    assert differ is spec.multimodal


def test_identity_is_exact(images, pool):
    out = run("identity", images, pool, torch.zeros(3, 2, dtype=torch.long))
    assert torch.equal(out[:, 1], images)


@pytest.mark.parametrize("name", ["nearest_target", "constant_target", "real_target"])
def test_copies_come_from_the_pool_unchanged(name, images, pool):
    out = run(name, images, pool, torch.arange(6).reshape(3, 2)).flatten(0, 1)
    levels = (out * 255).round().to(torch.uint8)
    assert all((pool == image).all(dim=(1, 2, 3)).any() for image in levels)


def test_nearest_target_finds_a_planted_neighbour(images, pool):
    planted = pool.clone()
    planted[4] = (images[1] * 255).round().to(torch.uint8)
    out = run("nearest_target", images, planted, torch.zeros(3, 1, dtype=torch.long))
    assert torch.equal((out[1, 0] * 255).round().to(torch.uint8), planted[4])


def test_constant_target_is_one_image_and_the_training_seed_says_which(images, pool):
    seeds = torch.arange(6).reshape(3, 2)
    outs = [run("constant_target", images, pool, seeds, seed=s) for s in range(8)]
    for out in outs:
        assert (out == out[:1, :1]).all()
    assert len({round(float(out[0, 0].sum()), 3) for out in outs}) > 1


def test_real_target_reaches_the_whole_pool(pool):
    seeds = torch.arange(80)[None]
    out = run("real_target", torch.zeros(1, 3, 40, 40), pool, seeds)[0]
    assert len({round(float(image.sum()), 2) for image in out}) == len(pool)


def test_exemplars_of_another_size_are_resized(images):
    pool = torch.zeros(2, 3, 24, 31, dtype=torch.uint8)
    seeds = torch.zeros(3, 1, dtype=torch.long)
    for name in ("nearest_target", "constant_target", "real_target", "color_transfer"):
        assert run(name, images, pool, seeds).shape == (3, 1, 3, 40, 40)


def test_directions_have_pools_of_their_own(images, pool):
    _, method = build("real_target")
    method.use_exemplars(pool, A2B)
    with pytest.raises(BenchError, match=r"no exemplars for b2a"):
        method.translate(images, B2A, samples=1, seeds=torch.zeros(3, 1, dtype=torch.long))


def test_bad_pools_and_weights_are_refused_in_one_line():
    _, method = build("color_transfer")
    with pytest.raises(BenchError, match=r"at least one image"):
        method.use_exemplars(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), A2B)
    with pytest.raises(BenchError, match=r"has no weights"):
        method.load_state_dict({"model.1.weight": torch.zeros(1)})
    method.load_state_dict(method.state_dict())
    assert isinstance(method.config, Config)


# ------------------------------------------------------------------------- colour


def test_lab_of_known_colours():
    """White, mid grey, sRGB red and blue, as any colour table gives them."""
    rgb = torch.tensor([[1.0, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    lab = rgb_to_lab(rgb[:, :, None, None])[:, :, 0, 0]
    known = [[100, 0, 0], [53.389, 0, 0], [53.241, 80.092, 67.203], [32.297, 79.188, -107.860]]
    assert torch.allclose(lab, torch.tensor(known, dtype=torch.float64), atol=0.02)


def test_lab_goes_there_and_back(images):
    assert torch.allclose(lab_to_rgb(rgb_to_lab(images.double())), images.double(), atol=1e-9)


def test_transfer_takes_mean_and_spread_of_the_exemplar():
    rng = torch.Generator().manual_seed(5)
    # Muted colours, so that nothing is clipped.
    image = 0.45 + 0.1 * torch.rand(1, 3, 32, 32, generator=rng, dtype=torch.float64)
    exemplar = 0.5 + 0.05 * torch.rand(1, 3, 20, 50, generator=rng, dtype=torch.float64)
    out, target = rgb_to_lab(transfer_statistics(image, exemplar)), rgb_to_lab(exemplar)
    assert torch.allclose(out.mean((-2, -1)), target.mean((-2, -1)), atol=1e-6)
    spread, wanted = (x.std((-2, -1), correction=0) for x in (out, target))
    assert torch.allclose(spread, wanted, atol=1e-6)


def test_transfer_of_a_flat_image_stays_finite():
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert transfer_statistics(flat, torch.rand(1, 3, 8, 8)).isfinite().all()


def test_histogram_matching_agrees_with_numpy():
    rng = np.random.default_rng(3)
    image = (rng.beta(2, 5, (3, 33, 21)) * 255).round()
    exemplar = (rng.beta(5, 2, (3, 17, 40)) * 255).round()
    expected = np.empty_like(image)
    for c in range(3):
        _, inverse, counts = np.unique(image[c], return_inverse=True, return_counts=True)
        values, others = np.unique(exemplar[c], return_counts=True)
        source = np.cumsum(counts) / image[c].size
        target = np.cumsum(others) / exemplar[c].size
        expected[c] = np.interp(source, target, values)[inverse].reshape(image[c].shape)
    out = match_histograms(
        torch.from_numpy(image)[None] / 255, torch.from_numpy(exemplar)[None] / 255
    )
    np.testing.assert_allclose(out[0].numpy() * 255, expected, atol=1e-9)


def test_histogram_matching_to_itself_changes_nothing(images):
    levels = (images * 255).round() / 255
    assert torch.allclose(match_histograms(levels, levels), levels, atol=1e-6)
