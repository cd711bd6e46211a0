"""A classifier of two domains by features of real pictures, and how far its knowledge reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from bench.stats import Floats

_PENALTIES = (0.01, 0.1, 1.0)
_FOLDS = 4
_NEAR = 0.995
"""Share of training pictures that are near enough: few of a large set are odd."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Classifier:
    """Probability of the target domain: ``sigmoid((standardised features) @ weights + bias)``."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float

    def numbers(self) -> Floats:
        """Return all of it in one row ``(3 d + 1,)``."""
        return np.concatenate([self.mean, self.scale, self.weights, [self.bias]])

    @classmethod
    def of(cls, numbers: npt.ArrayLike) -> Classifier:
        """Return the classifier whose :meth:`numbers` these are."""
        row = np.asarray(numbers, np.float64)
        mean, scale, weights = np.split(row[:-1], 3)
        return cls(mean, scale, weights, float(row[-1]))

    def logits(self, features: npt.ArrayLike) -> Floats:
        """Log-odds of the target domain ``(n,)`` for features ``(n, d)``."""
        x = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        # Not x @ weights: its last digits depend on the place of a row among the others, and
        # equal pictures must have equal verdicts.
        return np.asarray((x * self.weights).sum(1) + self.bias)

    def probabilities(self, features: npt.ArrayLike) -> Floats:
        """Probability of the target domain ``(n,)`` for features ``(n, d)``."""
        return np.asarray(special.expit(self.logits(features)))


def train(source: npt.ArrayLike, target: npt.ArrayLike, *, seed: int = 0) -> Classifier:
    """Train on features of real images of both domains, ``(n, d)`` and ``(m, d)``.

    Both domains count the same however many images they have. The penalty is chosen, and
    the log-odds are rescaled (Guo et al. 2017, temperature scaling), by cross-validation
    within the training images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    x = np.concatenate([a, b])
    y = np.r_[np.zeros(len(a)), np.ones(len(b))]
    sample_weights = np.r_[np.full(len(a), 0.5 / len(a)), np.full(len(b), 0.5 / len(b))]
    mean, scale = x.mean(0), x.std(0) + 1e-6
    # Standardised features have about d as squared norm; this makes penalties comparable.
    scale = scale * np.sqrt(x.shape[1])
    x = (x - mean) / scale

    def model(penalty: float) -> LogisticRegression:
        # The penalties are per hundredth of the data's weight, which sums to 1.
        return LogisticRegression(C=100.0 / penalty, tol=1e-6, max_iter=1000)

    def loss(logits: Floats) -> float:
        return float(sample_weights @ np.logaddexp(0.0, -(2.0 * y - 1.0) * logits))

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    scaled = {}
    # Thousands of small products: threads that wait for each other make them nine times as slow.
    with threadpool_limits(1, user_api="blas"):
        for penalty in _PENALTIES:
            held_out = cross_val_predict(
                model(penalty),
                x,
                y,
                cv=folds,
                method="decision_function",
                params={"sample_weight": sample_weights},
            )
            scaled[penalty] = optimize.minimize_scalar(
                lambda t, z=held_out: loss(np.exp(t) * z), bounds=(-3.0, 3.0), method="bounded"
            )
        best = min(scaled, key=lambda penalty: float(scaled[penalty].fun))
        chosen = model(best).fit(x, y, sample_weight=sample_weights)
    temper = float(np.exp(scaled[best].x))
    return Classifier(mean, scale, chosen.coef_[0] * temper, float(chosen.intercept_[0]) * temper)


def trained(source: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Return the numbers of what :func:`train` gives, for keeping."""
    return train(source, target).numbers()


@dataclass(frozen=True)
class Known:
    """What training pictures look like, and how far apart they are.

    The distance to the nearest of them tells pictures of another kind, with features scaled to
    length 1 (Sun et al. 2022, ICML: nearest neighbours out of distribution).

    Parameters
    ----------
    features
        Of training pictures, ``(n, d)``, each of length 1.
    reach
        How far from the other domain's nearest nearly each of them is, at most, or from its
        nearest other where that is more. A translation stands between the domains: soft or
        compressed it is farther from real pictures than they are from one another.
    """

    features: Floats
    reach: float

    @classmethod
    def of(cls, source: npt.ArrayLike, target: npt.ArrayLike) -> Known:
        """Learn from features ``(n, d)`` and ``(m, d)`` of real pictures; n + m at least 2."""
        x = _unit(np.concatenate([np.asarray(source), np.asarray(target)]))
        products = x @ x.T
        np.fill_diagonal(products, -1.0)
        count = len(np.asarray(source))
        across = products[:count, count:]
        nearest = (products.max(1), np.r_[across.max(1), across.max(0)])
        return cls(x, max(_apart(float(np.quantile(n, 1.0 - _NEAR))) for n in nearest))

    def far(self, features: npt.ArrayLike) -> Flags:
        """Return which of ``(n, d)`` are out of reach of all of them."""
        nearest = (_unit(features) @ self.features.T).max(1)
        return np.asarray([_apart(float(cosine)) > self.reach for cosine in nearest])


def _unit(features: npt.ArrayLike) -> Floats:
    x = np.asarray(features, dtype=np.float64)
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def _apart(cosine: float) -> float:
    # To 9 digits: those after them depend on which pictures are multiplied together, and equal
    # pictures must have equal verdicts.
    return round(1.0 - cosine, 9)
