"""How fast scores are, and that the fast ways give the plain ways' numbers.

Run with ``pytest tests/speed --benchmark-enable``.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from bench.metrics import kid
from bench.metrics.fid import fid, grams
from bench.metrics.networks import squared_distances
from tests import networks
from tests.speed.compare_scoring import compare

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(1280, 1280)) / 1280**0.5
    draw = [np.maximum(rng.normal(size=(n, 1280)) @ mix, 0) for n in (309, 238)]
    return [x.astype(np.float32) for x in draw]


def test_grams(benchmark, features):
    benchmark(grams, *features)


def test_fid(benchmark, features):
    g = grams(*features)
    benchmark(fid, g)


def test_kid_with_its_interval(benchmark, features):
    g = grams(*features)
    k = [kid.kernel(products, g.dimension) for products in (g.xx, g.yy, g.xy)]
    benchmark(kid.kid_interval, *k)


def test_lite0_features(benchmark):
    network = networks.build("efficientnet-lite0")
    images = torch.zeros((8, 3, 64, 64), dtype=torch.uint8)
    benchmark(network.describe, images)


def test_perceptual_distances_of_ten_samples(benchmark):
    network = networks.build("st-lpips-alex")
    images = torch.randint(0, 256, (10, 3, 64, 64), dtype=torch.uint8)
    benchmark(lambda: squared_distances(network.embed(images)))


@pytest.mark.nightly
def test_the_nuclear_norm_is_faster_than_the_covariance_root(features):
    """Same number, at least twice as fast: no 1280 x 1280 eigenvalues."""
    with np.errstate(all="ignore"):
        began = time.perf_counter()
        theirs = fid_statistics_to_metric(
            *(fid_features_to_statistics(torch.from_numpy(x).double()) for x in features), False
        )["frechet_inception_distance"]
        plain = time.perf_counter() - began
    began = time.perf_counter()
    ours = fid(grams(*features))
    fast = time.perf_counter() - began
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert fast < plain / 2, f"{fast:.2f} s against {plain:.2f} s"


@pytest.mark.nightly
def test_scoring_is_twice_as_fast_as_the_libraries_one_by_one(yosemite_root):
    """The same numbers in half the time; the whole set: ``tests/speed/compare_scoring.py``."""
    found = compare(yosemite_root, size=96, samples=6, limit=12)
    ours, plain = found["ours"], found["one by one"]
    for direction, values in ours["values"].items():
        theirs = plain["values"][direction]
        for name in ("fid", "precision", "recall"):
            assert values[name] == pytest.approx(theirs[name], rel=1e-3)
        for name in ("lpips_diversity", "lpips_input"):
            assert values[name] == pytest.approx(theirs[name], rel=1e-4)
        # With subsets as large as the smaller set theirs is exact up to a drawn remainder.
        error = 4 * theirs["kid, error of its subsets"] + 1e-3 * abs(theirs["kid"])
        assert abs(values["kid"] - theirs["kid"]) <= error
    assert ours["seconds"] < plain["seconds"] / 2, f"{ours['seconds']} and {plain['seconds']} s"
    assert ours["second scoring"] < ours["seconds"] / 2
