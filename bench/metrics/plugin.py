"""The built-in metrics, declared as any plugin's."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import MetricSpec, hookimpl
from bench.metrics import files

_HERE = "bench.metrics"

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="kid",
        summary="distance of translations from real target images (exact, unbiased)",
        implementation=f"{_HERE}.kid:measure",
        kind="quality",
        higher_is_better=False,
        explanation="Kernel Inception Distance: how far the features of one output per input are "
        "from those of the target domain's test images, over all pairs, without the bias that FID "
        "has at a few hundred images. 0 is a perfect match on average; slightly negative values "
        "are normal there. Only values of the same extractor and the same images compare. A copy "
        "of a training image scores well: read it with the memorisation check.",
        weights=files.FEATURES,
        source="Bińkowski et al. 2018, Demystifying MMD GANs, section 4",
    ),
    MetricSpec(
        name="fid",
        summary="Fréchet distance, beside the value that as many real images reach",
        implementation=f"{_HERE}.fid:measure",
        kind="quality",
        higher_is_better=False,
        explanation="Fréchet Inception Distance between one output per input and the target "
        "domain's test images. At a few hundred images it is mostly bias: fid_floor is what as "
        "many real training images of the target domain score, fid_excess the difference. "
        "Never compare values of different n or extractor.",
        weights=files.FEATURES,
        source="Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, section 3",
    ),
    MetricSpec(
        name="lpips_diversity",
        summary="how much the samples of one input differ",
        implementation=f"{_HERE}.perceptual:diversity",
        kind="diversity",
        higher_is_better=True,
        needs=("samples",),
        explanation="Perceptual distance between samples of the same input, over all pairs of "
        "samples, averaged over inputs. Exactly 0 for a deterministic method. High values are good "
        "only beside good quality: noise is the most diverse method of all. Versions 0.0 and 0.1 "
        "of LPIPS differ by a factor of two, and the shift-tolerant variant has its own scale: "
        "compare within one extractor.",
        weights=files.PERCEPTUAL,
        source="Zhang et al. 2018, CVPR; protocol of StarGAN v2 (10 samples, 45 pairs)",
    ),
    MetricSpec(
        name="lpips_input",
        summary="how far an output is from its input",
        implementation=f"{_HERE}.perceptual:to_input",
        kind="content",
        higher_is_better=False,
        explanation="Perceptual distance between each output and its input: low means the content "
        "stayed. A copy scores 0 and has translated nothing, so read it with the target rate.",
        weights=files.PERCEPTUAL,
        source="Zhang et al. 2018, CVPR",
    ),
)


@hookimpl
def bench_metrics() -> Sequence[MetricSpec]:
    """The built-in metrics."""
    return METRICS


def explain(metric: str, metrics: Sequence[MetricSpec] = METRICS) -> str:
    """What a metric's number means, in a few lines, from its declaration.

    Raises
    ------
    BenchError
        When no metric of that name is declared.
    """
    from bench.api import BenchError

    for spec in metrics:
        if spec.name == metric:
            better = {True: "higher is better", False: "lower is better", None: "no better side"}
            lines = [
                f"{spec.name}: {spec.summary} ({better[spec.higher_is_better]})",
                spec.explanation,
            ]
            if spec.source:
                lines.append(f"Source: {spec.source}")
            if spec.weights:
                lines.append(f"Weights: {' or '.join(file.name for file in spec.weights)}")
            return "\n".join(lines)
    names = ", ".join(spec.name for spec in metrics)
    raise BenchError(f"metric {metric!r} is unknown: choose from {names}")
