"""Distances, structure and coverage, from the features of single images."""

from __future__ import annotations

from bench.api import Alarm, Column, MetricSpec
from bench.metrics.declared.extractors import CLIP, DINO, FEATURES
from bench.metrics.scales import SIDES

_HERE = "bench.metrics"

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="kid",
        summary="distance of translations from real target images, exact and unbiased",
        implementation=f"{_HERE}.kid:measure",
        kind="quality",
        explanation=(
            "Kernel Inception Distance: how far the features of one output per input are from "
            "those of the target domain's test images, over all pairs, without the bias that FID "
            "has at a few hundred images. 0 is a perfect match on average; slightly negative "
            "values are normal there; kid_floor is what real training images score, kid_train the "
            "same distance to the training images. Only values of the same extractor and the same "
            "images compare. A copy of a training image scores well: read it with the "
            "memorisation check."
        ),
        extractors=FEATURES,
        source="Bińkowski et al. 2018, Demystifying MMD GANs, section 4",
        gives=(
            Column(
                "kid",
                title="KID",
                meaning="distance to real target images, unbiased at any number of images",
                higher_is_better=False,
                headline=10,
                short="KID",
                question="Most realistic",
                answer="lowest KID: closest to real pictures of the target domain",
                aspect="real",
                bar="untouched",
            ),
            Column(
                "kid_floor",
                meaning="what real training images of the target domain score",
                beside="kid",
            ),
            Column(
                "kid_train",
                meaning="the same distance to the training images of the target domain",
                higher_is_better=False,
            ),
        ),
    ),
    *(
        MetricSpec(
            name=f"kid_{side}",
            summary=f"kid of pictures reduced to {side} pixels a side",
            implementation=f"{_HERE}.kid:measure",
            kind="quality",
            explanation=(
                f"kid of pictures reduced to {side} pixels a side by area and enlarged again, "
                "outputs and real images alike. It says whether they show the target's season: "
                "light, colours and where they lie. kid says whether texture and codec are real, "
                "too, and is large for a good translation saved as JPEG. Compare values of one "
                "side and one size of pictures only."
            ),
            extractors=FEATURES,
            source="Bińkowski et al. 2018, Demystifying MMD GANs, section 4",
            side=side,
            gives=(
                Column(
                    f"kid_{side}",
                    title=f"KID at {side} px",
                    meaning=f"distance to real target images without detail finer than {side} px",
                    higher_is_better=False,
                    headline=6 if side == 32 else None,
                    aspect="target" if side == 32 else "",
                    bar="halfway" if side == 32 else "",
                    short=f"KID {side}" if side == 32 else "",
                    side=side,
                ),
                Column(
                    f"kid_{side}_floor",
                    meaning="what real training images of the target domain score",
                    beside=f"kid_{side}",
                ),
            ),
        )
        for side in SIDES
    ),
    MetricSpec(
        name="fid",
        summary="Fréchet distance, beside the value that as many real images reach",
        implementation=f"{_HERE}.fid:measure",
        kind="quality",
        explanation=(
            "Fréchet Inception Distance between one output per input and the target domain's test "
            "images, from 0 on. At a few hundred images it is mostly bias: fid_floor is what as "
            "many real training images of the target domain score, fid_excess the difference. "
            "Never compare values of different n or extractor."
        ),
        extractors=FEATURES,
        source="Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, section 3",
        gives=(
            Column(
                "fid",
                title="FID",
                meaning="distance to real target images; grows as the number of images shrinks",
                higher_is_better=False,
                headline=20,
                short="FID",
            ),
            Column(
                "fid_floor",
                title="FID floor",
                meaning="what real target images score against each other at this n",
                headline=30,
                short="floor",
                beside="fid",
            ),
            Column(
                "fid_excess",
                title="FID excess",
                meaning="FID minus its floor",
                higher_is_better=False,
            ),
        ),
    ),
    MetricSpec(
        name="fd_dinov2",
        summary="Fréchet distance by features learned without labels",
        implementation=f"{_HERE}.fid:measure",
        kind="quality",
        default=False,
        explanation=(
            "The distance of fid on the class token of DINOv2 in place of Inception's features: it "
            "follows people's judgement more closely, and is no easier on a few hundred images. "
            "fd_dinov2_floor is what as many real training images score, fd_dinov2_excess the "
            "difference. Published values mostly use ViT-L/14: another scale. Never compare values "
            "of different n or extractor."
        ),
        extractors=DINO,
        source="Stein et al. 2023, Exposing flaws of generative model evaluation metrics",
        gives=(
            Column("fd_dinov2", higher_is_better=False),
            Column(
                "fd_dinov2_floor",
                meaning="what as many real training images score",
                beside="fd_dinov2",
            ),
            Column("fd_dinov2_excess", meaning="fd_dinov2 minus its floor", higher_is_better=False),
        ),
    ),
    MetricSpec(
        name="cmmd",
        summary="distance by embeddings that know what captions say of pictures",
        implementation=f"{_HERE}.cmmd:measure",
        kind="quality",
        default=False,
        explanation=(
            "Maximum mean discrepancy of CLIP's image embeddings under a Gaussian kernel (sigma "
            "10, times 1000): what pictures show counts for more than in kid, texture and codec "
            "for less. Exact and without bias, as kid is: 0 is a perfect match on average, "
            "slightly negative values are normal there. The published program pairs each picture "
            "with itself as well, which adds a little that shrinks with n. cmmd_floor is what real "
            "training images score, cmmd_train the distance to the training images."
        ),
        extractors=CLIP,
        source="Jayasumana et al. 2024, Rethinking FID, section 4",
        gives=(
            Column("cmmd", title="CMMD", higher_is_better=False),
            Column(
                "cmmd_floor",
                meaning="what real training images of the target domain score",
                beside="cmmd",
            ),
            Column(
                "cmmd_train",
                meaning="the same distance to the training images of the target domain",
                higher_is_better=False,
            ),
        ),
    ),
    MetricSpec(
        name="structure_distance",
        summary="how much the layout changed, whatever the appearance",
        implementation=f"{_HERE}.content:structure",
        kind="content",
        explanation=(
            "Mean squared difference between input and output of how similar each place of the "
            "image is to each other place (7 x 7 places, local deep features). Colours and season "
            "may change, the layout should not. A copy scores 0. Real photographs of other scenes "
            "show what a lost layout scores. Published values use DINO's keys: another scale."
        ),
        extractors=FEATURES,
        source="after Tumanyan et al. 2022, Splicing ViT Features, section 3.1",
        gives=(
            Column(
                "structure_distance",
                title="Structure",
                meaning="how much the layout changed, whatever the appearance",
                higher_is_better=False,
                headline=8,
                short="struct",
                question="Keeps the scene best",
                answer="smallest change of the layout",
                aspect="scene",
                bar="halfway",
            ),
        ),
    ),
    MetricSpec(
        name="content_rank",
        summary="how surely an output tells its own input from the others",
        implementation=f"{_HERE}.content:content_rank",
        kind="content",
        explanation=(
            "Share of the other inputs whose layout (as structure_distance sees it) is farther "
            "from an output than that of its own input: 1 when its own is always the nearest, 0.5 "
            "by chance. mispaired is the share of outputs that fit another input best, and that "
            "input them: about 0 for outputs in their places or without any content, near 1 for "
            "outputs that were assigned to the wrong inputs, which makes a run invalid."
        ),
        extractors=FEATURES,
        gives=(
            Column(
                "content_rank",
                title="Content rank",
                meaning="share of other inputs that an output is farther from than from its own",
                higher_is_better=True,
                headline=9,
                short="rank",
                aspect="scene",
                bar="halfway",
            ),
            Column(
                "mispaired",
                meaning="share of outputs that belong to another input by their layout",
                higher_is_better=False,
                alarm=Alarm(
                    "seems to have outputs of other inputs",
                    "outputs assigned to the wrong inputs",
                    above=0.25,
                    invalid=True,
                ),
            ),
        ),
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
        extractors=DINO,
        source="after Tumanyan et al. 2022, Splicing ViT Features, section 3.1",
    ),
    MetricSpec(
        name="precision",
        summary="share of outputs that look like some real target image",
        implementation=f"{_HERE}.prc:precision",
        kind="quality",
        explanation=(
            "Share of outputs whose features lie in the ball around a real target image that "
            "reaches to its 3rd nearest real neighbour (precision_k5: 5th), 0 to 1. High for few "
            "but good outputs: read it with recall. One outlier among the real images has a huge "
            "ball."
        ),
        extractors=FEATURES,
        source="Kynkäänniemi et al. 2019, Improved Precision and Recall, section 2",
        gives=(
            Column("precision", higher_is_better=True),
            Column(
                "precision_k5", meaning="with 5 neighbours in place of 3", higher_is_better=True
            ),
        ),
    ),
    MetricSpec(
        name="recall",
        summary="share of real target images that look like some output",
        implementation=f"{_HERE}.prc:recall",
        kind="quality",
        explanation=(
            "Share of real target images that lie in the ball around an output reaching to its "
            "3rd nearest output (recall_k5: 5th), 0 to 1. Scattered bad outputs have large balls, "
            "so noise can score well: coverage does not have this fault."
        ),
        extractors=FEATURES,
        source="Kynkäänniemi et al. 2019, Improved Precision and Recall, section 2",
        gives=(
            Column("recall", higher_is_better=True),
            Column("recall_k5", meaning="with 5 neighbours in place of 3", higher_is_better=True),
        ),
    ),
    MetricSpec(
        name="density",
        summary="how many real images an output is close to",
        implementation=f"{_HERE}.prc:density",
        kind="quality",
        explanation=(
            "Mean number of real balls that an output lies in, over k (3; density_k5: 5), from 0 "
            "on; about 1 for real images, above it for outputs that crowd where real images are "
            "dense: more than 1 is no merit, and says nothing of what is left out. Read it with "
            "coverage."
        ),
        extractors=FEATURES,
        source="Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, section 3",
        gives=(
            Column("density", higher_is_better=True),
            Column("density_k5", meaning="with 5 neighbours in place of 3", higher_is_better=True),
        ),
    ),
    MetricSpec(
        name="coverage",
        summary="share of real target images with an output nearby",
        implementation=f"{_HERE}.prc:coverage",
        kind="quality",
        explanation=(
            "Share of real target images in whose ball (to the 3rd nearest real neighbour; "
            "coverage_k5: 5th) lies at least one output. 0 to 1; as many real images as outputs "
            "do not reach 1 either."
        ),
        extractors=FEATURES,
        source="Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, section 3",
        gives=(
            Column("coverage", higher_is_better=True),
            Column("coverage_k5", meaning="with 5 neighbours in place of 3", higher_is_better=True),
        ),
    ),
)
