"""Fréchet Inception Distance (Heusel et al. 2017, NeurIPS) and what it cannot go below.

At a few hundred pictures FID is mostly bias: two samples of the *same* distribution score
far from zero. So it stands beside its floor: the FID of as many real pictures.

Everything is computed from inner products. With centred features X (n, d) and Y (m, d),
``tr sqrt(S1 S2) = ||X Y'||_* / sqrt((n - 1)(m - 1))``, the sum of singular values of an
n x m matrix, where the covariance root needs a d x d one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from bench.api import Interval, Measurement, MetricContext, Which
from bench.stats import Floats

FLOOR_DRAWS = 8
"""Real samples drawn for the floor."""
_GROUPS = 10
"""Groups of the delete-a-group jackknife."""


@dataclass(frozen=True)
class Grams:
    """Inner products of two sets of features: ``(n, n)``, ``(m, m)`` and ``(n, m)``."""

    xx: Floats
    yy: Floats
    xy: Floats
    dimension: int

    def subset(
        self, x: npt.NDArray[np.intp] | None = None, y: npt.NDArray[np.intp] | None = None
    ) -> Grams:
        """The same for some of the pictures."""
        x = np.arange(len(self.xx)) if x is None else x
        y = np.arange(len(self.yy)) if y is None else y
        return Grams(
            self.xx[np.ix_(x, x)], self.yy[np.ix_(y, y)], self.xy[np.ix_(x, y)], self.dimension
        )


def grams(x: npt.ArrayLike, y: npt.ArrayLike) -> Grams:
    """Inner products, in float64, of features ``(n, d)`` and ``(m, d)``."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return Grams(a @ a.T, b @ b.T, a @ b.T, a.shape[1])


def grams_of(context: MetricContext, x: Which, y: Which, *, at_least: int) -> Grams:
    """Return the inner products of the features of two sets, at the metric's side.

    Raises
    ------
    NotMeasurable
        When either has fewer than `at_least` pictures.
    """
    for which in (x, y):
        context.need(which, at_least)
    side = context.side
    return context.once(
        f"grams/{x}/{y}/{side}",
        lambda: grams(context.features(x, side=side), context.features(y, side=side)),
    )


def real_grams(context: MetricContext) -> Grams | None:
    """Return target training pictures that are no test pictures, against the reference.

    As :func:`grams_of`, and None where there are none.
    """
    side = context.side
    tested = {picture.digest for picture in context.pictures("reference")}
    fresh = [p for p in context.pictures("reference_train") if p.digest not in tested]
    if not fresh:
        return None
    return context.once(
        f"grams/real/{side}",
        lambda: grams(context.features(fresh, side=side), context.features("reference", side=side)),
    )


def _trace_of_covariance(gram: Floats) -> float:
    n = len(gram)
    return float((np.trace(gram) - gram.sum() / n) / (n - 1))


def fid(g: Grams) -> float:
    """FID from inner products; n and m at least 2."""
    n, m = len(g.xx), len(g.yy)
    means = float(g.xx.mean() + g.yy.mean() - 2.0 * g.xy.mean())
    centred = g.xy - g.xy.mean(0, keepdims=True) - g.xy.mean(1, keepdims=True) + g.xy.mean()
    root = float(linalg.svdvals(centred).sum()) / np.sqrt((n - 1.0) * (m - 1.0))
    return means + _trace_of_covariance(g.xx) + _trace_of_covariance(g.yy) - 2.0 * float(root)


def fid_interval(g: Grams, *, groups: int = _GROUPS, seed: int = 0) -> Interval:
    """FID with a delete-a-group jackknife interval (a bootstrap would exclude the point).

    The groups of either sample are left out in turn; the two variances add up.
    """
    from scipy.stats import t

    value = fid(g)
    rng = np.random.default_rng(seed)
    variance = 0.0
    for side, n in (("x", len(g.xx)), ("y", len(g.yy))):
        if n < 2 * groups:
            return Interval(value, None, None, None)
        parts = np.array_split(rng.permutation(n), groups)
        kept = [np.sort(np.setdiff1d(np.arange(n), part)) for part in parts]
        left = [fid(g.subset(**{side: rest})) for rest in kept]
        variance += (groups - 1) / groups * float(((np.array(left) - np.mean(left)) ** 2).sum())
    half = float(t.ppf(0.975, groups - 1)) * np.sqrt(variance)
    return Interval(value, value - half, value + half, "delete-a-group jackknife")


def measure(context: MetricContext) -> Iterator[Measurement]:
    """``fid``, its same-n real floor ``fid_floor``, and ``fid_excess``, their difference.

    Under the metric's own name: the same distance serves other features.
    """
    name = context.name
    g = grams_of(context, "outputs", "reference", at_least=2)
    n = len(g.xx)
    value = fid_interval(g)
    yield context.measurement(name, value, n=n)
    real = real_grams(context)
    if real is None or len(real.xx) < n:
        context.note(
            f"{name}_floor is left out: it needs {n} training images of the target domain that are "
            f"not test images, there are {0 if real is None else len(real.xx)}"
        )
        return
    rng = np.random.default_rng(0)
    floors = np.array(
        [
            fid(real.subset(x=np.sort(rng.permutation(len(real.xx))[:n])))
            for _ in range(FLOOR_DRAWS if len(real.xx) > n else 1)
        ]
    )
    floor = float(floors.mean())
    spread = Interval(
        floor, float(floors.min()), float(floors.max()), f"range of {len(floors)} real samples"
    )
    yield context.measurement(
        f"{name}_floor",
        spread if len(floors) > 1 else Interval(floor, None, None, None),
        n=n,
    )
    yield context.measurement(
        f"{name}_excess",
        Interval(
            value.value - floor,
            None if value.low is None else value.low - floor,
            None if value.high is None else value.high - floor,
            value.method,
        ),
        n=n,
    )
