"""Copies, collapse and duplicates: the ways of cheating."""

from __future__ import annotations

from bench.api import Alarm, Column, MetricSpec
from bench.metrics.declared.extractors import FEATURES

_HERE = "bench.metrics"

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="memorised",
        summary="share of outputs closer to a training image than real images are",
        implementation=f"{_HERE}.content:memorised",
        kind="quality",
        explanation=(
            "Share of outputs that are nearer to some target training image than all but 5% of "
            "the real test images are. About 0.05 for outputs as fresh as real photographs, 1 for "
            "a method that returns training images."
        ),
        extractors=FEATURES,
        gives=(
            Column(
                "memorised",
                higher_is_better=False,
                alarm=Alarm(
                    "comes close to training images", "copies of training images", above=0.05
                ),
            ),
        ),
    ),
    MetricSpec(
        name="duplicates",
        summary="share of inputs that share their output with another input",
        implementation=f"{_HERE}.content:duplicates",
        kind="diversity",
        higher_is_better=False,
        explanation=(
            "Share of inputs whose first output is, pixel for pixel, also another input's. 1 for "
            "a method that always gives the same picture; 0 is as it should be."
        ),
    ),
    MetricSpec(
        name="distinct",
        summary="different outputs that an input gets",
        implementation=f"{_HERE}.content:distinct",
        kind="diversity",
        unit="outputs",
        needs=("samples",),
        explanation=(
            "How many of the samples of an input are different pictures, to the pixel, averaged "
            "over inputs: exactly 1 for a deterministic method, as many as there are samples for "
            "one that always answers anew. How far apart they are is lpips_diversity's to say."
        ),
    ),
    MetricSpec(
        name="spread",
        summary="how varied the outputs are, relative to real target images",
        implementation=f"{_HERE}.content:spread",
        kind="diversity",
        explanation=(
            "Variance of the features of one output per input over that of the real target "
            "images. 1 is as varied as real, near 0 is collapse onto one look; above 1 is no "
            "merit."
        ),
        extractors=FEATURES,
        gives=(
            Column(
                "spread",
                alarm=Alarm(
                    "hardly varies from input to input", "collapse onto one look", below=0.25
                ),
            ),
        ),
    ),
)
