"""Diversity and content by perceptual distance (LPIPS): between samples, and to the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bench.api import Measurement
from bench.stats import Floats, bootstrap_mean

if TYPE_CHECKING:
    from bench.metrics.scoring import Scoring

MUNIT_INPUTS, MUNIT_PAIRS = 100, 19
"""MUNIT's protocol: 100 inputs, 19 independent pairs of samples each."""


def squared_distances(embedded: Floats) -> Floats:
    """Pairwise squared Euclidean distances ``(k, k)`` of the rows of ``(k, F)``.

    By inner products of rows that are centred first, so that close rows keep their digits;
    the diagonal is exactly 0.
    """
    centred = embedded - embedded.mean(0, keepdims=True)
    products = (centred @ centred.T).astype(np.float64)
    norms = np.diagonal(products)
    distances: Floats = np.maximum(norms[:, None] + norms[None, :] - 2.0 * products, 0.0)
    distances = (distances + distances.T) / 2.0
    np.fill_diagonal(distances, 0.0)
    return distances


def all_pairs(distances: Floats) -> float:
    """Mean over all pairs of different samples of one input, from ``(k, k)``."""
    k = len(distances)
    return float(distances[np.triu_indices(k, 1)].mean())


def independent_pairs(distances: Floats, pairs: int = MUNIT_PAIRS) -> Floats:
    """Distances of disjoint pairs: samples 0 and 1, 2 and 3, …, at most `pairs` of them."""
    k = min(len(distances) // 2, pairs)
    return np.asarray(distances[np.arange(0, 2 * k, 2), np.arange(1, 2 * k, 2)])


def diversity(scoring: Scoring) -> Iterator[Measurement]:
    """``lpips_diversity``: all pairs of samples of one input, averaged over inputs."""
    tables = scoring.distances()
    values = [all_pairs(table.samples) for table in tables.values()]
    yield scoring.measurement("lpips_diversity", bootstrap_mean(values), n=len(values))


def diversity_munit(scoring: Scoring) -> Iterator[Measurement]:
    """``lpips_diversity_munit``: independent pairs, as MUNIT reports it."""
    chosen = list(scoring.distances().items())
    if len(chosen) > MUNIT_INPUTS:
        picked = np.random.default_rng(0).permutation(len(chosen))[:MUNIT_INPUTS]
        chosen = [chosen[index] for index in np.sort(picked)]
    pairs = [independent_pairs(table.samples) for _, table in chosen]
    yield scoring.measurement(
        "lpips_diversity_munit",
        bootstrap_mean([float(values.mean()) for values in pairs]),
        n=sum(map(len, pairs)),
    )


def diversity_v00(scoring: Scoring) -> Iterator[Measurement]:
    """``lpips_diversity_v00``: all pairs, by the first release of LPIPS."""
    tables = scoring.distances(version="0.0")
    values = [all_pairs(table.samples) for table in tables.values()]
    yield scoring.measurement(
        "lpips_diversity_v00",
        bootstrap_mean(values),
        n=len(values),
        extractor=scoring.name_of("0.0"),
    )


def diversity_named(scoring: Scoring) -> Iterator[Measurement]:
    """All pairs, under the metric's own name: for other trunks."""
    values = [all_pairs(table.samples) for table in scoring.distances().values()]
    yield scoring.measurement(scoring.spec.name, bootstrap_mean(values), n=len(values))


def to_input(scoring: Scoring) -> Iterator[Measurement]:
    """``lpips_input``: how far outputs are from their input, in perceptual distance."""
    rows = [table.to_input for table in scoring.distances().values()]
    yield scoring.measurement(
        "lpips_input",
        bootstrap_mean([float(row.mean()) for row in rows]),
        n=len(rows),
        per_sample=scoring.per_sample(rows),
    )
