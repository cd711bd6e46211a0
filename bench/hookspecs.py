"""The hooks a plugin may implement; each returns the specs it offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bench.api import (
        DatasetSpec,
        ExtractorSpec,
        LauncherSpec,
        MethodSpec,
        MetricSpec,
        ModelSpec,
        ReportSpec,
    )

hookspec = pluggy.HookspecMarker("bench")


@hookspec
def bench_methods() -> Sequence[MethodSpec]:  # type: ignore[empty-body]
    """The translation methods a plugin offers."""


@hookspec
def bench_datasets() -> Sequence[DatasetSpec]:  # type: ignore[empty-body]
    """The datasets a plugin offers."""


@hookspec
def bench_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """The trained models a plugin brings."""


@hookspec
def bench_metrics() -> Sequence[MetricSpec]:  # type: ignore[empty-body]
    """The metrics a plugin offers."""


@hookspec
def bench_extractors() -> Sequence[ExtractorSpec]:  # type: ignore[empty-body]
    """The networks behind metrics that a plugin offers."""


@hookspec
def bench_reports() -> Sequence[ReportSpec]:  # type: ignore[empty-body]
    """The reports a plugin offers."""


@hookspec
def bench_launchers() -> Sequence[LauncherSpec]:  # type: ignore[empty-body]
    """The launchers a plugin offers."""
