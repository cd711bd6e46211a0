"""The built-in metrics, declared as any plugin's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.api import MetricSpec, hookimpl
from bench.metrics import files

_HERE = "bench.metrics"

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="kid",
        summary="distance of translations from real target images, exact and unbiased",
        implementation=f"{_HERE}.kid:measure",
        kind="quality",
        higher_is_better=False,
        explanation=(
            "Kernel Inception Distance: how far the features of one output per input are from "
            "those of the target domain's test images, over all pairs, without the bias that FID "
            "has at a few hundred images. 0 is a perfect match on average; slightly negative "
            "values are normal there; kid_floor is what real training images score, kid_train the "
            "same distance to the training images. Only values of the same extractor and the same "
            "images compare. A copy of a training image scores well: read it with the "
            "memorisation check."
        ),
        weights=files.FEATURES,
        source="Bińkowski et al. 2018, Demystifying MMD GANs, section 4",
    ),
    MetricSpec(
        name="fid",
        summary="Fréchet distance, beside the value that as many real images reach",
        implementation=f"{_HERE}.fid:measure",
        kind="quality",
        higher_is_better=False,
        explanation=(
            "Fréchet Inception Distance between one output per input and the target domain's test "
            "images, from 0 on. At a few hundred images it is mostly bias: fid_floor is what as "
            "many real training images of the target domain score, fid_excess the difference. "
            "Never compare values of different n or extractor."
        ),
        weights=files.FEATURES,
        source="Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, section 3",
    ),
    MetricSpec(
        name="fd_dinov2",
        summary="Fréchet distance by features learned without labels",
        implementation=f"{_HERE}.fid:measure",
        kind="quality",
        higher_is_better=False,
        default=False,
        explanation=(
            "The distance of fid on the class token of DINOv2 in place of Inception's features: it "
            "follows people's judgement more closely, and is no easier on a few hundred images. "
            "fd_dinov2_floor is what as many real training images score, fd_dinov2_excess the "
            "difference. Published values mostly use ViT-L/14: another scale. Never compare values "
            "of different n or extractor."
        ),
        weights=files.DINO,
        source="Stein et al. 2023, Exposing flaws of generative model evaluation metrics",
    ),
    MetricSpec(
        name="lpips_diversity",
        summary="how much the samples of one input differ",
        implementation=f"{_HERE}.perceptual:diversity",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        explanation=(
            "Perceptual distance between samples of the same input, over all pairs of samples, "
            "averaged over inputs. Exactly 0 for a deterministic method. High values are good "
            "only beside good quality: noise is the most diverse method of all. Versions 0.0 and "
            "0.1 of LPIPS differ by a factor of two, and the shift-tolerant variant has its own "
            "scale: compare within one extractor."
        ),
        weights=files.PERCEPTUAL,
        source="Zhang et al. 2018, CVPR; protocol of StarGAN v2 (10 samples, 45 pairs)",
    ),
    MetricSpec(
        name="lpips_input",
        summary="how far an output is from its input",
        implementation=f"{_HERE}.perceptual:to_input",
        kind="content",
        higher_is_better=False,
        explanation=(
            "Perceptual distance between each output and its input, from 0 on, for photographs "
            "seldom above 1: low means the content stayed. A copy scores 0 and has translated "
            "nothing, so read it with the target rate."
        ),
        weights=files.PERCEPTUAL,
        source="Zhang et al. 2018, CVPR",
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
        weights=files.PERCEPTUAL,
        source="Huang et al. 2018, MUNIT, section 5.2; number of pairs stated by its authors",
    ),
    MetricSpec(
        name="lpips_diversity_v00",
        summary="diversity by the first release of LPIPS, half the scale of 0.1",
        implementation=f"{_HERE}.perceptual:diversity_v00",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        default=False,
        explanation=(
            "lpips_diversity by version 0.0 of LPIPS, whose input was not standardised. Its "
            "values are about half of those of version 0.1, which is why papers disagree; for "
            "comparison with papers of 2017 and 2018 only."
        ),
        weights=(files.ALEXNET,),
        source="Zhang et al. 2018, CVPR (first release)",
    ),
    MetricSpec(
        name="lpips_diversity_vgg",
        summary="diversity with a VGG-16 trunk",
        implementation=f"{_HERE}.perceptual:diversity_named",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        default=False,
        explanation=(
            "lpips_diversity with VGG-16 in place of AlexNet: ten times the work, and another "
            "scale. Compare within one extractor."
        ),
        weights=files.PERCEPTUAL_VGG,
        source="Zhang et al. 2018, CVPR",
    ),
    MetricSpec(
        name="lpips_diversity_squeeze",
        summary="diversity with a SqueezeNet trunk",
        implementation=f"{_HERE}.perceptual:diversity_named",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        default=False,
        explanation=(
            "lpips_diversity with SqueezeNet 1.1 in place of AlexNet: the smallest trunk, and "
            "another scale. Compare within one extractor."
        ),
        weights=(files.SQUEEZENET,),
        source="Zhang et al. 2018, CVPR",
    ),
    MetricSpec(
        name="structure_distance",
        summary="how much the layout changed, whatever the appearance",
        implementation=f"{_HERE}.content:structure",
        kind="content",
        higher_is_better=False,
        explanation=(
            "Mean squared difference between input and output of how similar each place of the "
            "image is to each other place (7 x 7 places, local deep features). Colours and season "
            "may change, the layout should not. A copy scores 0. Real photographs of other scenes "
            "show what a lost layout scores. Published values use DINO's keys: another scale."
        ),
        weights=files.FEATURES,
        source="after Tumanyan et al. 2022, Splicing ViT Features, section 3.1",
    ),
    MetricSpec(
        name="structure_distance_dino",
        summary="structure_distance by the keys of a vision transformer",
        implementation=f"{_HERE}.content:structure",
        kind="content",
        higher_is_better=False,
        default=False,
        explanation=(
            "structure_distance on the keys of DINOv2's last block, pooled to 7 x 7 places and "
            "freed of the mean of each picture. 0 for a copy; lower means the layout stayed. "
            "Published values use all places and the keys of the first DINO: another scale."
        ),
        weights=files.DINO,
        source="after Tumanyan et al. 2022, Splicing ViT Features, section 3.1",
    ),
    MetricSpec(
        name="precision",
        summary="share of outputs that look like some real target image",
        implementation=f"{_HERE}.prc:precision",
        kind="quality",
        higher_is_better=True,
        explanation=(
            "Share of outputs whose features lie in the ball around a real target image that "
            "reaches to its 3rd nearest real neighbour (precision_k5: 5th), 0 to 1. High for few "
            "but good outputs: read it with recall. One outlier among the real images has a huge "
            "ball."
        ),
        weights=files.FEATURES,
        source="Kynkäänniemi et al. 2019, Improved Precision and Recall, section 2",
    ),
    MetricSpec(
        name="recall",
        summary="share of real target images that look like some output",
        implementation=f"{_HERE}.prc:recall",
        kind="quality",
        higher_is_better=True,
        explanation=(
            "Share of real target images that lie in the ball around an output reaching to its "
            "3rd nearest output (recall_k5: 5th), 0 to 1. Scattered bad outputs have large balls, "
            "so noise can score well: coverage does not have this fault."
        ),
        weights=files.FEATURES,
        source="Kynkäänniemi et al. 2019, Improved Precision and Recall, section 2",
    ),
    MetricSpec(
        name="density",
        summary="how many real images an output is close to",
        implementation=f"{_HERE}.prc:density",
        kind="quality",
        higher_is_better=True,
        explanation=(
            "Mean number of real balls that an output lies in, over k (3; density_k5: 5), from 0 "
            "on; about 1 for real images, above it for outputs that crowd where real images are "
            "dense: more than 1 is no merit, and says nothing of what is left out. Read it with "
            "coverage."
        ),
        weights=files.FEATURES,
        source="Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, section 3",
    ),
    MetricSpec(
        name="coverage",
        summary="share of real target images with an output nearby",
        implementation=f"{_HERE}.prc:coverage",
        kind="quality",
        higher_is_better=True,
        explanation=(
            "Share of real target images in whose ball (to the 3rd nearest real neighbour; "
            "coverage_k5: 5th) lies at least one output. 0 to 1; as many real images as outputs "
            "do not reach 1 either."
        ),
        weights=files.FEATURES,
        source="Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, section 3",
    ),
    MetricSpec(
        name="target_rate",
        summary="share of outputs taken for the target domain by a classifier",
        implementation=f"{_HERE}.season:target_rate",
        kind="quality",
        higher_is_better=True,
        explanation=(
            "A logistic regression on features, trained on real training images of both domains, "
            "decides whether the first output of each input belongs to the target domain: 0 to 1. "
            "classifier_accuracy and classifier_calibration_error say how far it can be trusted "
            "on real test images that it never saw, both domains counting half. An input may "
            "already look like the target: the identity shows how often."
        ),
        weights=files.FEATURES,
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
        weights=files.FEATURES,
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
        weights=files.FEATURES,
        source="Salimans et al. 2016, Improved Techniques for Training GANs; raw as in MUNIT",
    ),
    MetricSpec(
        name="memorised",
        summary="share of outputs closer to a training image than real images are",
        implementation=f"{_HERE}.content:memorised",
        kind="quality",
        higher_is_better=False,
        explanation=(
            "Share of outputs that are nearer to some target training image than all but 5% of "
            "the real test images are. About 0.05 for outputs as fresh as real photographs, 1 for "
            "a method that returns training images."
        ),
        weights=files.FEATURES,
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
        higher_is_better=None,
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
        higher_is_better=None,
        explanation=(
            "Variance of the features of one output per input over that of the real target "
            "images. 1 is as varied as real, near 0 is collapse onto one look; above 1 is no "
            "merit."
        ),
        weights=files.FEATURES,
    ),
    MetricSpec(
        name="psnr",
        summary="closeness to the true translation, pixel by pixel",
        implementation=f"{_HERE}.truth:measure_psnr",
        kind="truth",
        unit="dB",
        higher_is_better=True,
        needs=("pairs",),
        explanation=(
            "Peak signal-to-noise ratio to the nearest true translation; psnr_best_of_k takes the "
            "best sample of each input, psnr_pair the true translation in the input's own light. "
            "Blurry averages score well. Identical pictures count as 100 dB."
        ),
    ),
    MetricSpec(
        name="ssim",
        summary="structural closeness to the true translation",
        implementation=f"{_HERE}.truth:measure_ssim",
        kind="truth",
        higher_is_better=True,
        needs=("pairs",),
        explanation=(
            "Structural similarity to the nearest true translation (Gaussian window of 11 pixels, "
            "mean over channels); ssim_best_of_k takes the best sample of each input, ssim_pair "
            "the true translation in the input's own light. At most 1."
        ),
        source="Wang et al. 2004, Image Quality Assessment",
    ),
    MetricSpec(
        name="lpips_truth",
        summary="perceptual distance to the true translation",
        implementation=f"{_HERE}.truth:measure_lpips",
        kind="truth",
        higher_is_better=False,
        needs=("pairs",),
        explanation=(
            "Perceptual distance to the nearest true translation; lpips_truth_best_of_k takes the "
            "best sample of each input, and more samples make it lower: compare equal numbers. "
            "lpips_truth_pair is to the true translation in the input's own light."
        ),
        weights=files.PERCEPTUAL,
        source="Zhang et al. 2018, CVPR; best of k as in Zhu et al. 2017, BicycleGAN",
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
        weights=files.PERCEPTUAL,
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
        weights=files.PERCEPTUAL,
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
        weights=files.PERCEPTUAL,
    ),
    MetricSpec(
        name="factor_error",
        summary="how far light, snow and the like are from their true distribution",
        implementation=f"{_HERE}.truth:measure_factors",
        kind="truth",
        higher_is_better=False,
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
        weights=files.FEATURES,
    ),
    MetricSpec(
        name="season_error",
        summary="how far the colours of each region are from a true look's",
        implementation=f"{_HERE}.layers:season_error",
        kind="truth",
        higher_is_better=False,
        needs=("pairs", "layers"),
        explanation=(
            "In each region that the dataset knows (season_error_sky, _ground, …): mean and "
            "spread of the colours against the nearest true look's, in units of what the input "
            "itself scores. 0 is a true look, 1 is as far off as doing nothing, above 1 is worse. "
            "season_error sums the regions before it divides, so regions that change much count "
            "more. Where seasons hardly differ (the sky) even a fresh true look may score 1. "
            "Blind to where within a region a colour is."
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


@hookimpl
def bench_metrics() -> Sequence[MetricSpec]:
    """The built-in metrics."""
    return METRICS


def _declared(name: str, metrics: Sequence[MetricSpec]) -> MetricSpec | None:
    """The metric of a name, or the one that gives a measurement of that name."""
    exact = [spec for spec in metrics if spec.name == name]
    told = [spec for spec in metrics if name in re.findall(r"\w+", spec.explanation)]
    begun = [spec for spec in metrics if name.startswith(f"{spec.name}_")]
    begun.sort(key=lambda spec: -len(spec.name))
    return next(iter((*exact, *begun, *told)), None)


def explain(metric: str, metrics: Sequence[MetricSpec] = METRICS) -> str:
    """What a metric's number means, in a few lines, from its declaration.

    Numbers that stand beside a metric (``kid_floor``, ``classifier_accuracy``) are explained
    with it.

    Raises
    ------
    BenchError
        When no metric of that name is declared.
    """
    from bench.api import BenchError

    spec = _declared(metric, metrics)
    if spec is not None:
        better = {True: "higher is better", False: "lower is better", None: "no better side"}
        lines = [f"{spec.name}: {spec.summary}; {better[spec.higher_is_better]}", spec.explanation]
        lines.append(f"Source: {spec.source or 'defined here'}")
        if spec.weights:
            lines.append(f"Weights: {' or '.join(file.name for file in spec.weights)}")
        return "\n".join(lines)
    names = ", ".join(spec.name for spec in metrics)
    raise BenchError(f"metric {metric!r} is unknown: choose from {names}")
