"""Closeness to what is true, where the dataset knows it."""

from __future__ import annotations

from bench.api import Column, MetricSpec
from bench.metrics.declared.extractors import DREAMSIM, FEATURES, PERCEPTUAL

_HERE = "bench.metrics"


def _variants(name: str, *, higher_is_better: bool, unit: str = "") -> tuple[Column, Column]:
    """Return what stands beside a comparison with the nearest truth."""
    return (
        Column(
            f"{name}_best_of_k",
            meaning="of the best sample of each input",
            unit=unit,
            higher_is_better=higher_is_better,
        ),
        Column(
            f"{name}_pair",
            meaning="to the true translation in the input's own light",
            unit=unit,
            higher_is_better=higher_is_better,
        ),
    )


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="psnr",
        summary="closeness to the true translation, pixel by pixel",
        implementation=f"{_HERE}.truth:measure_psnr",
        kind="truth",
        needs=("pairs",),
        explanation=(
            "Peak signal-to-noise ratio to the nearest true translation; psnr_best_of_k takes the "
            "best sample of each input, psnr_pair the true translation in the input's own light. "
            "Blurry averages score well. Identical pictures count as 100 dB."
        ),
        gives=(
            Column("psnr", unit="dB", higher_is_better=True),
            *_variants("psnr", higher_is_better=True, unit="dB"),
        ),
    ),
    MetricSpec(
        name="ssim",
        summary="structural closeness to the true translation",
        implementation=f"{_HERE}.truth:measure_ssim",
        kind="truth",
        needs=("pairs",),
        explanation=(
            "Structural similarity to the nearest true translation (Gaussian window of 11 pixels, "
            "mean over channels); ssim_best_of_k takes the best sample of each input, ssim_pair "
            "the true translation in the input's own light. At most 1."
        ),
        source="Wang et al. 2004, Image Quality Assessment",
        gives=(
            Column("ssim", higher_is_better=True),
            *_variants("ssim", higher_is_better=True),
        ),
    ),
    MetricSpec(
        name="lpips_truth",
        summary="perceptual distance to the true translation",
        implementation=f"{_HERE}.truth:measure_perceptual",
        kind="truth",
        needs=("pairs",),
        explanation=(
            "Perceptual distance to the nearest true translation; lpips_truth_best_of_k takes the "
            "best sample of each input, and more samples make it lower: compare equal numbers. "
            "lpips_truth_pair is to the true translation in the input's own light."
        ),
        extractors=PERCEPTUAL,
        source="Zhang et al. 2018, CVPR; best of k as in Zhu et al. 2017, BicycleGAN",
        gives=(
            Column(
                "lpips_truth",
                title="Distance to truth",
                higher_is_better=False,
                question="Closest to the truth",
                answer="smallest LPIPS to the true translation",
            ),
            *_variants("lpips_truth", higher_is_better=False),
        ),
    ),
    MetricSpec(
        name="dreamsim_truth",
        summary="distance to the true translation, as people see whole pictures",
        implementation=f"{_HERE}.truth:measure_perceptual",
        kind="truth",
        needs=("pairs",),
        default=False,
        explanation=(
            "lpips_truth by DreamSim in place of LPIPS: layout and what is shown count for more, "
            "single edges and textures for less. Another scale, from 0 to 2; see dreamsim_input."
        ),
        extractors=DREAMSIM,
        source="Fu et al. 2023, DreamSim",
        gives=(
            Column("dreamsim_truth", higher_is_better=False),
            *_variants("dreamsim_truth", higher_is_better=False),
        ),
    ),
    MetricSpec(
        name="truth_coverage",
        summary="share of the true modes that the samples show",
        implementation=f"{_HERE}.truth:measure_modes",
        kind="truth",
        higher_is_better=True,
        needs=("pairs", "samples"),
        explanation=(
            "Where an input has several true translations: the share of them that at least one "
            "sample shows. A sample shows the nearest one, or none: see truth_precision. At most "
            "1 over the number of modes for a deterministic method; more samples can only raise "
            "it: compare equal numbers."
        ),
        extractors=PERCEPTUAL,
    ),
    MetricSpec(
        name="truth_precision",
        summary="share of the samples that show a true mode",
        implementation=f"{_HERE}.truth:measure_mode_precision",
        kind="truth",
        higher_is_better=True,
        needs=("pairs",),
        explanation=(
            "Where an input has several true translations: the share of samples that show one of "
            "them. A sample shows the perceptually nearest, unless it is nearer to its input, or "
            "farther than 0.85 of the distance from that true look to the next one. Not every "
            "fresh true look passes, and a look between two modes is near neither: compare with "
            "other methods, not with 1."
        ),
        extractors=PERCEPTUAL,
    ),
    MetricSpec(
        name="truth_mode_error",
        summary="how far the shares of the modes are from the true ones",
        implementation=f"{_HERE}.truth:measure_mode_error",
        kind="truth",
        higher_is_better=False,
        needs=("pairs", "factors"),
        explanation=(
            "Total variation between how often outputs show each mode, over all inputs and "
            "samples, and how often it is true. 0: all modes as often as they should be; 1: none "
            "is ever shown, since outputs that show no mode count as missing. One mode for every "
            "input scores 1 less its true share. It says nothing about single inputs: "
            "truth_coverage does."
        ),
        extractors=PERCEPTUAL,
    ),
    MetricSpec(
        name="factor_error",
        summary="how far light, snow and the like are from their true distribution",
        implementation=f"{_HERE}.truth:measure_factors",
        kind="truth",
        needs=("factors",),
        explanation=(
            "Known factors of the pictures (snow, haze, …) are read from features by a ridge "
            "regression trained on real target images, in outputs and in real test images alike. "
            "Wasserstein-1 distance of the two distributions, in standard deviations of the real "
            "one, over all samples; factor_error is the mean over the factors that can be read "
            "(explained variance 0.3 or more on real test images), factor_error_NAME one of them. "
            "factor_error_floor is what as many real training images score. A wrong season is "
            "read as some season's factors: look at target_rate first."
        ),
        extractors=FEATURES,
        gives=(
            Column("factor_error", higher_is_better=False),
            Column(
                "factor_error_floor",
                meaning="what as many real training images score",
                higher_is_better=False,
                beside="factor_error",
            ),
            Column("factor_error_*", meaning="of * alone", higher_is_better=False),
        ),
    ),
    MetricSpec(
        name="season_error",
        summary="how far the colours of each region are from a true look's",
        implementation=f"{_HERE}.layers:season_error",
        kind="truth",
        needs=("pairs", "layers"),
        explanation=(
            "In each region that the dataset knows (season_error_sky, _ground, …): mean and "
            "spread of the colours against the nearest true look's, in units of what the input "
            "itself scores. 0 is a true look, 1 is as far off as doing nothing, above 1 is worse. "
            "season_error sums the regions before it divides, so regions that change much count "
            "more. Where seasons hardly differ (the sky) even a fresh true look may score 1. "
            "Blind to where within a region a colour is."
        ),
        gives=(
            Column("season_error", higher_is_better=False),
            Column("season_error_*", meaning="of the region * alone", higher_is_better=False),
        ),
    ),
    MetricSpec(
        name="skyline_kept",
        summary="share of the true skyline that outputs show",
        implementation=f"{_HERE}.layers:skyline",
        kind="content",
        higher_is_better=True,
        needs=("pairs", "layers"),
        explanation=(
            "In each column, whether the strongest step between above and below is where the land "
            "meets the sky, among the columns where most true looks show it so. 1 as in true "
            "looks on average, 0 by chance. A copy may differ from 1: snow and mist move some of "
            "the strongest steps."
        ),
    ),
    MetricSpec(
        name="edges_kept",
        summary="how clearly outputs show the outlines of the scene",
        implementation=f"{_HERE}.layers:edges",
        kind="content",
        higher_is_better=True,
        needs=("pairs", "layers"),
        explanation=(
            "How often a pixel at an outline (the class changes or the depth jumps) has a "
            "stronger edge than another pixel of its row. 1 as in true looks on average, 0 by "
            "chance; a summer shows outlines more clearly than a winter, so a copy may score "
            "above 1. Invented edges elsewhere lower it."
        ),
    ),
    MetricSpec(
        name="depth_order_kept",
        summary="whether what is farther still looks farther",
        implementation=f"{_HERE}.layers:depth_order",
        kind="content",
        higher_is_better=True,
        needs=("pairs", "layers"),
        explanation=(
            "A regression learns from true looks and inputs of other scenes how deep a place "
            "looks, and orders pairs of places of the same row in the outputs. Only departures "
            "from the usual depth at a place count. 1 as in true looks, 0 by chance; as good as "
            "its regression, so small differences mean little."
        ),
    ),
)
