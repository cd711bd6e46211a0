"""The built-in metrics and networks, registered as any plugin's."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import ExtractorSpec, MetricSpec, hookimpl
from bench.metrics.declared import collapse, extractors, features, perceptual, season, truth

# In the order in which they are measured. It says which pictures pass a network together, and so
# decides the last digits of their features.
METRICS: tuple[MetricSpec, ...] = (
    *features.METRICS,
    *perceptual.METRICS,
    *season.METRICS,
    *collapse.METRICS,
    *truth.METRICS,
)


@hookimpl
def bench_metrics() -> Sequence[MetricSpec]:
    """Return the built-in metrics."""
    return METRICS


@hookimpl
def bench_extractors() -> Sequence[ExtractorSpec]:
    """Return the built-in networks."""
    return extractors.EXTRACTORS
