"""The summary and the measurements as tables: CSV, Markdown, LaTeX, Parquet."""

from __future__ import annotations

from bench.api import ReportSpec, hookimpl

SPEC = ReportSpec(
    name="tables",
    summary="The summary as CSV, Markdown, LaTeX (booktabs) and Parquet; all measurements as CSV.",
    implementation="bench_tables.render:render",
)


@hookimpl
def bench_reports() -> tuple[ReportSpec, ...]:
    """The tables."""
    return (SPEC,)
