"""A classifier of the two domains, and what it makes of the translations.

Logistic regression on the features of real *training* images; how right and how calibrated
it is on real *test* images is measured first, since no statement it makes about
translations is better than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from bench.api import Interval, Measurement, MetricContext, NotMeasurable
from bench.stats import Floats, bootstrap_mean, mean_of_two, wilson

_PENALTIES = (0.01, 0.1, 1.0)
_FOLDS = 4
_NATS = (0.0, float(np.log(2)))
"""Between what a divergence from the mean of two-class posteriors lies, averaged."""
_LEAST = 8
"""Training images of either domain below which no classifier is trained."""


@dataclass(frozen=True)
class Classifier:
    """Probability of the target domain: ``sigmoid((standardised features) @ weights + bias)``."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float

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


def calibration_error(
    probabilities: Floats, labels: Floats, *, bins: int = 10, balanced: bool = False
) -> float:
    """Expected calibration error: |confidence - accuracy| over bins of equal width.

    `balanced`: both labels count the same, however often each is there.
    """
    share = np.full(len(labels), 1.0 / len(labels))
    if balanced:
        sizes = np.bincount(labels.astype(np.intp), minlength=2)
        share = 0.5 / sizes[labels.astype(np.intp)]
    confidence = np.maximum(probabilities, 1.0 - probabilities)
    right = (probabilities >= 0.5) == (labels >= 0.5)
    which = np.minimum(((confidence - 0.5) * 2 * bins).astype(np.intp), bins - 1)
    total = 0.0
    for index in range(bins):
        inside = which == index
        if inside.any():
            total += abs(float(share[inside] @ (confidence[inside] - right[inside])))
    return float(total)


def area_under_curve(scores: Floats, labels: Floats) -> float:
    """Probability that a picture of label 1 scores above one of label 0; ties count half."""
    ranks = stats.rankdata(scores)
    ones = int(labels.sum())
    above = float(ranks[labels == 1].sum()) - ones * (ones + 1) / 2
    return above / (ones * (len(labels) - ones))


def divergence(p: Floats, q: Floats) -> Floats:
    """KL(p || q) along the last axis, in nats; 0 log 0 is 0."""
    return np.asarray(special.rel_entr(p, q).sum(-1))


@dataclass(frozen=True)
class Divergences:
    """Raw divergences of the posteriors of samples, per input, in nats.

    ``total = conditional + between`` holds exactly, on average over inputs.
    """

    conditional: Floats
    total: Floats
    between: Floats


def inception_scores(posteriors: Floats) -> Divergences:
    """CIS and IS (Huang et al. 2018, MUNIT, section 5.2) from posteriors ``(N, K, C)``.

    Parameters
    ----------
    posteriors
        For each of N inputs and K samples the probabilities of C classes.

    Returns
    -------
    Divergences
        For each input: mean over samples of KL(p_ik || mean_k p_ik), whose mean is the CIS;
        of KL(p_ik || overall mean), whose mean is the IS; and KL(mean_k p_ik || overall
        mean).
    """
    p = np.asarray(posteriors, dtype=np.float64)
    # The mean of equal numbers may be off by a bit; one answer must give exactly 0.
    same = (p == p[:, :1]).all(1, keepdims=True)
    of_input = np.where(same, p[:, :1], p.mean(1, keepdims=True))
    overall = of_input.mean(0, keepdims=True)
    return Divergences(
        divergence(p, of_input).mean(1),
        divergence(p, overall).mean(1),
        divergence(of_input, overall)[:, 0],
    )


# -------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class _Verdict:
    classifier: Classifier
    accuracy: Interval
    auc: float
    calibration: float
    tested: int
    posteriors: Floats
    """Probability of the target domain, ``(N, K)``."""


def _verdict(context: MetricContext) -> _Verdict:
    return context.once(f"season/{context.side}", lambda: _judge(context))


def _judge(context: MetricContext) -> _Verdict:
    context.need("source_train", _LEAST)
    context.need("reference_train", _LEAST)
    side = context.side
    classifier = train(
        context.features("source_train", side=side), context.features("reference_train", side=side)
    )
    # Held out means held out: a test image that is also a training image does not count.
    trained = context.digests("source_train") | context.digests("reference_train")
    sources = [p for p in context.pictures("inputs") if p.digest not in trained]
    targets = [p for p in context.pictures("reference") if p.digest not in trained]
    if not sources or not targets:
        which = "source" if not sources else "target"
        raise NotMeasurable(
            f"{context.name} has no test image of the {which} domain that is not also a "
            "training image"
        )
    labels = np.r_[np.zeros(len(sources)), np.ones(len(targets))]
    held_out = classifier.probabilities(context.features([*sources, *targets], side=side))
    right = (held_out >= 0.5) == (labels >= 0.5)
    # Each domain counts half, as in training: else the larger one would decide, and the same
    # judge would look better in one direction than in the other.
    accuracy = mean_of_two(
        *(
            wilson(int(right[labels == label].sum()), int((labels == label).sum()))
            for label in (0, 1)
        )
    )
    # Samples differ in what a glance sees as much as in detail; one of each input must do there.
    outputs = classifier.probabilities(
        context.features("all_outputs" if side is None else "outputs", side=side)
    )
    return _Verdict(
        classifier,
        accuracy,
        area_under_curve(held_out, labels),
        calibration_error(held_out, labels, balanced=True),
        len(labels),
        outputs.reshape(len(context.outputs), -1),
    )


def target_rate(context: MetricContext) -> Iterator[Measurement]:
    """``target_rate``, with the classifier's own accuracy and calibration error."""
    verdict = _verdict(context)
    first = verdict.posteriors[:, 0] >= 0.5
    yield context.measurement(
        context.name,
        wilson(int(first.sum()), len(first)),
        n=len(first),
        per_sample=context.per_sample(verdict.posteriors),
    )
    judge = "classifier" if context.side is None else f"classifier_{context.side}"
    yield context.measurement(f"{judge}_accuracy", verdict.accuracy, n=verdict.tested)
    yield context.measurement(f"{judge}_auc", verdict.auc, n=verdict.tested)
    if context.side is None:
        yield context.measurement(
            f"{judge}_calibration_error", verdict.calibration, n=verdict.tested
        )


def _divergences(context: MetricContext) -> Divergences:
    p = _verdict(context).posteriors
    return inception_scores(np.stack([p, 1.0 - p], axis=-1))


def cis(context: MetricContext) -> Iterator[Measurement]:
    """``cis_proxy``: conditional inception score, raw, of our own classifier."""
    values = _divergences(context).conditional
    yield context.measurement("cis_proxy", bootstrap_mean(values, within=_NATS), n=len(values))


def inception_score(context: MetricContext) -> Iterator[Measurement]:
    """``is_proxy``: inception score, raw, of our own classifier."""
    values = _divergences(context).total
    yield context.measurement("is_proxy", bootstrap_mean(values, within=_NATS), n=len(values))
