"""Kernel Inception Distance (Bińkowski et al. 2018, ICLR), exact and with an honest interval.

KID is the squared maximum mean discrepancy under the kernel ``(x·y / d + 1)^3``. The usual
estimate averages random subsets; here the unbiased estimate uses every pair once, and its
interval comes from a bootstrap that stays unbiased: a resampled picture never counts as a
pair with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.api import Interval, Measurement, MetricContext
from bench.metrics.fid import Grams, grams_of, real_grams
from bench.stats import RESAMPLES, Floats, multinomial_weights


def kernel(products: Floats, dimension: int) -> Floats:
    """Inner products to kernel values: ``(x·y / d + 1)^3``."""
    k = np.asarray(products / dimension, dtype=np.float64)
    k += 1.0  # in place: these are the largest arrays of all
    k **= 3
    return k


def _within(k: Floats, w: Floats) -> Floats:
    """Mean kernel value over pairs of *different* pictures, for each row of weights.

    ``(w'Kw - sum w_i^2 K_ii) / ((sum w)^2 - sum w_i^2)``: a picture drawn twice is still
    one picture, so its kernel value with its own copy is left out.
    """
    squares = w**2
    numerator = np.einsum("bi,bi->b", w @ k, w) - squares @ np.diagonal(k)
    return np.asarray(numerator / (w.sum(1) ** 2 - squares.sum(1)))


def kid(kxx: Floats, kyy: Floats, kxy: Floats) -> float:
    """The unbiased estimate from three kernel matrices, ``(n, n)``, ``(m, m)``, ``(n, m)``."""
    one_x, one_y = np.ones((1, len(kxx))), np.ones((1, len(kyy)))
    return float(_within(kxx, one_x)[0] + _within(kyy, one_y)[0] - 2.0 * kxy.mean())


def kid_interval(
    kxx: Floats,
    kyy: Floats,
    kxy: Floats,
    *,
    level: float = 0.95,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Interval, Floats]:
    """Return KID with a percentile interval, and KID of the resampled pictures behind it.

    The multiplicity-weighted bootstrap; both samples are resampled. Which pictures are drawn
    depends on the two sizes alone, so that values of two methods are paired. Draws in which one
    picture fills a whole sample have no pairs; they are left out (it happens for tiny n only).
    """
    value = kid(kxx, kyy, kxy)
    rng = np.random.default_rng(seed)
    wx = multinomial_weights(len(kxx), draws, rng)
    wy = multinomial_weights(len(kyy), draws, rng)
    paired = ((wx > 0).sum(1) > 1) & ((wy > 0).sum(1) > 1)
    wx, wy = wx[paired], wy[paired]
    if len(wx) < draws // 2 or len(kxx) < 3 or len(kyy) < 3:
        return Interval(value, None, None, None), np.empty(0)
    across = np.einsum("bi,bi->b", wx @ kxy, wy) / (len(kxx) * len(kyy))
    values = _within(kxx, wx) + _within(kyy, wy) - 2.0 * across
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), "weighted U-statistic bootstrap"), values


Kernels = Callable[[Grams], tuple[Floats, Floats, Floats]]
"""Inner products to the kernel's values within, within, and between two sets."""


def _polynomial(g: Grams) -> tuple[Floats, Floats, Floats]:
    return kernel(g.xx, g.dimension), kernel(g.yy, g.dimension), kernel(g.xy, g.dimension)


def measure(context: MetricContext) -> Iterator[Measurement]:
    """``kid`` to the target's test images, its real floor, and ``kid_train``.

    Under the metric's own name, at its side: ``kid_32`` is of the pictures reduced to 32 pixels.
    """
    return discrepancies(context, _polynomial)


def discrepancies(context: MetricContext, kernels: Kernels) -> Iterator[Measurement]:
    """Measure the squared maximum mean discrepancy under a kernel, by the metric's own name.

    One output per input throughout. ``…_floor`` is what the target's real training
    images score against its test images: what is left when nothing is wrong.
    ``…_train`` holds the outputs against the training images, as some papers do.
    """
    name = context.name
    g = grams_of(context, "outputs", "reference", at_least=2)
    yield _measured(context, name, g, kernels)
    real = real_grams(context)
    if real is not None and len(real.xx) >= 2:
        yield _measured(context, f"{name}_floor", real, kernels)
    if context.side is None and len(context.pictures("reference_train")) >= 2:
        g = grams_of(context, "outputs", "reference_train", at_least=2)
        yield _measured(context, f"{name}_train", g, kernels)


def _measured(context: MetricContext, name: str, g: Grams, kernels: Kernels) -> Measurement:
    found, values = kid_interval(*kernels(g))
    return context.measurement(name, found, n=len(g.xx), resampled=tuple(values))
