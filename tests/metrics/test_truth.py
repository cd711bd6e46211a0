"""PSNR, SSIM and pairwise distances against plain versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import BenchError
from bench.metrics import layers, perceptual, truth
from bench.metrics.networks import squared_distances


def pair(size=24, noise=12.0, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
    b = np.clip(a + rng.normal(0, noise, a.shape), 0, 255).astype(np.uint8)
    return a, b


def test_psnr_by_hand():
    a = np.zeros((4, 4, 3), np.uint8)
    b = np.full((4, 4, 3), 51, np.uint8)
    assert truth.psnr(a, b) == pytest.approx(20 * np.log10(255 / 51))
    assert truth.psnr(a, a) == 100.0
    # uint8 must not wrap around.
    assert truth.psnr(b, a) == truth.psnr(a, b)


def test_ssim_equals_the_definition_window_by_window():
    a, b = pair(14)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(3):
        x, y = a[..., channel].astype(float), b[..., channel].astype(float)
        for i in range(4):
            for j in range(4):
                p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                values.append(
                    (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
                )
    assert truth.ssim(a, b) == pytest.approx(np.mean(values), rel=1e-9)


def test_ssim_bounds():
    a, b = pair()
    assert truth.ssim(a, a) == pytest.approx(1.0)
    assert truth.ssim(a, b) == pytest.approx(truth.ssim(b, a))
    assert truth.ssim(a, 255 - a) < 0
    with pytest.raises(BenchError, match="at least 11"):
        truth.ssim(a[:10], b[:10])


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_squared_distances_equal_the_plain_ones(k, f, seed):
    x = np.random.default_rng(seed).normal(size=(k, f)).astype(np.float32)
    got = squared_distances(torch.from_numpy(x))
    want = ((x[:, None].astype(float) - x[None]) ** 2).sum(-1)
    assert got == pytest.approx(want, rel=1e-4, abs=1e-5)
    assert (np.diagonal(got) == 0).all()
    assert (got == got.T).all()


def test_protocols_pick_their_pairs():
    d = np.arange(36.0).reshape(6, 6)
    d = (d + d.T) / 2
    assert perceptual.independent_pairs(d).tolist() == [d[0, 1], d[2, 3], d[4, 5]]
    assert perceptual.independent_pairs(d, 2).tolist() == [d[0, 1], d[2, 3]]
    expected = np.mean([d[i, j] for i in range(6) for j in range(i + 1, 6)])
    assert perceptual.all_pairs(d) == pytest.approx(expected)
    big = np.ones((50, 50))
    assert len(perceptual.independent_pairs(big)) == 19


# ------------------------------------------------------------------------ modes


def distances_of(points):
    """Distances between all rows of `points`."""
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


@given(st.integers(2, 5), st.integers(1, 8), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_modes_are_assigned_by_the_stated_rule(modes, k, seed):
    rng = np.random.default_rng(seed)
    table = distances_of(rng.normal(size=(k + 1 + modes, 3)))
    to_truths, truths, to_input = table[:k, k + 1 :], table[k + 1 :, k + 1 :], table[:k, k]
    found = truth.assign_modes(to_truths, truths, to_input)
    for sample, mode in enumerate(found):
        nearest = int(to_truths[sample].argmin())
        gap = min(truths[nearest, other] for other in range(modes) if other != nearest)
        near = to_truths[sample, nearest] <= truth.REACH * gap
        left = to_truths[sample, nearest] < to_input[sample]
        assert mode == (nearest if near and left else truth.NONE)
    # The order of the truths does not matter, and a longer reach loses nothing.
    turned = truth.assign_modes(to_truths[:, ::-1], truths[::-1, ::-1], to_input)
    assert [modes - 1 - m if m != truth.NONE else m for m in turned] == found.tolist()
    wider = truth.assign_modes(to_truths, truths, to_input, reach=2.0)
    assert (wider[found != truth.NONE] == found[found != truth.NONE]).all()


@given(st.integers(2, 5), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_a_true_look_shows_its_own_mode_and_a_copy_none(modes, seed):
    table = distances_of(np.random.default_rng(seed).normal(size=(modes + 1, 4)))
    truths, to_input = table[1:, 1:], table[1:, 0]
    assert truth.assign_modes(truths, truths, to_input).tolist() == list(range(modes))
    assert truth.assign_modes(table[:1, 1:], truths, np.zeros(1)).tolist() == [truth.NONE]


# ----------------------------------------------------------------------- factors


def test_left_out_readings_equal_regressions_without_the_row():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(14, 5))
    # One that can hardly be read and one that can: they take penalties of their own.
    factors = np.stack([rng.normal(size=14), x @ rng.normal(size=5)], 1)
    reader = truth.Reader(x, factors)
    # The same ridge problem in its plain form, with scale and penalty held. The means are those
    # of the other rows: from the mean of all rows the row left out could be read.
    rows = x / ((x.std(0) + 1e-6) * np.sqrt(5))
    chosen = []
    for column, y in enumerate(factors.T):
        plain = {}
        for penalty in 10.0 ** np.arange(-2.0, 3.1, 0.5):
            out = []
            for left in range(14):
                keep = np.arange(14) != left
                mean, centre = rows[keep].mean(0), y[keep].mean()
                others = rows[keep] - mean
                gram = others.T @ others + penalty * np.eye(5)
                weights = np.linalg.solve(gram, others.T @ (y[keep] - centre))
                out.append((rows[left] - mean) @ weights + centre)
            plain[penalty] = np.array(out)
        best = min(plain, key=lambda penalty: ((plain[penalty] - y) ** 2).mean())
        assert reader.left_out[:, column] == pytest.approx(plain[best], rel=1e-6)
        alone = truth.Reader(x, y[:, None])
        assert alone.left_out[:, 0] == pytest.approx(plain[best], rel=1e-6)
        chosen.append(best)
    assert chosen[0] != chosen[1]


def test_left_out_readings_promise_nothing_where_there_is_nothing_to_read():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 200)), rng.normal(size=(40, 1))
    reader = truth.Reader(x, y)
    assert ((reader.left_out - y) ** 2).mean() > 0.9 * y.var()


def test_a_linear_factor_is_read():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 20))
    weights = rng.normal(size=(20, 1))
    reader = truth.Reader(x[:150], x[:150] @ weights + 3.0)
    assert reader(x[150:]) == pytest.approx(x[150:] @ weights + 3.0, abs=0.05)


# ----------------------------------------------------------------------- regions


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_rowwise_auc_counts_pairs_of_one_row(seed):
    rng = np.random.default_rng(seed)
    values, positive = rng.integers(0, 5, (4, 7)).astype(float), rng.random((4, 7)) < 0.4
    won, pairs = 0.0, 0
    for row, marks in zip(values, positive, strict=True):
        for a in row[marks]:
            for b in row[~marks]:
                won, pairs = won + (a > b) + 0.5 * (a == b), pairs + 1
    expected = won / pairs if pairs else 0.5
    assert layers.rowwise_auc(values, positive) == pytest.approx(expected)
    # What is added to a whole row counts for nothing.
    lifted = values + 10.0 * np.arange(4)[:, None]
    assert layers.rowwise_auc(lifted, positive) == pytest.approx(expected)


def test_order_kept_counts_pairs_of_one_row():
    depth = np.array([[0.0, 1.0, 2.0], [5.0, 5.1, np.nan]])
    assert layers.order_kept(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), depth) == (3, 3)
    assert layers.order_kept(np.array([[3.0, 2.0, 9.0], [0.0, 0.0, 0.0]]), depth) == (2, 3)


def hill(size=64):
    """Layers of a hill under a sky, a picture of it, and its mirror image."""
    row, column = np.mgrid[:size, :size]
    land = row > size * 0.35 + 0.3 * np.abs(column - size * 0.3)
    depth = np.where(land, np.log(10.0 + column), 11.0)
    ground = layers.Ground(land.astype(np.uint8), depth, ("sky", "land"))
    picture = np.where(land[..., None], [60, 90, 40], [120, 170, 230]).astype(np.uint8)
    return ground, picture, picture[:, ::-1].copy()


def test_skyline_is_found_where_it_is():
    ground, picture, mirrored = hill()
    line = layers.Skyline.of(ground)
    assert len(line.columns) > 40
    assert line.shown(picture).all()
    assert line.shown(mirrored).mean() < 0.5
    assert line.shown(255 - picture).all(), "a negative has the same skyline"
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, picture.shape).astype(np.uint8) for _ in range(20)]
    assert np.mean([line.shown(one) for one in noise]) == pytest.approx(line.chance, abs=0.05)


def test_outlines_are_where_class_or_depth_changes():
    ground, picture, mirrored = hill()
    outline = layers.outlines(ground)
    assert layers.rowwise_auc(layers.gradient(picture), outline) > 0.95
    assert layers.rowwise_auc(layers.gradient(mirrored), outline) < 0.6
    flat = layers.Ground(np.ones((8, 8), np.uint8), np.zeros((8, 8)), ("sky", "land"))
    assert not layers.outlines(flat).any()


def test_layers_of_another_size_keep_their_labels():
    plane = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(layers._fit(plane, (8, 8)), plane.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(layers._fit(plane, (2, 2)), plane[::2, ::2])


def test_palette_by_hand():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = 255
    mask = np.array([[True, True], [False, False]])
    assert layers.palette(pixels, mask) == pytest.approx([0.5] * 6)
