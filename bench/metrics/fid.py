"""Fréchet Inception Distance (Heusel et al. 2017, NeurIPS) and what it cannot go below.

At a few hundred pictures FID is mostly bias: two samples of the *same* distribution score
far from zero. So it stands beside its floor: the FID of as many real pictures.

Everything is computed from inner products. With centred features X (n, d) and Y (m, d),
``tr sqrt(S1 S2) = ||X Y'||_* / sqrt((n - 1)(m - 1))``, the sum of singular values of an
n x m matrix, where the covariance root needs a d x d one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from bench.api import Interval, Measurement, MetricContext, Picture, Which
from bench.stats import Floats

Index = npt.NDArray[np.intp]

FLOOR_DRAWS = 8
"""Real samples drawn for the floor."""
_LEAST = 20
"""Pictures in either sample below which there is no interval."""
_HALVINGS = 2
"""How often samples are halved to learn the jackknife's excess."""


LARGE = 2_000
"""Pictures on either side from which on inner products are made anew for each metric, and few
numbers of a picture do for the many it has with all others."""


@dataclass(frozen=True)
class Grams:
    """Inner products of two sets of features: ``(n, n)``, ``(m, m)`` and ``(n, m)``.

    `x` and `y` are the features themselves where both sets are large.
    """

    xx: Floats
    yy: Floats
    xy: Floats
    dimension: int
    x: Floats | None = None
    y: Floats | None = None

    def subset(self, x: Index | None = None, y: Index | None = None) -> Grams:
        """The same for some of the pictures."""
        x = np.arange(len(self.xx)) if x is None else x
        y = np.arange(len(self.yy)) if y is None else y
        return Grams(
            self.xx[np.ix_(x, x)],
            self.yy[np.ix_(y, y)],
            self.xy[np.ix_(x, y)],
            self.dimension,
            None if self.x is None else self.x[x],
            None if self.y is None else self.y[y],
        )


def grams(x: npt.ArrayLike, y: npt.ArrayLike) -> Grams:
    """Inner products, in float64, of features ``(n, d)`` and ``(m, d)``."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = (a, b) if min(len(a), len(b)) > LARGE else (None, None)
    return Grams(a @ a.T, b @ b.T, a @ b.T, a.shape[1], *kept)


def grams_of(context: MetricContext, x: Which, y: Which, *, at_least: int) -> Grams:
    """Return the inner products of the features of two sets, at the metric's side.

    Raises
    ------
    NotMeasurable
        When either has fewer than `at_least` pictures.
    """
    for which in (x, y):
        context.need(which, at_least)
    return _grams(context, f"{x}/{y}", x, y)


def _grams(
    context: MetricContext, name: str, x: Which | Sequence[Picture], y: Which | Sequence[Picture]
) -> Grams:
    side = context.side

    def make() -> Grams:
        return grams(context.features(x, side=side), context.features(y, side=side))

    counts = [len(context.pictures(one) if isinstance(one, str) else one) for one in (x, y)]
    # Large ones of all metrics, sides and subsets together would fill the memory.
    return make() if max(counts) > LARGE else context.once(f"grams/{name}/{side}", make)


def real_grams(context: MetricContext) -> Grams | None:
    """Return target training pictures that are no test pictures, against the reference.

    As :func:`grams_of`, and None where there are none.
    """
    tested = {picture.digest for picture in context.pictures("reference")}
    fresh = [p for p in context.pictures("reference_train") if p.digest not in tested]
    if not fresh:
        return None
    return _grams(context, "real", fresh, "reference")


@dataclass(frozen=True)
class Moved:
    """FID of two samples, and how far each picture moves it.

    Parameters
    ----------
    value
        FID.
    x, y
        ``(n,)`` and ``(m,)``: its derivative by each picture's weight, all weights summing to 1.
    """

    value: float
    x: Floats
    y: Floats


def moved(g: Grams) -> Moved:
    """Return FID with its derivatives from inner products; n and m at least 2."""
    u, roots, vt = _centred_svd(g)
    means = float(g.xx.mean() + g.yy.mean() - 2.0 * g.xy.mean())
    traces = sum(float(_squares(own).sum() / (len(own) - 1)) for own in (g.xx, g.yy))
    return Moved(
        means + traces - 2.0 * float(roots.sum()),
        _by_weight(g.xx, g.xy, u**2 @ roots),
        _by_weight(g.yy, g.xy.T, vt.T**2 @ roots),
    )


def _centred_svd(g: Grams) -> tuple[Floats, Floats, Floats]:
    """Return the singular value decomposition of ``X Y' / sqrt((n - 1)(m - 1))``, both centred."""
    n, m = len(g.xx), len(g.yy)
    scale = np.sqrt((n - 1.0) * (m - 1.0))
    if g.x is not None and g.y is not None and g.dimension < min(n, m):
        # Of no more rank than features: that of the small factor, turned by the large ones.
        (qx, rx), (qy, ry) = (linalg.qr(f - f.mean(0), mode="economic") for f in (g.x, g.y))
        u, roots, vt = linalg.svd(rx @ ry.T / scale)
        return qx @ u, roots, vt @ qy.T
    centred = g.xy - g.xy.mean(0, keepdims=True) - g.xy.mean(1, keepdims=True) + g.xy.mean()
    found: tuple[Floats, Floats, Floats] = linalg.svd(centred / scale, full_matrices=False)
    return found


def fid(g: Grams) -> float:
    """Return FID from inner products; n and m at least 2."""
    return moved(g).value


def _squares(own: Floats) -> Floats:
    """Return each picture's squared distance from the mean of its sample."""
    return np.asarray(np.diagonal(own) - 2.0 * own.mean(1) + own.mean())


def _by_weight(own: Floats, across: Floats, root: Floats) -> Floats:
    """Return derivatives of the three terms of FID by the weights of one sample's pictures.

    A weight scales a row of the centred product by its root, so that the nuclear norm changes
    by half that row's share `root` of it; moving the mean does not, as centred rows sum to 0.
    """
    n = len(own)
    apart = (own.mean(1) - own.mean()) - (across.mean(1) - across.mean())
    squares = _squares(own)
    spread = n / (n - 1.0) * (squares - squares.mean())
    return np.asarray(2.0 * apart + spread - n * (root - root.mean()))


def _variance(derivatives: Floats) -> float:
    """Return what one sample adds to the variance: the infinitesimal jackknife (Jaeckel 1972)."""
    n = len(derivatives)
    return float((derivatives**2).sum()) / (n * (n - 1.0))


def _interval(
    estimate: Callable[..., tuple[float, float]], sizes: Sequence[int], seed: int
) -> Interval:
    """Return an estimate with the 95 % interval that its jackknifed variance gives.

    The derivatives are noisy themselves, which makes a variance ``A / n + B / n^2`` look like
    ``A / n + 2 B / n^2`` (Efron & Stein 1981), and B is large: few pictures, many features.
    Half samples look like ``2 A / n + 8 B / n^2``, so that a quarter of theirs off one and a
    half of the whole one's leaves what is true.

    Parameters
    ----------
    estimate
        Of indices into each of the samples: the value and its jackknifed variance.
    sizes
        Of the samples.
    """
    value, variance = estimate(*map(np.arange, sizes))
    if min(sizes) < _LEAST:
        return Interval(value, None, None, None)
    rng = np.random.default_rng(seed)
    halved = []
    for _ in range(_HALVINGS):
        halves = [np.sort(rng.permutation(n)[: n // 2 * 2].reshape(2, -1)) for n in sizes]
        halved += [estimate(*half)[1] for half in zip(*halves, strict=True)]
    kept = max(1.5 * variance - 0.25 * float(np.mean(halved)), 0.5 * variance)
    half = float(special.ndtri(0.975)) * float(np.sqrt(kept))
    return Interval(value, value - half, value + half, "corrected jackknife")


def fid_interval(g: Grams, *, seed: int = 0) -> Interval:
    """Return FID with an interval for its mean over samples of this size (it is mostly bias).

    A bootstrap would exclude the point.
    """

    def estimate(x: Index, y: Index) -> tuple[float, float]:
        found = moved(g.subset(x, y))
        return found.value, _variance(found.x) + _variance(found.y)

    return _interval(estimate, (len(g.xx), len(g.yy)), seed)


def _floors(real: Grams, n: int) -> list[tuple[Index, Moved]]:
    """Return samples of n from a pool of real pictures: which, and their FID."""
    rng, pool = np.random.default_rng(0), len(real.xx)
    draws = [np.sort(rng.permutation(pool)[:n]) for _ in range(FLOOR_DRAWS if pool > n else 1)]
    return [(drawn, moved(real.subset(x=drawn))) for drawn in draws]


def floor_and_excess(g: Grams, real: Grams, *, seed: int = 0) -> tuple[Interval, Interval]:
    """Return the mean FID of as many real pictures, and how far FID lies above it.

    What both owe to the reference cancels in the difference; the pool of real pictures, at
    least as many as there are outputs, adds its own noise.

    Parameters
    ----------
    g
        Outputs against the reference.
    real
        The pool against the same reference.
    """
    whole = _floors(real, len(g.xx))

    def estimate(x: Index, y: Index, pool: Index) -> tuple[float, float]:
        n, found = len(x), moved(g.subset(x, y))
        floors = whole if n == len(g.xx) else _floors(real.subset(pool, y), n)
        # A picture of the pool moves the mean floor as often as it was drawn.
        pooled = np.zeros(len(pool))
        for drawn, floor in floors:
            pooled[drawn] += floor.x * (len(pool) / (n * len(floors)))
        shared = found.y - np.mean([floor.y for _, floor in floors], axis=0)
        value = found.value - float(np.mean([floor.value for _, floor in floors]))
        return value, _variance(found.x) + _variance(pooled) + _variance(shared)

    values = np.array([floor.value for _, floor in whole])
    spread = (float(values.min()), float(values.max()), f"range of {len(values)} real samples")
    return (
        Interval(float(values.mean()), *(spread if len(values) > 1 else (None, None, None))),
        _interval(estimate, (len(g.xx), len(g.yy), len(real.xx)), seed),
    )


def measure(context: MetricContext) -> Iterator[Measurement]:
    """``fid``, its same-n real floor ``fid_floor``, and ``fid_excess``, their difference.

    Under the metric's own name: the same distance serves other features.
    """
    name = context.name
    g = grams_of(context, "outputs", "reference", at_least=2)
    n = len(g.xx)
    yield context.measurement(name, fid_interval(g), n=n)
    real = real_grams(context)
    if real is None or len(real.xx) < n:
        context.note(
            f"{name}_floor is left out: it needs {n} training images of the target domain that are "
            f"not test images, there are {0 if real is None else len(real.xx)}"
        )
        return
    floor, excess = floor_and_excess(g, real)
    yield context.measurement(f"{name}_floor", floor, n=n)
    yield context.measurement(f"{name}_excess", excess, n=n)
