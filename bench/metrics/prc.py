"""Precision, recall, density, coverage: which outputs look real, which real images are reached.

Kynkäänniemi et al. 2019 (NeurIPS) and Naeem et al. 2020 (ICML). Both sets are covered with
balls, each reaching to the k-th nearest neighbour in its own set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from bench.api import Interval, Measurement, MetricContext
from bench.metrics.fid import Grams, grams_of
from bench.stats import NOT_NEGATIVE, Floats, bootstrap_mean, wilson

NEIGHBOURS = (3, 5)
"""The first one gives the headline values."""


@dataclass(frozen=True)
class Balls:
    """Who lies in whose ball.

    Parameters
    ----------
    fake_in_real
        ``(n, m)``: output i lies in the ball of real image j.
    real_in_fake
        ``(m, n)``: real image j lies in the ball of output i.
    """

    fake_in_real: npt.NDArray[np.bool_]
    real_in_fake: npt.NDArray[np.bool_]
    k: int

    def precision(self) -> Interval:
        """Share of outputs in the ball of any real image."""
        hit = np.atleast_1d(self.fake_in_real.any(1))
        return wilson(int(hit.sum()), len(hit))

    def recall(self) -> Interval:
        """Share of real images in the ball of any output."""
        hit = np.atleast_1d(self.real_in_fake.any(1))
        return wilson(int(hit.sum()), len(hit))

    def density(self) -> Interval:
        """Mean number of real balls around an output, over k; can exceed 1."""
        return bootstrap_mean(self.fake_in_real.sum(1) / self.k, within=NOT_NEGATIVE)

    def coverage(self) -> Interval:
        """Share of real images with an output in their ball."""
        hit = np.atleast_1d(self.fake_in_real.any(0))
        return wilson(int(hit.sum()), len(hit))


def distances(products: Floats, a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances from inner products and squared norms."""
    return np.maximum(a[:, None] + b[None, :] - 2.0 * products, 0.0)


def balls(g: Grams, k: int) -> Balls:
    """Build the balls from inner products of outputs (x) and real images (y).

    Raises
    ------
    ValueError
        When a set has no k-th neighbour: it needs more than k pictures.
    """
    if min(len(g.xx), len(g.yy)) <= k:
        raise ValueError(f"{k} neighbours need more than {k} pictures on either side")
    norms_x, norms_y = np.diagonal(g.xx), np.diagonal(g.yy)
    within_x = distances(g.xx, norms_x, norms_x)
    within_y = distances(g.yy, norms_y, norms_y)
    np.fill_diagonal(within_x, 0.0)
    np.fill_diagonal(within_y, 0.0)
    # Index k counts from 0, and 0 is the picture itself.
    radius_x = np.partition(within_x, k, axis=1)[:, k]
    radius_y = np.partition(within_y, k, axis=1)[:, k]
    across = distances(g.xy, norms_x, norms_y)
    return Balls(across <= radius_y[None, :], (across <= radius_x[:, None]).T, k)


def _measure(
    context: MetricContext, name: str, value: Callable[[Balls], Interval]
) -> Iterator[Measurement]:
    for k in NEIGHBOURS:
        pictures = min(len(context.outputs), len(context.pictures("reference")))
        if k != NEIGHBOURS[0] and pictures <= k:
            continue
        made = context.once(f"balls/{k}", partial(_balls, context, k))
        suffix = "" if k == NEIGHBOURS[0] else f"_k{k}"
        yield context.measurement(f"{name}{suffix}", value(made), n=len(context.outputs))


def _balls(context: MetricContext, k: int) -> Balls:
    return balls(grams_of(context, "outputs", "reference", at_least=k + 1), k)


def precision(context: MetricContext) -> Iterator[Measurement]:
    """``precision`` (3 neighbours) and ``precision_k5``."""
    return _measure(context, "precision", Balls.precision)


def recall(context: MetricContext) -> Iterator[Measurement]:
    """``recall`` (3 neighbours) and ``recall_k5``."""
    return _measure(context, "recall", Balls.recall)


def density(context: MetricContext) -> Iterator[Measurement]:
    """``density`` (3 neighbours) and ``density_k5``."""
    return _measure(context, "density", Balls.density)


def coverage(context: MetricContext) -> Iterator[Measurement]:
    """``coverage`` (3 neighbours) and ``coverage_k5``."""
    return _measure(context, "coverage", Balls.coverage)
