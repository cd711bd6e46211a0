"""Intervals, paired tests and rankings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench import stats
from bench.api import Interval

finite = st.floats(-100, 100, allow_nan=False)


DRAWN = {
    "normal": (lambda rng, n: rng.normal(1.0, 2.0, n), 1.0),
    "log-normal": (lambda rng, n: rng.lognormal(size=n), np.exp(0.5)),
}


def coverage_of_the_mean(kind, n, trials):
    draw, truth = DRAWN[kind]
    rng = np.random.default_rng(0)
    intervals = [stats.bootstrap_mean(draw(rng, n), seed=trial) for trial in range(trials)]
    assert {interval.method for interval in intervals} == {"studentised bootstrap over inputs"}
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


BOUNDS = [
    *(("normal", n, 0.93, 0.97) for n in (8, 32, 238)),
    *(("log-normal", n, least, 0.97) for n, least in ((8, 0.87), (32, 0.91), (238, 0.92))),
]


@pytest.mark.parametrize(("kind", "n", "least", "most"), BOUNDS)
def test_mean_intervals_cover_the_mean(kind, n, least, most):
    # Two standard errors of a share of 400; percentiles cover 0.77 of log-normal means at 8.
    assert least - 0.02 <= coverage_of_the_mean(kind, n, 400) <= most + 0.02


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "n", "least", "most"), BOUNDS)
def test_mean_intervals_cover_the_mean_as_often_as_promised(kind, n, least, most):
    assert least <= coverage_of_the_mean(kind, n, 4000) <= most


def test_an_interval_of_skewed_values_is_skewed():
    interval = stats.bootstrap_mean(np.random.default_rng(0).lognormal(size=40))
    assert interval.high - interval.value > 1.3 * (interval.value - interval.low)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 2.0, 4.0], [0.0] * 31 + [1.0]])
def test_student_answers_where_the_resamples_hardly_vary(values):
    interval = stats.bootstrap_mean(values)
    expected = scipy_stats.t.interval(
        0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values)
    )
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert interval.method == "Student's t over inputs"


def test_ends_stop_where_the_quantity_does():
    interval = stats.bootstrap_mean([1.0] * 31 + [0.5], within=(0.0, 1.0))
    assert interval.low < interval.value < interval.high == 1.0
    assert stats.bootstrap_mean([0.1, 5.0], within=(0.0, 9.0)).low == 0.0


@given(st.lists(finite, min_size=2, max_size=20), st.floats(0.1, 100), finite)
@settings(deadline=None, max_examples=40)
def test_mean_intervals_hold_their_point_and_move_with_the_values(values, scale, shift):
    interval = stats.bootstrap_mean(values)
    assert interval.low <= interval.value <= interval.high
    moved = stats.bootstrap_mean(np.array(values) * scale + shift)
    if np.ptp(values) > 1e-3:
        assert (moved.low, moved.high) == pytest.approx(
            (interval.low * scale + shift, interval.high * scale + shift), rel=1e-5, abs=1e-5
        )


def test_bootstrap_of_equal_values_is_exact():
    interval = stats.bootstrap_mean([0.1] * 7)
    assert (interval.value, interval.low, interval.high) == (0.1, 0.1, 0.1)


def test_bootstrap_of_one_value_has_no_interval():
    assert stats.bootstrap_mean([3.0]) == Interval(3.0, None, None, None)


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [[1.0]]])
def test_bootstrap_refuses(bad):
    with pytest.raises(ValueError, match="finite"):
        stats.bootstrap_mean(bad)


def test_wilson_s_example():
    found = stats.wilson(9, 10)  # (Agresti & Coull 1998)
    assert (found.value, found.low, found.high) == pytest.approx((0.9, 0.596, 0.982), abs=1e-3)
    assert stats.wilson(0, 7).low == 0
    assert stats.wilson(7, 7).high == 1


@pytest.mark.parametrize("n", [2, 5, 10])
def test_sign_swaps_agree_with_scipy(n):
    differences = np.random.default_rng(n).normal(0.5, 1, (3, n))
    for row, found in zip(differences, stats.paired_permutations(differences), strict=True):
        theirs = scipy_stats.permutation_test(
            (row,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
        )
        assert found.p == pytest.approx(theirs.pvalue)


def test_wilson_refuses_no_images():
    with pytest.raises(ValueError, match="share"):
        stats.wilson(0, 0)


def test_paired_test_sees_what_the_pooled_test_misses():
    # Inputs differ far more among themselves than the methods do on each of them.
    rng = np.random.default_rng(1)
    paired = pooled = 0
    for trial in range(40):
        difficulty = rng.normal(0, 1.0, 60)
        a = difficulty + rng.normal(0, 0.05, 60)
        b = difficulty + 0.05 + rng.normal(0, 0.05, 60)
        paired += stats.paired_permutation(a, b, draws=2000, seed=trial).p < 0.05
        pooled += scipy_stats.ttest_ind(a, b).pvalue < 0.05
    assert paired >= 39
    assert pooled == 0


@pytest.mark.nightly
def test_paired_test_holds_its_level_at_the_null():
    rng = np.random.default_rng(2)
    rejected = np.mean(
        [
            stats.paired_permutation(
                rng.standard_t(3, 40), rng.standard_t(3, 40), draws=1000, seed=trial
            ).p
            <= 0.05
            for trial in range(1000)
        ]
    )
    assert 0.03 <= rejected <= 0.07


def test_few_inputs_are_tested_exactly():
    # Five differences of one sign: 2 of 32 sign patterns are as extreme.
    assert stats.paired_permutation([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).p == 2 / 32


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=25))
@settings(deadline=None, max_examples=40)
def test_paired_test_is_symmetric(pairs):
    a, b = np.array(pairs).T
    one, other = (
        stats.paired_permutation(a, b, draws=200),
        stats.paired_permutation(b, a, draws=200),
    )
    assert one.p == other.p
    assert 0 < one.p <= 1
    assert one.difference.value == -other.difference.value


def test_identical_methods_give_p_of_one():
    assert stats.paired_permutation(np.arange(30.0), np.arange(30.0)).p == 1.0


def test_holm_by_hand():
    assert stats.holm({"x": 0.01, "y": 0.04, "z": 0.03}) == pytest.approx(
        {"x": 0.03, "y": 0.06, "z": 0.06}
    )


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_order(raw):
    adjusted = stats.holm(raw)
    assert list(adjusted) == list(raw)
    assert all(raw[k] <= adjusted[k] <= 1 for k in raw)
    for a in raw:
        for b in raw:
            if raw[a] < raw[b]:
                assert adjusted[a] <= adjusted[b]


@pytest.mark.parametrize("n", [1, 3, 14, 15, 40])
def test_many_pairs_at_once_are_each_pair_alone(n):
    rng = np.random.default_rng(3)
    table = rng.normal(size=(4, n)).round(1)
    pairs = [(a, b) for a in range(4) for b in range(4)]
    together = stats.paired_permutations([table[a] - table[b] for a, b in pairs])
    assert together == [stats.paired_permutation(table[a], table[b]) for a, b in pairs]
    assert [found.p for found in together[:1]] == [1.0]
    with pytest.raises(ValueError, match="pairs, n"):
        stats.paired_permutations(table[0])


def test_tie_groups_follow_the_leader():
    groups = stats.tie_groups(
        {
            "worst": Interval(9.0, 8.5, 9.5, "x"),
            "best": Interval(1.0, 0.5, 1.5, "x"),
            "tied": Interval(1.4, 1.2, 2.2, "x"),
            # Overlaps "tied" but not the leader: no chain of ties.
            "second": Interval(2.0, 1.9, 2.5, "x"),
            "point": Interval(2.4, None, None, None),
        },
        higher_is_better=False,
    )
    assert groups == {"worst": 3, "best": 1, "tied": 1, "second": 2, "point": 2}


def test_tie_groups_upwards():
    intervals = {"low": Interval(0.1, 0.0, 0.2, "x"), "high": Interval(0.9, 0.8, 1.0, "x")}
    assert stats.tie_groups(intervals, higher_is_better=True) == {"low": 2, "high": 1}


def test_tie_groups_by_a_paired_test():
    intervals = {
        name: Interval(value, value - 1, value + 1)
        for name, value in zip("abc", (1, 2, 4), strict=True)
    }
    known = {frozenset("ab"): True, frozenset("ac"): False}
    groups = stats.tie_groups(
        intervals, higher_is_better=False, apart=lambda a, b: known.get(frozenset((a, b)))
    )
    assert groups == {"a": 1, "b": 2, "c": 1}
    assert stats.tie_groups(intervals, higher_is_better=False) == {"a": 1, "b": 1, "c": 2}


def test_the_paired_bootstrap_by_hand():
    resampled = np.array([0.9, 1.1] * 50)
    error = resampled.std(ddof=1)
    found = stats.paired_bootstrap(0.3, resampled, 11)
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(0.3 / error, 10))
    half = scipy_stats.t.ppf(0.975, 10) * error
    assert (found.difference.low, found.difference.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert stats.paired_bootstrap(0.0, np.zeros(9), 11).p == 1.0
    assert stats.paired_bootstrap(0.1, np.full(9, 0.1), 11).p == 0.0


def test_mean_of_two_intervals():
    a, b = stats.Interval(0.9, 0.8, 0.94, "Wilson"), stats.Interval(0.7, 0.6, 0.79, "Wilson")
    found = stats.mean_of_two(a, b)
    assert found.value == pytest.approx(0.8)
    assert found.low == pytest.approx(0.8 - np.hypot(0.1, 0.1) / 2)
    assert found.high == pytest.approx(0.8 + np.hypot(0.04, 0.09) / 2)
    assert found.method == "square-and-add of Wilson"
    assert stats.mean_of_two(a, stats.Interval(0.7, None, None, None)).low is None


def test_difference_of_intervals():
    got = stats.difference(Interval(3.0, 2.0, 5.0, "x"), Interval(1.0, 0.0, 1.0, "x"))
    assert (got.value, got.low, got.high) == (2.0, 1.0, pytest.approx(2 + np.hypot(2, 1)))


def test_seeds_give_a_t_interval_from_three_on():
    assert stats.over_seeds([1.0, 2.0]).low is None
    got = stats.over_seeds([1.0, 2.0, 3.0])
    expected = scipy_stats.t.interval(0.95, 2, loc=2.0, scale=1 / np.sqrt(3))
    assert (got.low, got.high) == pytest.approx(expected)
