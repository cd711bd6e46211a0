"""What a number means, in a few lines, from what its metric declares."""

from __future__ import annotations

from collections.abc import Iterable

from bench.api import SPEED_COLUMNS, BenchError, Column, MetricSpec, find_column
from bench.plugins import Registry, unknown

_BETTER = {True: "higher is better", False: "lower is better", None: "no better side"}


def explain(name: str, registry: Registry) -> str:
    """Return what a measurement means; one that stands beside a metric is explained with it.

    Raises
    ------
    BenchError
        When no metric declares a measurement of that name.
    """
    spec = registry.metrics.get(name) or _giver(name, registry.metrics.values())
    if spec is None:
        column = find_column(SPEED_COLUMNS, name)
        if column is None:
            raise BenchError(unknown("metric", name, registry.metrics))
        return _line(name, column, column.meaning)
    own = find_column(spec.columns, spec.name) or spec.columns[0]
    lines = [_line(spec.name, own, spec.summary)]
    column = find_column(spec.columns, name)
    if column is not None and name != spec.name:
        lines.append(_line(name, column, column.meaning))
    lines += [spec.explanation, f"Source: {spec.source or 'defined here'}"]
    if spec.extractors:
        lines.append(f"Network: {' or '.join(spec.extractors)}")
    return "\n".join(lines)


def _giver(name: str, metrics: Iterable[MetricSpec]) -> MetricSpec | None:
    """Return the metric that gives a measurement; one that names it rather than a pattern."""
    givers = [spec for spec in metrics if find_column(spec.columns, name)]
    return next(
        (spec for spec in givers if any(column.name == name for column in spec.columns)),
        next(iter(givers), None),
    )


def _line(name: str, column: Column, meaning: str) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    told = f": {meaning}" if meaning else ""
    return f"{name}{unit}{told}; {_BETTER[column.higher_is_better]}"
