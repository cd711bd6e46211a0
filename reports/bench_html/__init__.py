"""One offline page per run: headline, summary, plots, pictures, curves, speed, provenance."""

from __future__ import annotations

from bench.api import ReportSpec, hookimpl
from bench_html.config import GridConfig

SPECS = (
    ReportSpec(
        name="html",
        summary="One page that needs no network: summary, plots, gallery, curves, speed.",
        implementation="bench_html.render:render",
        comparison="bench_html.compare:render_comparison",
    ),
    ReportSpec(
        name="figures",
        summary="The page's figures as SVG, PNG and PDF, for papers.",
        implementation="bench_html.export:render_figures",
        default=False,
    ),
    ReportSpec(
        name="grid",
        summary="Inputs by methods as one picture, PDF and PNG, for papers.",
        implementation="bench_html.grid:render_grid",
        default=False,
        config=GridConfig,
    ),
    ReportSpec(
        name="zip",
        summary="Page, tables and figures in one file, for sharing.",
        implementation="bench_html.export:render_zip",
        default=False,
    ),
)


@hookimpl
def bench_reports() -> tuple[ReportSpec, ...]:
    """The page, its figures, and both in one file."""
    return SPECS
