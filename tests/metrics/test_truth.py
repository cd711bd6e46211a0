"""PSNR, SSIM and pairwise distances against plain versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import BenchError
from bench.metrics import perceptual, truth


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
    got = perceptual.squared_distances(x)
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
