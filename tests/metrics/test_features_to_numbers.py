"""KID, FID, precision and recall, IS: torch-fidelity is the oracle on the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import spatial, special
from sklearn import metrics
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from bench.metrics import classifier, cmmd, content, prc, season
from bench.metrics.fid import fid, fid_interval, grams
from bench.metrics.kid import kernel, kid, kid_interval

SIZES = [(12, 9), (60, 60), (309, 238)]


def kernels(x, y):
    g = grams(x, y)
    return [kernel(products, g.dimension) for products in (g.xx, g.yy, g.xy)]


# ------------------------------------------------------------------------------ oracles


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_fid_agrees_with_torch_fidelity(clouds, n, m):
    x, y = clouds(n, m, d=128)
    with np.errstate(all="ignore"):
        theirs = fid_statistics_to_metric(
            *(fid_features_to_statistics(torch.from_numpy(f).double()) for f in (x, y)), False
        )["frechet_inception_distance"]
    assert fid(grams(x, y)) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("n", [12, 60, 238])
def test_kid_agrees_with_torch_fidelity_on_the_full_sample(clouds, n):
    # With subsets as large as the sample torch-fidelity's estimate is exact too.
    x, y = clouds(n, n)
    theirs = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=1,
        kid_subset_size=n,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert kid(*kernels(x, y)) == pytest.approx(theirs, rel=1e-3)


def test_kid_at_unequal_sizes_is_the_mean_of_torch_fidelitys_subsets(clouds):
    x, y = clouds(80, 50)
    theirs = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=4000,
        kid_subset_size=40,
        verbose=False,
    )
    error = theirs["kernel_inception_distance_std"] / np.sqrt(4000)
    ours = kid(*kernels(x, y))
    assert abs(ours - theirs["kernel_inception_distance_mean"]) < 4 * error
    assert 4 * error < 0.02 * ours


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall_agree_with_torch_fidelity(clouds, n, m, k):
    x, y = clouds(n, m, shift=0.05)
    # float64: torch-fidelity's float32 cdist by matrix products is off at small distances.
    theirs = prc_features_to_metric(
        torch.from_numpy(x).double(),
        torch.from_numpy(y).double(),
        prc_neighborhood=k,
        verbose=False,
    )
    ours = prc.balls(grams(x, y), k)
    assert ours.precision().value == pytest.approx(theirs["precision"], rel=1e-3)
    assert ours.recall().value == pytest.approx(theirs["recall"], rel=1e-3)


def test_inception_score_agrees_with_torch_fidelity():
    logits = np.random.default_rng(0).normal(size=(50, 10)) * 2
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=1)["inception_score_mean"]
    p = torch.from_numpy(logits).softmax(1).numpy()
    ours = season.inception_scores(p[:, None, :]).total.mean()
    assert np.exp(ours) == pytest.approx(theirs, rel=1e-6)


def test_density_and_coverage_by_the_definition(clouds):
    x, y = clouds(20, 15, d=8)
    k = 3
    real = np.linalg.norm(y[:, None] - y[None], axis=-1)
    radius = np.sort(real, axis=1)[:, k]
    across = np.linalg.norm(x[:, None] - y[None], axis=-1)
    density = np.mean([sum(across[i, j] <= radius[j] for j in range(15)) / k for i in range(20)])
    coverage = np.mean([any(across[i, j] <= radius[j] for i in range(20)) for j in range(15)])
    ours = prc.balls(grams(x, y), k)
    assert ours.density().value == pytest.approx(density)
    assert ours.coverage().value == pytest.approx(coverage)


def test_the_weighted_bootstrap_is_kid_of_a_sample_without_self_pairs(clouds):
    # The plain version: repeat pictures, then leave out pairs of a picture and its own copy.
    x, y = clouds(6, 5)
    kxx, kyy, kxy = kernels(x, y)
    w = np.array([[2.0, 0, 1, 0, 3, 0]])
    from bench.metrics.kid import _within

    drawn = [0, 0, 2, 4, 4, 4]
    pairs = [kxx[a, b] for a in drawn for b in drawn if a != b]
    assert _within(kxx, w)[0] == pytest.approx(np.mean(pairs))
    assert kid(kxx, kyy, kxy) == pytest.approx(
        kxx[~np.eye(6, dtype=bool)].mean() + kyy[~np.eye(5, dtype=bool)].mean() - 2 * kxy.mean()
    )


# --------------------------------------------------------------------------- properties


@given(st.integers(3, 25), st.integers(3, 25), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_distances_are_symmetric_and_blind_to_order(clouds, n, m, seed):
    x, y = clouds(n, m, d=16, seed=seed)
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(n), rng.permutation(m)
    assert kid(*kernels(x, y)) == pytest.approx(kid(*kernels(y, x)), rel=1e-9, abs=1e-12)
    assert kid(*kernels(x, y)) == pytest.approx(kid(*kernels(x[a], y[b])), rel=1e-9, abs=1e-12)
    assert fid(grams(x, y)) == pytest.approx(fid(grams(y, x)), rel=1e-6)
    assert fid(grams(x, y)) == pytest.approx(fid(grams(x[a], y[b])), rel=1e-6)


def test_fid_of_a_set_with_itself_is_zero(clouds):
    x, _ = clouds(40, 3)
    assert fid(grams(x, x)) == pytest.approx(0, abs=1e-8)


def test_kid_of_halves_of_one_set_is_zero_on_average():
    # Unbiased: over many draws from one distribution the mean is zero within its error.
    rng = np.random.default_rng(0)
    values = []
    for _ in range(300):
        x = rng.normal(size=(30, 16))
        values.append(kid(*kernels(x[:15], x[15:])))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)


def test_cmmd_is_its_definition_written_out(clouds):
    x, y = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in clouds(13, 9))
    x, y = x.astype(np.float64), y.astype(np.float64)

    def mean(a, b, apart):
        return np.mean(
            [
                np.exp(-((p - q) ** 2).sum() / (2 * 10.0**2))
                for i, p in enumerate(a)
                for j, q in enumerate(b)
                if not apart or i != j
            ]
        )

    want = 1000 * (mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False))
    assert want > 0.05
    assert kid(*cmmd.kernels(grams(x, y))) == pytest.approx(want, abs=1e-9)


def test_fid_of_the_same_distribution_is_far_from_zero():
    # Why FID never stands without its floor.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 256))
    assert fid(grams(x[:50], x[50:])) > 50
    assert abs(kid(*kernels(x[:50], x[50:]))) < 0.1


def test_the_fid_interval_holds_its_point(clouds):
    x, y = clouds(80, 60)
    interval = fid_interval(grams(x, y))
    assert interval.low < interval.value < interval.high


def test_too_few_pictures_give_no_interval(clouds):
    x, y = clouds(2, 2)
    assert kid_interval(*kernels(x, y))[0].low is None
    assert fid_interval(grams(x, y)).low is None
    with pytest.raises(ValueError, match="more than 3"):
        prc.balls(grams(*clouds(3, 9)), 3)


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.integers(1, 6).flatmap(
            lambda k: st.lists(st.floats(0, 1), min_size=n * k, max_size=n * k).map(
                lambda values: np.array(values).reshape(n, k)
            )
        )
    )
)
@settings(deadline=None, max_examples=60)
def test_is_equals_cis_plus_the_term_between_inputs(p):
    found = season.inception_scores(np.stack([p, 1 - p], axis=-1))
    assert found.total.mean() == pytest.approx(
        found.conditional.mean() + found.between.mean(), abs=1e-9
    )
    assert (found.conditional >= -1e-12).all()


# ------------------------------------------------------------------------------- season


def test_the_classifier_separates_what_differs_and_knows_when_it_does_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (150, 40)), rng.normal(0, 1, (120, 40))
    b[:, :3] += 2.0
    found = classifier.train(a, b)
    fresh = np.r_[rng.normal(0, 1, (200, 40)), rng.normal(0, 1, (200, 40))]
    fresh[200:, :3] += 2.0
    labels = np.r_[np.zeros(200), np.ones(200)]
    p = found.probabilities(fresh)
    assert ((p >= 0.5) == labels).mean() > 0.93
    assert season.calibration_error(p, labels) < 0.06
    same = classifier.train(rng.normal(size=(150, 40)), rng.normal(size=(150, 40)))
    confidence = np.abs(same.probabilities(rng.normal(size=(200, 40))) - 0.5)
    assert confidence.mean() < 0.15


def test_equal_pictures_have_equal_verdicts_and_a_copy_no_diversity():
    rng = np.random.default_rng(0)
    judge = classifier.train(rng.normal(0, 1, (30, 61)), rng.normal(0.3, 1, (30, 61)))
    copies = np.repeat(rng.normal(size=(37, 61)).astype(np.float32), 7, axis=0)
    p = judge.probabilities(copies).reshape(37, 7)
    assert (p == p[:, :1]).all()
    found = season.inception_scores(np.stack([p, 1.0 - p], axis=-1))
    assert (found.conditional == 0.0).all()


def test_calibration_error_by_hand():
    # Four verdicts at 0.95, three right; two at 0.55, none right.
    p = np.array([0.95, 0.95, 0.95, 0.05, 0.55, 0.45])
    labels = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    assert season.calibration_error(p, labels) == pytest.approx(
        4 / 6 * abs(0.95 - 0.75) + 2 / 6 * 0.55
    )


def test_balanced_calibration_error_by_hand():
    # Three sources at confidence 0.95, all right; one target at 0.95, wrong.
    p, labels = np.array([0.05, 0.05, 0.05, 0.05]), np.array([0.0, 0.0, 0.0, 1.0])
    assert season.calibration_error(p, labels, balanced=True) == pytest.approx(0.95 - 0.5)


def test_the_area_under_the_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels = (rng.random(90) < 0.3).astype(float)
    scores = np.round(labels + rng.normal(size=90), 1)  # some are equal
    assert season.area_under_curve(scores, labels) == pytest.approx(
        metrics.roc_auc_score(labels, scores), abs=1e-12
    )


def test_the_ceiling_by_hand():
    p = np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.1, 0.3, 0.95])
    labels = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    # Usual probabilities are 0.625 of label 1 and 0.6125 of label 0: all eight belong for sure.
    found, n = season.label_ceiling(p, labels)
    assert (found.value, n) == (pytest.approx((3 / 4 + 3 / 4) / 2), 8)
    assert found.low < found.value < found.high
    # One in between belongs to neither for sure, and is not counted.
    found, n = season.label_ceiling(np.r_[p, 0.5], np.r_[labels, 1.0])
    assert (found.value, n) == (pytest.approx((3 / 4 + 3 / 4) / 2), 8)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
def test_the_ceiling_is_the_share_of_right_labels(noise):
    rng = np.random.default_rng(1)
    truth = np.repeat([0.0, 1.0], 1000)
    p = special.expit(rng.normal(np.where(truth == 1, 4.0, -4.0), 1.0))
    labels = np.where(rng.random(2000) < noise, 1.0 - truth, truth)
    found, _ = season.label_ceiling(p, labels)
    assert found.value == pytest.approx(1.0 - noise, abs=0.02)
    # A judge that is always right reaches no larger area under the curve.
    assert metrics.roc_auc_score(labels, truth) == pytest.approx(found.value, abs=0.02)


def test_what_is_out_of_reach_of_all_training_pictures_is_found():
    rng = np.random.default_rng(0)
    train, fresh = (1.0 + 0.1 * rng.normal(size=(n, 30)) for n in (200, 400))
    known = season.Known.of(train[:100], train[100:])
    assert known.far(fresh).mean() < 0.05
    assert not known.far(train).any()
    assert known.far(rng.normal(size=(50, 30))).all()
    # By the definition: farther than the 99.5th percentile of the nearest of the other domain.
    unit = fresh / np.linalg.norm(fresh, axis=1, keepdims=True)
    seen = train / np.linalg.norm(train, axis=1, keepdims=True)
    apart = spatial.distance.cdist(seen[:100], seen[100:], "cosine")
    others = np.r_[apart.min(0), apart.min(1)]
    nearest = spatial.distance.cdist(unit, seen, "cosine").min(1)
    assert (known.far(fresh) == (nearest > np.quantile(others, 0.995))).all()


def test_nearest_by_hand():
    x, y = np.array([[0.0, 0.0], [5.0, 0.0]]), np.array([[3.0, 4.0], [5.0, 1.0]])
    assert content.nearest(x, y) == pytest.approx([5.0, 1.0])


# ----------------------------------------------------------------------------- coverage


def expected_kernel(m: np.ndarray, p: np.ndarray) -> float:
    """Mean of ``(x.y / d + 1)^3`` over independent x ~ N(m, I) and y ~ N(p, I), exactly."""
    d, mp, mm, pp = len(m), m @ p, m @ m, p @ p
    first, second = mp, mp**2 + mm + pp + d
    third = mp**3 + 3 * mp * pp + 3 * mp * (mm + d + 2)
    return float(third / d**3 + 3 * second / d**2 + 3 * first / d + 1)


def test_the_expected_kernel_is_what_many_pictures_give():
    m, p = np.array([0.5, 0.0, -0.3, 0.2]), np.array([0.1, 0.4, 0.0, 0.3])
    rng = np.random.default_rng(0)
    drawn = kernel(
        ((rng.normal(size=(10**6, 4)) + m) * (rng.normal(size=(10**6, 4)) + p)).sum(1), 4
    )
    assert expected_kernel(m, p) == pytest.approx(
        drawn.mean(), abs=4 * drawn.std() / len(drawn) ** 0.5
    )


def kid_coverage(shift: float, trials: int) -> float:
    """How often the interval holds the truth for two Gaussians a known way apart."""
    d, n, m = 16, 309, 238
    moved, centre = np.zeros(d), np.zeros(d)
    moved[:4] = shift
    truth = (
        expected_kernel(moved, moved)
        + expected_kernel(centre, centre)
        - 2 * expected_kernel(moved, centre)
    )
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(trials):
        interval, _ = kid_interval(
            *kernels(rng.normal(size=(n, d)) + moved, rng.normal(size=(m, d))),
            draws=300,
            seed=trial,
        )
        hits += interval.low <= truth <= interval.high
    return hits / trials


@pytest.mark.nightly
def test_the_kid_interval_covers_the_truth_as_often_as_it_says():
    """95 % interval at n = 309 and 238: between 0.93 and 0.97, as the protocol demands."""
    assert 0.93 <= kid_coverage(0.35, trials=1500) <= 0.97


@pytest.mark.nightly
def test_the_kid_interval_is_cautious_where_nothing_differs():
    # The estimate is degenerate there: a bootstrap is too wide, never too narrow.
    assert kid_coverage(0.0, trials=150) >= 0.95
