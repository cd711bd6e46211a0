"""Baselines: cheap, deterministic anchors that keep every number of a comparison honest."""

from __future__ import annotations

from bench.api import MethodSpec, Rule, hookimpl
from bench_baselines.config import RecodedConfig

_REINHARD = "Reinhard, Ashikhmin, Gooch & Shirley, Color Transfer between Images, IEEE CG&A 2001"

SPECS = (
    MethodSpec(
        name="identity",
        summary="The input, unchanged: exposes quality metrics that reward doing nothing.",
        implementation="bench_baselines.method:Identity",
        baseline=True,
        role="untouched",
        rules=(
            Rule("lpips_input", "equals", 0.0, "a copy changes nothing"),
            Rule("structure_distance", "equals", 0.0, "a copy keeps its layout"),
            Rule("lpips_diversity", "equals", 0.0, "a deterministic method has one answer"),
            Rule("distinct", "equals", 1.0, "a deterministic method has one answer"),
            Rule("kid", "below", "noise", "photographs of the other domain beat noise"),
            Rule("fid", "below", "noise", "photographs of the other domain beat noise"),
        ),
    ),
    MethodSpec(
        name="color_transfer",
        summary="Mean and spread of each Lab channel from a random target image: exposes "
        "translations that are a colour filter.",
        implementation="bench_baselines.method:ColorTransfer",
        multimodal=True,
        exemplar=True,
        baseline=True,
        source=_REINHARD,
    ),
    MethodSpec(
        name="histogram_matching",
        summary="The RGB histograms of a random target image: exposes metrics that look at "
        "colour alone.",
        implementation="bench_baselines.method:HistogramMatching",
        multimodal=True,
        exemplar=True,
        baseline=True,
    ),
    MethodSpec(
        name="nearest_target",
        summary="The target training image most like the input: exposes metrics that cannot tell "
        "a copy of the training set from a translation.",
        implementation="bench_baselines.method:NearestTarget",
        exemplar=True,
        baseline=True,
        rules=(Rule("memorised", "equals", 1.0, "it returns training images"),),
    ),
    MethodSpec(
        name="constant_target",
        summary="One target training image for every input: exposes metrics that a collapsed "
        "model can please.",
        implementation="bench_baselines.method:ConstantTarget",
        exemplar=True,
        baseline=True,
        rules=(Rule("duplicates", "equals", 1.0, "it gives every input the same picture"),),
    ),
    MethodSpec(
        name="noise",
        summary="White noise, the worst quality there is: exposes diversity that is mere noise.",
        implementation="bench_baselines.method:Noise",
        multimodal=True,
        baseline=True,
        rules=(Rule("lpips_input", "above", "identity", "noise keeps no content"),),
    ),
    MethodSpec(
        name="real_target",
        summary="Random real target training images: the best a quality metric can read, "
        "real against real; exposes metrics that ignore the input.",
        implementation="bench_baselines.method:RealTarget",
        multimodal=True,
        exemplar=True,
        baseline=True,
        role="real",
        rules=(
            Rule("kid", "below", "identity", "real target images beat untouched inputs"),
            Rule("kid_32", "below", "identity", "real target images beat untouched inputs"),
            Rule("kid", "below", "noise", "real target images beat noise"),
            Rule("fid", "below", "noise", "real target images beat noise"),
            Rule("precision", "above", "noise", "noise resembles no real image"),
            Rule("coverage", "above", "constant_target", "one image cannot cover a domain"),
            Rule("target_rate", "above", "identity", "real target images are of the target"),
        ),
    ),
    MethodSpec(
        name="recoded",
        summary="The input, or random real target images, through the codec of pictures made "
        "elsewhere: exposes how much of a score is the codec's.",
        implementation="bench_baselines.method:Recoded",
        config=RecodedConfig,
        multimodal=True,
        exemplar=True,
        baseline=True,
        role="encoded",
    ),
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """Return every baseline."""
    return SPECS
