"""Structure kept, and the ways of cheating: copies, collapse, duplicates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import optimize

from bench.api import Measurement, MetricContext, NotMeasurable
from bench.metrics.fid import grams, grams_of
from bench.metrics.prc import distances
from bench.stats import NOT_NEGATIVE, SHARE, Floats, bootstrap_mean, wilson

CLOSE = 0.05
"""An output is a suspected copy when it is nearer to a training image than this share of
real test images is."""
MISPAIRED = 0.25
"""Outputs are held to be in the wrong places when more than this share is."""
_FEWEST = 8
"""Inputs below which nothing can be said of their order."""


def structure(context: MetricContext) -> Iterator[Measurement]:
    """``structure_distance``: mean squared difference of self-similarities, input to output.

    After Tumanyan et al. 2022 (Splicing ViT Features, section 3.1), with the local features
    of the extractor: those of a middle layer, or the keys of a vision transformer.
    """
    inputs = context.structure("inputs").astype(np.float64)
    outputs = context.structure("all_outputs").astype(np.float64)
    outputs = outputs.reshape(len(inputs), -1, outputs.shape[-1])
    values = ((outputs - inputs[:, None]) ** 2).mean(-1)
    yield context.measurement(
        context.name,
        bootstrap_mean(values.mean(1), within=NOT_NEGATIVE),
        n=len(values),
        per_sample=context.per_sample(values),
    )


def nearest(x: Floats, y: Floats) -> Floats:
    """Distance from each row of ``(n, d)`` to the nearest row of ``(m, d)``."""
    g = grams(x, y)
    squared = distances(g.xy, np.diagonal(g.xx), np.diagonal(g.yy))
    closest: Floats = np.sqrt(squared.min(1))
    return closest


def content_rank(context: MetricContext) -> Iterator[Measurement]:
    """``content_rank``: how surely an output tells its input from the others; ``mispaired``.

    Distances are those of ``structure_distance``, freed of what all inputs, and all outputs,
    have in common. The rank is the share of the other inputs that are farther from an output
    than its own: 1 when it is the nearest, 0.5 by chance. ``mispaired`` is the share of outputs
    that have another input as their nearest whose nearest output they are.
    """
    context.need("inputs", _FEWEST)
    inputs, outputs = (context.structure(w).astype(np.float64) for w in ("inputs", "outputs"))
    g = grams(outputs - outputs.mean(0), inputs - inputs.mean(0))
    squared = distances(g.xy, np.diagonal(g.xx), np.diagonal(g.yy))
    digests = np.array([picture.digest for picture in context.pictures("inputs")])
    other = digests[:, None] != digests[None]
    own = np.diagonal(squared)[:, None]
    farther = ((squared > own) + 0.5 * (squared == own)) * other
    ranks = farther.sum(1) / np.maximum(other.sum(1), 1)
    yield context.measurement(
        "content_rank",
        bootstrap_mean(ranks, within=SHARE),
        n=len(ranks),
        per_sample=[(key, 0, float(rank)) for key, rank in zip(context.ids, ranks, strict=True)],
    )
    nearest_input, nearest_output = squared.argmin(1), squared.argmin(0)
    places = np.arange(len(ranks))
    elsewhere = (nearest_output[nearest_input] == places) & other[places, nearest_input]
    share = wilson(int(elsewhere.sum()), len(ranks))
    yield context.measurement("mispaired", share, n=len(ranks))
    if share.low is not None and share.low > MISPAIRED:
        context.note(
            f"outputs seem to belong to other inputs ({context.direction.name}): "
            f"{_assignment(context.ids, squared)}"
        )


def _assignment(ids: Sequence[str], squared: Floats) -> str:
    """Return in words which input each output most likely belongs to."""
    inputs = optimize.linear_sum_assignment(squared)[1]
    count = len(ids)
    places = np.arange(count)
    by_number = sorted(range(count), key=lambda i: [int(n) for n in re.findall(r"\d+", ids[i])])
    guesses = {
        "in reverse order": places[::-1],
        "numbers sorted as text": np.argsort(by_number),
        "text sorted as numbers": np.array(by_number),
    } | {f"shifted by {shift}": np.roll(places, shift) for shift in range(1, count)}
    for words, guess in guesses.items():
        if (inputs == guess).mean() > 0.5:
            return f"they are as if {words}"
    moved = [(ids[i], ids[inputs[i]]) for i in range(count) if inputs[i] != i]
    return "; ".join(f"that of {a} looks like {b}" for a, b in moved[:3]) + "; and so on"


def memorised(context: MetricContext) -> Iterator[Measurement]:
    """``memorised``: share of outputs closer to a training image than real test images are."""
    context.need("reference_train", 2)
    trained = context.digests("reference_train")
    fresh = [p for p in context.pictures("reference") if p.digest not in trained]
    if len(fresh) < 2:
        raise NotMeasurable("memorised needs two test images that are no training images")
    train = context.features("reference_train").astype(np.float64)
    real = nearest(context.features(fresh).astype(np.float64), train)
    found = nearest(context.features("outputs").astype(np.float64), train)
    close = found < float(np.quantile(real, CLOSE))
    yield context.measurement("memorised", wilson(int(close.sum()), len(close)), n=len(close))


def duplicates(context: MetricContext) -> Iterator[Measurement]:
    """``duplicates``: share of inputs whose output has the same pixels as another input's.

    Inputs that are themselves the same picture are expected to share their output.
    """
    outputs = dict(zip(context.ids, context.pictures("outputs"), strict=True))
    # One representative for each different input picture.
    unique = {data.digest: key for key, data in context.inputs.items()}
    counts = Counter(outputs[key].digest for key in unique.values())
    same = sum(counts[outputs[key].digest] > 1 for key in unique.values())
    yield context.measurement("duplicates", wilson(same, len(unique)), n=len(unique))


def distinct(context: MetricContext) -> Iterator[Measurement]:
    """``distinct``: how many different pictures the samples of an input are, to the pixel."""
    counts = [
        float(len({picture.digest for picture in samples})) for samples in context.outputs.values()
    ]
    within = (1.0, float(context.samples))
    yield context.measurement("distinct", bootstrap_mean(counts, within=within), n=len(counts))


def spread(context: MetricContext) -> Iterator[Measurement]:
    """``spread``: variance of the outputs' features over that of real images; 0 is collapse."""
    g = grams_of(context, "outputs", "reference", at_least=3)

    def variance(gram: Floats) -> float:
        return float(np.trace(gram) - gram.sum() / len(gram)) / (len(gram) - 1)

    yield context.measurement("spread", variance(g.xx) / variance(g.yy), n=len(g.xx))
