"""Intervals, paired tests, rankings: what turns numbers into statements.

The unit that is resampled is the *input image* with all its samples, never the single
output: outputs of one input are not independent. Training seeds are another source of
variation and are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap draws behind an interval."""


@dataclass(frozen=True)
class Interval:
    """A point with the ends of its interval and the name of the method that made it."""

    value: float
    low: float | None
    high: float | None
    method: str | None


def multinomial_weights(n: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each of `n` things is drawn in a bootstrap sample of size n: ``(draws, n)``."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64)


def bootstrap_mean(
    values: npt.ArrayLike, *, level: float = 0.95, draws: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The mean of one value per input with a percentile interval over resampled inputs.

    Parameters
    ----------
    values
        ``(n,)``, one number per input (average its samples first).

    Returns
    -------
    Interval
        Without ends when n is 1; with both ends at the mean when all values are equal.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError("bootstrap_mean needs finite values in one dimension, at least one")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, None, None, None)
    if bool((x == x[0]).all()):
        return Interval(float(x[0]), float(x[0]), float(x[0]), "bootstrap over inputs")
    means = multinomial_weights(len(x), draws, np.random.default_rng(seed)) @ x / len(x)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), "bootstrap over inputs")
