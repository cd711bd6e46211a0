"""Intervals, paired tests, rankings: what turns numbers into statements.

The unit that is resampled is the *input image* with all its samples, never the single
output: outputs of one input are not independent. Training seeds are another source of
variation and are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from bench.api import Interval

T = TypeVar("T", bound=Hashable)
Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap draws behind an interval."""
NOT_NEGATIVE = (0.0, np.inf)
SHARE = (0.0, 1.0)


def multinomial_weights(n: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each of `n` things is drawn in a bootstrap sample of size n: ``(draws, n)``."""
    # Drawing and counting is ten times as fast as numpy's multinomial at hundreds of things.
    drawn = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * n)
    return counts.reshape(draws, n).astype(np.float64)


_VARIES = 1e-10
"""A resample varies when its variance is more than this share of that of the values."""


def bootstrap_mean(
    values: npt.ArrayLike,
    *,
    level: float = 0.95,
    draws: int = RESAMPLES,
    seed: int = 0,
    weights: Floats | None = None,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Return the mean of one value per input with a studentised interval over resampled inputs.

    The bootstrap-t (Efron & Tibshirani 1993, section 12.5): each resample's mean is measured in
    its own standard errors, so that skewed values get the unsymmetrical interval they need,
    where percentiles of the resampled means stay too short.

    Parameters
    ----------
    values
        ``(n,)``, one number per input (average its samples first).
    weights
        ``(draws, n)``: the resamples themselves, for many means over the same inputs;
        None: `draws` of them from `seed`.
    within
        What the quantity cannot go below or above; the ends stop there.

    Returns
    -------
    Interval
        Without ends when n is 1; with both ends at the mean when all values are equal. Where
        so many resamples do not vary that they decide the ends (very few values, or nearly all
        of them equal), it is Student's t-interval, and named so.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError("bootstrap_mean needs finite values in one dimension, at least one")
    n, mean, name = len(x), float(x.mean()), "studentised bootstrap over inputs"
    if n == 1:
        return Interval(mean, None, None, None)
    if bool((x == x[0]).all()):
        return Interval(float(x[0]), float(x[0]), float(x[0]), name)
    if weights is None:
        weights = multinomial_weights(n, draws, np.random.default_rng(seed))
    centred = x - mean
    variance = float((centred**2).mean())
    means = weights @ centred / n
    variances = weights @ centred**2 / n - means**2
    varies = variances > _VARIES * variance
    # A resample without variance is infinitely far out, on the side of its mean, if on any.
    t = np.where(means**2 > _VARIES * variance, np.copysign(np.inf, means), 0.0)
    t[varies] = means[varies] / np.sqrt(variances[varies] / n)
    tails = (1 - level) / 2, (1 + level) / 2
    # Not interpolated: between two infinite values there is nothing.
    from_low, from_high = np.quantile(t, tails, method="nearest")
    error = np.sqrt(variance / n)
    if not np.isfinite([from_low, from_high]).all():
        from_low, from_high = special.stdtrit(n - 1, tails)
        error, name = np.sqrt(variance / (n - 1)), "Student's t over inputs"
    low = min(max(mean - float(from_high * error), within[0]), mean)
    high = max(min(mean - float(from_low * error), within[1]), mean)
    return Interval(mean, low, high, name)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval (Wilson 1927), which holds near 0 and 1.

    Parameters
    ----------
    successes, n
        Counts, ``0 <= successes <= n`` and ``n >= 1``.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} is not a share")
    low, high = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(low), float(high), "Wilson")


def mean_of_two(a: Interval, b: Interval) -> Interval:
    """The mean of two independent estimates with intervals (Zou & Donner 2008)."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval((a.value + b.value) / 2, None, None, None)
    value = (a.value + b.value) / 2
    low = value - float(np.hypot(a.value - a.low, b.value - b.low)) / 2
    high = value + float(np.hypot(a.high - a.value, b.high - b.value)) / 2
    return Interval(value, low, high, f"square-and-add of {a.method}")


def difference(a: Interval, b: Interval) -> Interval:
    """``a - b`` of two independent estimates, from their intervals alone.

    The square-and-add rule (Zou & Donner 2008): each end takes the distance that matters
    for it, so unsymmetrical intervals stay so.
    """
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(value, None, None, None)
    down = float(np.hypot(a.value - a.low, b.high - b.value))
    up = float(np.hypot(a.high - a.value, b.value - b.low))
    return Interval(value, value - down, value + up, "square-and-add")


def over_seeds(values: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """The mean over training seeds with its t-interval; from three seeds on.

    This variation (another training run) is not that over inputs (other photographs), and
    neither interval contains the other.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError("over_seeds needs finite values in one dimension, at least one")
    mean = float(x.mean())
    if len(x) < 3:
        return Interval(mean, None, None, None)
    half = float(special.stdtrit(len(x) - 1, (1 + level) / 2) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half, f"t over {len(x)} training seeds")


# -------------------------------------------------------------------------- comparisons

_EXACT_UP_TO = 14
"""With so few inputs all sign patterns are gone through instead of drawn."""


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same inputs.

    Parameters
    ----------
    difference
        Mean of ``a - b`` over inputs, with a bootstrap interval.
    p
        Two-sided, of "the two are exchangeable on every input".
    """

    difference: Interval
    p: float


def paired_permutation(
    a: npt.ArrayLike, b: npt.ArrayLike, *, draws: int = 10_000, seed: int = 0
) -> Comparison:
    """Sign-swap permutation test of two methods on the same inputs.

    Parameters
    ----------
    a, b
        ``(n,)`` each: one value per input, in the same order.

    Notes
    -----
    Under the null the two outputs of an input could be swapped, so every difference could
    have the other sign. All ``2^n`` sign patterns are used where they are few, else `draws`
    random ones; the observed pattern counts as one of them, so p is never 0.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) == 0:
        raise ValueError(f"paired values need one shape (n,), got {x.shape} and {y.shape}")
    return paired_permutations((x - y)[None], draws=draws, seed=seed)[0]


def paired_permutations(
    differences: npt.ArrayLike, *, draws: int = 10_000, seed: int = 0
) -> list[Comparison]:
    """:func:`paired_permutation` of many pairs at once, under the same sign patterns.

    Parameters
    ----------
    differences
        ``(pairs, n)``: for each pair ``a - b`` on every input. What is drawn depends on n
        alone, so a pair's result does not depend on which others are tested beside it, and
        hundreds of pairs cost little more than one.

    Notes
    -----
    SciPy's ``permutation_test`` draws anew for every pair, which takes a hundred times as long
    for sixty pairs of 238 inputs; where all patterns are used the two agree (a test).
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.shape[1] == 0:
        raise ValueError(f"paired differences need the shape (pairs, n), got {d.shape}")
    n = d.shape[1]
    exact = n <= _EXACT_UP_TO
    if exact:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        signs = (1 - 2 * bits).astype(np.int8)
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, size=(draws, n), dtype=np.int8)
        signs = drawn * np.int8(2) - np.int8(1)
    least = np.abs(d.mean(1)) * (1 - 1e-12)
    # As floats, the patterns of a thousand inputs would fill the caches many times over.
    extreme = sum(
        (np.abs(block.astype(np.float64) @ d.T) / n >= least).sum(0)
        for block in np.array_split(signs, -(-len(signs) // 1024))
    )
    p = extreme / len(signs) if exact else (1 + extreme) / (draws + 1)
    weights = multinomial_weights(n, RESAMPLES, np.random.default_rng(seed))
    return [
        Comparison(bootstrap_mean(row, weights=weights), float(one))
        for row, one in zip(d, np.asarray(p), strict=True)
    ]


def paired_bootstrap(
    difference: float, resampled: npt.ArrayLike, n: int, *, level: float = 0.95
) -> Comparison:
    """Test a paired difference of numbers that are no mean over inputs, by its own resamples.

    Parameters
    ----------
    difference
        One number minus the other.
    resampled
        ``(draws,)``: the same difference for resampled pictures, those of both numbers the same.
    n
        How many inputs there are: Student's t has a degree of freedom less.
    """
    error = float(np.std(np.asarray(resampled, dtype=np.float64), ddof=1))
    if error == 0:
        return Comparison(Interval(difference, difference, difference), float(difference == 0))
    half = error * float(special.stdtrit(n - 1, (1 + level) / 2))
    p = 2 * float(special.stdtr(n - 1, -abs(difference) / error))
    ends = difference - half, difference + half
    return Comparison(Interval(difference, *ends, "paired bootstrap"), p)


def holm(p_values: Mapping[T, float]) -> dict[T, float]:
    """Holm's step-down adjustment (Holm 1979): p-values for a whole family of tests."""
    adjusted: dict[T, float] = {}
    running = 0.0
    for rank, (key, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        adjusted[key] = running
    return {key: adjusted[key] for key in p_values}


# ----------------------------------------------------------------------------- rankings


def tie_groups(
    intervals: Mapping[str, Interval],
    *,
    higher_is_better: bool,
    apart: Callable[[str, str], bool | None] = lambda a, b: None,
) -> dict[str, int]:
    """Return groups of methods that cannot be told apart, 1 the best.

    A group is everything that cannot be told from the group's leader; the best of the rest
    leads the next one.

    Parameters
    ----------
    apart
        Whether a paired test tells two methods apart; None where there is none: then they are
        apart whose intervals do not overlap. A value without an interval is one of no width.
    """
    sign = -1.0 if higher_is_better else 1.0
    ends = {
        name: sorted(
            sign * (value.value if end is None else end) for end in (value.low, value.high)
        )
        for name, value in intervals.items()
    }

    def tied(name: str, leader: str) -> bool:
        if (known := apart(name, leader)) is not None:
            return not known
        return ends[name][0] <= ends[leader][1] and ends[leader][0] <= ends[name][1]

    rest = sorted(intervals, key=lambda name: sign * intervals[name].value)
    groups: dict[str, int] = {}
    number = 0
    while rest:
        number += 1
        leader, *others = rest
        groups |= dict.fromkeys([leader, *(o for o in others if tied(o, leader))], number)
        rest = [name for name in rest if name not in groups]
    return {name: groups[name] for name in intervals}
