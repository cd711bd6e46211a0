"""Diversity and content by perceptual distance (LPIPS): between samples, and to the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.api import Measurement, MetricContext
from bench.stats import NOT_NEGATIVE, Floats, bootstrap_mean

MUNIT_INPUTS, MUNIT_PAIRS = 100, 19
"""MUNIT's protocol: 100 inputs, 19 independent pairs of samples each."""


@dataclass(frozen=True)
class DistanceTable:
    """Perceptual distances around one input.

    Parameters
    ----------
    samples
        Between its samples, ``(k, k)``.
    to_input
        From each sample to the input, ``(k,)``.
    to_truths
        From each sample to each true translation, ``(k, T)``; T may be 0.
    truths
        Between the true translations, ``(T, T)``.
    """

    samples: Floats
    to_input: Floats
    to_truths: Floats
    truths: Floats


def tables_of(context: MetricContext) -> dict[str, DistanceTable]:
    """Return the distances around each input; each picture passes the network once."""

    def make() -> dict[str, DistanceTable]:
        found = {}
        for key in context.progress(context.ids, f"distances ({context.extractor})"):
            samples = context.outputs[key]
            matrix = context.distances(
                [*samples, context.inputs[key], *context.truths.get(key, ())]
            )
            k = len(samples)
            found[key] = DistanceTable(
                matrix[:k, :k], matrix[:k, k], matrix[:k, k + 1 :], matrix[k + 1 :, k + 1 :]
            )
        return found

    return context.once("distances", make)


def all_pairs(distances: Floats) -> float:
    """Mean over all pairs of different samples of one input, from ``(k, k)``."""
    k = len(distances)
    return float(distances[np.triu_indices(k, 1)].mean())


def independent_pairs(distances: Floats, pairs: int = MUNIT_PAIRS) -> Floats:
    """Distances of disjoint pairs: samples 0 and 1, 2 and 3, …, at most `pairs` of them."""
    k = min(len(distances) // 2, pairs)
    return np.asarray(distances[np.arange(0, 2 * k, 2), np.arange(1, 2 * k, 2)])


def diversity(context: MetricContext) -> Iterator[Measurement]:
    """``lpips_diversity``: all pairs of samples of one input, averaged over inputs.

    Under the metric's own name: other networks give the same by another scale.
    """
    values = {key: all_pairs(table.samples) for key, table in tables_of(context).items()}
    yield context.measurement(
        context.name,
        bootstrap_mean(list(values.values()), within=NOT_NEGATIVE),
        n=len(values),
        per_sample=[(key, 0, value) for key, value in values.items()],
    )


def diversity_munit(context: MetricContext) -> Iterator[Measurement]:
    """``lpips_diversity_munit``: independent pairs, as MUNIT reports it."""
    chosen = list(tables_of(context).items())
    if len(chosen) > MUNIT_INPUTS:
        picked = np.random.default_rng(0).permutation(len(chosen))[:MUNIT_INPUTS]
        chosen = [chosen[index] for index in np.sort(picked)]
    pairs = [independent_pairs(table.samples) for _, table in chosen]
    yield context.measurement(
        "lpips_diversity_munit",
        bootstrap_mean([float(values.mean()) for values in pairs], within=NOT_NEGATIVE),
        n=sum(map(len, pairs)),
    )


def to_input(context: MetricContext) -> Iterator[Measurement]:
    """``lpips_input``: how far outputs are from their input, in perceptual distance.

    Under the metric's own name: DreamSim's is another scale.
    """
    rows = [table.to_input for table in tables_of(context).values()]
    yield context.measurement(
        context.name,
        bootstrap_mean([float(row.mean()) for row in rows], within=NOT_NEGATIVE),
        n=len(rows),
        per_sample=context.per_sample(rows),
    )
