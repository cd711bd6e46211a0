"""What a classifier of the two domains makes of the outputs."""

from __future__ import annotations

from bench.api import Alarm, Column, MetricSpec
from bench.metrics.declared.extractors import FEATURES
from bench.metrics.scales import SIDES, AgreementConfig

_HERE = "bench.metrics"


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="target_rate",
        summary="share of outputs taken for the target domain by a classifier",
        implementation=f"{_HERE}.season:target_rate",
        kind="quality",
        explanation=(
            "A logistic regression on features, trained on real training images of both domains, "
            "decides whether the first output of each input belongs to the target domain: 0 to 1. "
            "One that is farther from every training image than 99.5% of these are from the "
            "nearest image of the other domain belongs to neither. classifier_accuracy, "
            "classifier_auc and classifier_calibration_error say how far the judge can be trusted "
            "on real test images that it never saw, both domains counting half; "
            "classifier_ceiling how right it can look at most, since some photographs carry the "
            "wrong label (what it gets wrong for sure counts as such, so the ceiling may be "
            "higher). target_rate_sure is of those outputs alone of which it is sure, at a "
            "probability of 0.9. An input may already look "
            "like the target: the identity shows how often."
        ),
        extractors=FEATURES,
        gives=(
            Column(
                "target_rate",
                title="Target rate",
                meaning="share of outputs that a classifier of real images takes for the target",
                higher_is_better=True,
                headline=4,
                short="target",
                question="Taken for the target",
                answer="most outputs taken for the target domain by a classifier of real images",
                aspect="target",
                bar="halfway",
            ),
            Column(
                "classifier_accuracy",
                meaning="how often the classifier is right on real test images",
            ),
            Column(
                "classifier_auc",
                meaning="how often it ranks a real target image above a real source image",
            ),
            Column(
                "classifier_calibration_error",
                meaning="how far its confidence is from how often it is right",
            ),
            Column(
                "classifier_ceiling",
                meaning="how often a judge that is always right would agree with the labels",
            ),
            Column(
                "classifier_neither",
                meaning="share of real test images that are far from every training image",
            ),
            Column(
                "classifier_sure",
                meaning="share of real test images of which the classifier is sure",
            ),
            Column(
                "classifier_sure_accuracy",
                meaning="how often the classifier is right where it is sure",
            ),
            Column(
                "neither_rate",
                meaning="share of outputs that are far from every training image",
                higher_is_better=False,
                alarm=Alarm(
                    "looks like no training image of either domain",
                    "outputs unlike any training image",
                    above=0.25,
                ),
            ),
            Column(
                "sure_rate",
                meaning="share of outputs of which the classifier is sure",
            ),
            Column(
                "target_rate_sure",
                meaning="share taken for the target of the outputs of which it is sure",
                higher_is_better=True,
            ),
        ),
    ),
    *(
        MetricSpec(
            name=f"target_rate_{side}",
            summary=f"target_rate of pictures reduced to {side} pixels a side",
            implementation=f"{_HERE}.season:target_rate",
            kind="quality",
            explanation=(
                f"target_rate by a judge trained on, and shown, pictures reduced to {side} pixels: "
                "what is left is light, colour and where they lie, not texture or codec. One "
                "output per input."
            ),
            extractors=FEATURES,
            side=side,
            gives=(
                Column(
                    f"target_rate_{side}",
                    meaning=f"share taken for the target at {side} pixels a side",
                    higher_is_better=True,
                    side=side,
                ),
                Column(
                    f"classifier_{side}_accuracy",
                    meaning=f"how often the judge of {side} pixels is right on real test images",
                ),
                Column(
                    f"classifier_{side}_auc",
                    meaning="how often it ranks a real target image above a real source image",
                ),
            ),
        )
        for side in SIDES
    ),
    MetricSpec(
        name="judge_agreement",
        summary="share of outputs on which judges of all scales say the same",
        implementation=f"{_HERE}.season:agreement",
        kind="quality",
        explanation=(
            "The judge of target_rate beside those of the reduced pictures: the share of first "
            "outputs to which all give the same verdict, target, source or neither; 0 to 1. Where "
            "they differ, texture and light tell different seasons, and target_rate is one "
            "opinion. judge_agreement_real is the same of real test images: what to expect. The "
            "option networks adds a judge for each other network it names "
            "(judge_agreement.networks=dinov2-vitb14)."
        ),
        extractors=FEATURES,
        config=AgreementConfig,
        gives=(
            Column("judge_agreement"),
            Column("judge_agreement_*", meaning="with the judge of * alone: a scale, or a network"),
            Column("judge_agreement_real", meaning="of real test images, all judges"),
        ),
    ),
    MetricSpec(
        name="cis_proxy",
        summary="conditional inception score of our own classifier (raw, a proxy)",
        implementation=f"{_HERE}.season:cis",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        explanation=(
            "How much the classifier's verdict varies between samples of one input: mean KL "
            "divergence in nats, at most log 2. A proxy: MUNIT's classifier was never released, "
            "and its code reports the exponential of this. is_proxy = cis_proxy + variation "
            "between inputs."
        ),
        extractors=FEATURES,
        source="Huang et al. 2018, MUNIT, section 5.2",
    ),
    MetricSpec(
        name="is_proxy",
        summary="inception score of our own classifier (raw, a proxy)",
        implementation=f"{_HERE}.season:inception_score",
        kind="diversity",
        higher_is_better=True,
        explanation=(
            "How much the classifier's verdict varies over all outputs: mean KL divergence in "
            "nats, at most log 2. A perfect translator gives every output the same verdict, so "
            "high is not good by itself here. A proxy for the published score."
        ),
        extractors=FEATURES,
        source="Salimans et al. 2016, Improved Techniques for Training GANs; raw as in MUNIT",
    ),
)
