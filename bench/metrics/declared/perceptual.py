"""Diversity and content, by perceptual distance."""

from __future__ import annotations

from bench.api import Column, MetricSpec
from bench.metrics.declared.extractors import DREAMSIM, PERCEPTUAL, PERCEPTUAL_VGG

_HERE = "bench.metrics"

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="lpips_diversity",
        summary="how much the samples of one input differ",
        implementation=f"{_HERE}.perceptual:diversity",
        kind="diversity",
        needs=("samples",),
        explanation=(
            "Perceptual distance between samples of the same input, over all pairs of samples, "
            "averaged over inputs. Exactly 0 for a deterministic method. High values are good "
            "only beside good quality: noise is the most diverse method of all. Versions 0.0 and "
            "0.1 of LPIPS differ by a factor of two, and the shift-tolerant variant has its own "
            "scale: compare within one extractor."
        ),
        extractors=PERCEPTUAL,
        source="Zhang et al. 2018, CVPR; protocol of StarGAN v2 (10 samples, 45 pairs)",
        gives=(
            Column(
                "lpips_diversity",
                title="Diversity",
                meaning="LPIPS between samples of one input; 0 is one answer only",
                higher_is_better=True,
                headline=40,
                short="divers.",
                question="Most varied",
                answer="largest LPIPS between the samples of one input",
            ),
        ),
    ),
    MetricSpec(
        name="lpips_input",
        summary="how far an output is from its input",
        implementation=f"{_HERE}.perceptual:to_input",
        kind="content",
        explanation=(
            "Perceptual distance between each output and its input, from 0 on, for photographs "
            "seldom above 1: low means the content stayed. A copy scores 0 and has translated "
            "nothing, so read it with the target rate."
        ),
        extractors=PERCEPTUAL,
        source="Zhang et al. 2018, CVPR",
        gives=(
            Column(
                "lpips_input",
                title="Change",
                meaning="LPIPS between input and output; 0 leaves the input as it is",
                higher_is_better=False,
                headline=50,
                short="change",
            ),
        ),
    ),
    MetricSpec(
        name="dreamsim_input",
        summary="how far an output is from its input, as people see whole pictures",
        implementation=f"{_HERE}.perceptual:to_input",
        kind="content",
        higher_is_better=False,
        default=False,
        explanation=(
            "One minus the cosine of DreamSim's embeddings of each output and its input, each "
            "embedding freed of its mean: 0 for a copy, 1 where the two have nothing in common, "
            "2 at most. It was fitted to which of two pictures people find more like a third, in "
            "layout, colour and what is shown. A season that changes changes it, too: read it "
            "with the target rate, and compare with real pairs where there are any. Pictures are "
            "looked at as squares of 224 pixels. The single branch dino_vitb16: values of its "
            "authors' ensemble are another scale."
        ),
        extractors=DREAMSIM,
        source="Fu et al. 2023, DreamSim",
    ),
    MetricSpec(
        name="lpips_diversity_munit",
        summary="the same over independent pairs, as MUNIT reports it",
        implementation=f"{_HERE}.perceptual:diversity_munit",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        explanation=(
            "Perceptual distance over disjoint pairs of samples (first and second, third and "
            "fourth, …), at most 19 pairs for each of at most 100 inputs. n counts pairs: the "
            "full protocol has 1900, which takes 38 samples per input. It estimates the same "
            "quantity as lpips_diversity, from fewer pairs. Published values use LPIPS 0.0 or "
            "0.1, a factor of two."
        ),
        extractors=PERCEPTUAL,
        source="Huang et al. 2018, MUNIT, section 5.2; number of pairs stated by its authors",
    ),
    MetricSpec(
        name="lpips_diversity_v00",
        summary="diversity by the first release of LPIPS, half the scale of 0.1",
        implementation=f"{_HERE}.perceptual:diversity",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        default=False,
        explanation=(
            "lpips_diversity by version 0.0 of LPIPS, whose input was not standardised. Its "
            "values are about half of those of version 0.1, which is why papers disagree; for "
            "comparison with papers of 2017 and 2018 only."
        ),
        extractors=("lpips-0.0-alex",),
        source="Zhang et al. 2018, CVPR (first release)",
    ),
    MetricSpec(
        name="lpips_diversity_vgg",
        summary="diversity with a VGG-16 trunk",
        implementation=f"{_HERE}.perceptual:diversity",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        default=False,
        explanation=(
            "lpips_diversity with VGG-16 in place of AlexNet: ten times the work, and another "
            "scale. Compare within one extractor."
        ),
        extractors=PERCEPTUAL_VGG,
        source="Zhang et al. 2018, CVPR",
    ),
    MetricSpec(
        name="lpips_diversity_squeeze",
        summary="diversity with a SqueezeNet trunk",
        implementation=f"{_HERE}.perceptual:diversity",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        default=False,
        explanation=(
            "lpips_diversity with SqueezeNet 1.1 in place of AlexNet: the smallest trunk, and "
            "another scale. Compare within one extractor."
        ),
        extractors=("lpips-0.1-squeeze",),
        source="Zhang et al. 2018, CVPR",
    ),
)
