"""Intervals of FID and of its excess over real pictures, held to populations that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from bench.metrics.fid import fid_interval, floor_and_excess, grams, moved


def drawn(rng, n, shift=0.0, d=32):
    """Draw n vectors of a population whose spread falls off as that of features does."""
    return (rng.normal(size=(n, d)) + shift * (np.arange(d) < 8)) / np.sqrt(1 + np.arange(d) / 4)


def weighted_fid(x, weights, y):
    """FID by its definition, of a sample whose pictures weigh as said."""

    def moments(features, w):
        mean = w @ features
        centred = features - mean
        return mean, (centred.T * w) @ centred * len(w) / (len(w) - 1)

    (mean_x, cov_x), (mean_y, cov_y) = moments(x, weights), moments(y, np.full(len(y), 1 / len(y)))
    root = np.trace(linalg.sqrtm(cov_x @ cov_y).real)
    return ((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y) - 2 * root


def test_derivatives_are_those_of_fid():
    rng = np.random.default_rng(0)
    x, y = drawn(rng, 20, 1.0, d=5), drawn(rng, 15, d=5)
    found = moved(grams(x, y))
    equal, step = np.full(20, 1 / 20), 1e-6
    assert weighted_fid(x, equal, y) == pytest.approx(found.value)
    slopes = [
        (weighted_fid(x, (1 - step) * equal + step * one, y) - found.value) / step
        for one in np.eye(20)
    ]
    assert found.x == pytest.approx(slopes, abs=1e-3)
    assert moved(grams(y, x)).y == pytest.approx(found.x)


def coverage(shift, n, m, pool, trials, d=32):
    """Simulate, and return how often intervals hold the mean and how wide they are, of the truth.

    Of FID, then of its excess.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(trials):
        x, y, real = drawn(rng, n, shift, d), drawn(rng, m, d=d), drawn(rng, pool, d=d)
        g = grams(x, y)
        found.append((fid_interval(g), floor_and_excess(g, grams(real, y))[1]))
    said = []
    for intervals in zip(*found, strict=True):
        values = np.array([interval.value for interval in intervals])
        halves = np.array([interval.high - interval.value for interval in intervals])
        held = (np.abs(values - values.mean()) <= halves).mean()
        said += [held, halves.mean() / 1.96 / values.std(ddof=1)]
    return said


def test_intervals_hold_the_mean_and_are_not_too_wide():
    # The pool is as small as it may be: the floor's noise is as large as that of the outputs.
    held, width, excess_held, excess_width = coverage(0.5, 24, 24, 24, 150)
    assert 0.91 <= held <= 0.985
    assert 0.91 <= excess_held <= 0.985
    assert 0.9 <= width <= 1.2
    assert 0.9 <= excess_width <= 1.2


@pytest.mark.nightly
@pytest.mark.parametrize(("shift", "n", "m", "pool"), [(0.5, 60, 50, 60), (1.5, 60, 50, 200)])
def test_intervals_hold_the_mean_as_often_as_they_say(shift, n, m, pool):
    held, width, excess_held, excess_width = coverage(shift, n, m, pool, 600, d=96)
    assert 0.92 <= held <= 0.975
    assert 0.92 <= excess_held <= 0.975
    assert 0.9 <= width <= 1.15
    assert 0.9 <= excess_width <= 1.15


def test_an_interval_moves_and_scales_with_the_features():
    rng = np.random.default_rng(1)
    x, y = drawn(rng, 40, 1.0), drawn(rng, 30)
    plain, larger = fid_interval(grams(x, y)), fid_interval(grams(3 * x + 5, 3 * y + 5))
    assert (larger.value, larger.low, larger.high) == pytest.approx(
        (9 * plain.value, 9 * plain.low, 9 * plain.high)
    )


def test_the_excess_is_what_is_left_of_the_floor():
    rng = np.random.default_rng(2)
    g, real = grams(drawn(rng, 30, 1.0), y := drawn(rng, 25)), grams(drawn(rng, 90), y)
    floor, excess = floor_and_excess(g, real)
    assert excess.value == pytest.approx(moved(g).value - floor.value)
    assert floor.method == "range of 8 real samples"
    assert floor.low < floor.value < floor.high
    alone, _ = floor_and_excess(g, real.subset(x=np.arange(30)))
    assert (alone.low, alone.high, alone.method) == (None, None, None)
