"""A judge of the two domains, and what it makes of the translations.

Logistic regression on the features of real *training* images; how right and how calibrated
it is on real *test* images is measured first, since no statement it makes about
translations is better than that. A regression has an answer to everything, to noise as well: a
picture that is far from every training picture is *neither*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from bench.api import Interval, Measurement, MetricContext, NotMeasurable, Picture
from bench.data.images import holds_detail_of
from bench.metrics.classifier import Classifier, Flags, Known, trained
from bench.metrics.scales import SIDES, AgreementConfig
from bench.stats import Floats, bootstrap_mean, mean_of_two, wilson

_NATS = (0.0, float(np.log(2)))
"""Between what a divergence from the mean of two-class posteriors lies, averaged."""
_LEAST = 8
"""Training images of either domain below which no classifier is trained."""
SURE = 0.9
"""Probability of either domain from which on the judge is sure."""


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


def label_ceiling(probabilities: Floats, labels: Floats) -> tuple[Interval, int]:
    """Return how often a judge that is always right would agree with the labels of these images.

    Confident learning (Northcutt et al. 2021, JAIR, section 3): an image belongs for sure to a
    domain whose probability is at least the mean over the images labelled so. The share of those
    that are labelled otherwise is the noise of a label; both labels count half. Of a judge whose
    verdicts are those of the truth, the area under the curve is bounded by the same number.

    Parameters
    ----------
    probabilities
        Of label 1, ``(n,)``, by a judge that was not trained on these images.
    labels
        0 or 1, ``(n,)``; both are there.

    Returns
    -------
    Interval, int
        In ``[0, 1]``; and how many images belong to a domain for sure.
    """
    p = np.stack([1.0 - probabilities, probabilities], axis=-1)
    usual = np.array([p[labels == label, label].mean() for label in (0, 1)])
    within = p >= usual - 1e-12  # a mean of equal numbers may lie above them
    belongs = np.where(within, p, -1.0).argmax(-1)
    counted = within.any(-1)
    shares = []
    for label in (0, 1):
        own = belongs[counted & (labels == label)]
        shares.append(wilson(int((own == label).sum()), len(own)))
    return mean_of_two(*shares), int(counted.sum())


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
class _Opinion:
    """What a judge makes of some pictures.

    Parameters
    ----------
    posteriors
        Probability of the target domain.
    far
        Whether a picture is far from every training picture.
    """

    posteriors: Floats
    far: Flags

    @property
    def taken(self) -> Flags:
        """Whether a picture is taken for the target domain."""
        return np.asarray((self.posteriors >= 0.5) & ~self.far)

    @property
    def verdicts(self) -> npt.NDArray[np.intp]:
        """1 for the target domain, 0 for the source, -1 for neither."""
        return np.where(self.far, -1, self.posteriors >= 0.5)

    @property
    def sure(self) -> Flags:
        """Whether the judge is sure of its verdict."""
        sure = np.maximum(self.posteriors, 1.0 - self.posteriors) >= SURE
        return np.asarray(sure & ~self.far)


@dataclass(frozen=True)
class _Judged:
    """Opinions of the outputs ``(N, K)`` and of real test images ``(n,)`` with their labels."""

    outputs: _Opinion
    real: _Opinion
    labels: Floats


def _judged(context: MetricContext, side: int | None) -> _Judged:
    return context.once(f"season/{side}", lambda: _judge(context, side))


def _judge(context: MetricContext, side: int | None) -> _Judged:
    context.need("source_train", _LEAST)
    context.need("reference_train", _LEAST)
    real = [context.features(which, side=side) for which in ("source_train", "reference_train")]
    # Every trial of a run asks the same judge.
    classifier, known = Classifier.of(context.learned(trained, *real)), Known.of(*real)

    def opinion(features: npt.ArrayLike) -> _Opinion:
        return _Opinion(classifier.probabilities(features), known.far(features))

    sources, targets = _held_out(context)
    tests = opinion(context.features([*sources, *targets], side=side))
    # Samples differ in what a glance sees as much as in detail; one of each input must do there.
    outputs = opinion(context.features("all_outputs" if side is None else "outputs", side=side))
    shape = (len(context.outputs), -1)
    return _Judged(
        _Opinion(outputs.posteriors.reshape(shape), outputs.far.reshape(shape)),
        tests,
        np.r_[np.zeros(len(sources)), np.ones(len(targets))],
    )


def _held_out(context: MetricContext) -> tuple[list[Picture], list[Picture]]:
    """Return test images of source and target; one that is a training image does not count."""
    trained = context.digests("source_train") | context.digests("reference_train")
    sources = [p for p in context.pictures("inputs") if p.digest not in trained]
    targets = [p for p in context.pictures("reference") if p.digest not in trained]
    if not sources or not targets:
        which = "source" if not sources else "target"
        raise NotMeasurable(
            f"{context.name} has no test image of the {which} domain that is not also a "
            "training image"
        )
    return sources, targets


def _balanced(right: Flags, labels: Floats) -> Interval:
    """Return how often a judge is right.

    Each domain counts half, as in training: else the larger one would decide, and the same
    judge would look better in one direction than in the other.
    """
    halves = [right[labels == label] for label in (0, 1)]
    return mean_of_two(*(wilson(int(half.sum()), len(half)) for half in halves))


def _share(flags: Flags) -> Interval:
    return wilson(int(flags.sum()), len(flags))


def target_rate(context: MetricContext) -> Iterator[Measurement]:
    """``target_rate``, and how good the judge is; at full size also what it abstains from."""
    judged = _judged(context, context.side)
    outputs, real, labels = judged.outputs, judged.real, judged.labels
    first = _Opinion(outputs.posteriors[:, 0], outputs.far[:, 0])
    yield context.measurement(
        context.name,
        _share(first.taken),
        n=len(first.far),
        per_sample=context.per_sample(np.where(outputs.far, 0.0, outputs.posteriors)),
    )
    judge = "classifier" if context.side is None else f"classifier_{context.side}"
    right = (real.posteriors >= 0.5) == (labels >= 0.5)
    n = len(labels)
    yield context.measurement(f"{judge}_accuracy", _balanced(right, labels), n=n)
    yield context.measurement(f"{judge}_auc", area_under_curve(real.posteriors, labels), n=n)
    if context.side is not None:
        return
    error = calibration_error(real.posteriors, labels, balanced=True)
    yield context.measurement("classifier_calibration_error", error, n=n)
    ceiling, counted = label_ceiling(real.posteriors, labels)
    yield context.measurement("classifier_ceiling", ceiling, n=counted)
    yield context.measurement("classifier_neither", _share(real.far), n=n)
    yield context.measurement("classifier_sure", _share(real.sure), n=n)
    if len(np.unique(labels[real.sure])) == 2:
        accuracy = _balanced(right[real.sure], labels[real.sure])
        yield context.measurement("classifier_sure_accuracy", accuracy, n=int(real.sure.sum()))
    yield context.measurement("neither_rate", _share(first.far), n=len(first.far))
    yield context.measurement("sure_rate", _share(first.sure), n=len(first.far))
    if first.sure.any():
        sure = first.taken[first.sure]
        yield context.measurement("target_rate_sure", _share(sure), n=len(sure))


def agreement(context: MetricContext) -> Iterator[Measurement]:
    """``judge_agreement``: do judges that look at other scales, by other networks, say the same."""
    config = context.config
    assert isinstance(config, AgreementConfig)
    own = _judged(context, None)
    height, width, _ = context.pictures("outputs")[0].load().shape
    others = {
        str(side): _judged(context, side)
        for side in SIDES
        if holds_detail_of(min(height, width), side)
    }
    for name in config.networks:
        if (seen := context.seen_by(name)).extractor != context.extractor:
            others[name.replace("-", "_")] = _judged(seen, None)
    if not others:
        raise NotMeasurable(
            f"{context.name} has one judge only: no scale below {min(height, width)} px, and its "
            "option networks names no other network"
        )
    outputs, real = own.outputs.verdicts[:, 0], own.real.verdicts
    same = {name: outputs == other.outputs.verdicts[:, 0] for name, other in others.items()}
    all_same = np.logical_and.reduce(list(same.values()))
    yield context.measurement(context.name, _share(all_same), n=len(all_same))
    for name, flags in same.items():
        yield context.measurement(f"{context.name}_{name}", _share(flags), n=len(flags))
    of_real = np.logical_and.reduce([real == other.real.verdicts for other in others.values()])
    yield context.measurement(f"{context.name}_real", _share(of_real), n=len(of_real))


def _divergences(context: MetricContext) -> Divergences:
    p = _judged(context, context.side).outputs.posteriors
    return inception_scores(np.stack([p, 1.0 - p], axis=-1))


def cis(context: MetricContext) -> Iterator[Measurement]:
    """``cis_proxy``: conditional inception score, raw, of our own classifier."""
    values = _divergences(context).conditional
    yield context.measurement("cis_proxy", bootstrap_mean(values, within=_NATS), n=len(values))


def inception_score(context: MetricContext) -> Iterator[Measurement]:
    """``is_proxy``: inception score, raw, of our own classifier."""
    values = _divergences(context).total
    yield context.measurement("is_proxy", bootstrap_mean(values, within=_NATS), n=len(values))
