"""What all figures share: palette, shapes, light and dark theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

PALETTE = (
    "#3f78b5",
    "#cb6d2e",
    "#3d8f6b",
    "#9a63b0",
    "#c0526a",
    "#2f93a6",
    "#93802f",
    "#6d7bc9",
    "#a8673f",
    "#6f8a3a",
)
"""Mid tones that keep a contrast of 3:1 or more on both backgrounds."""

SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")
GRAY = "#858b93"


def theme(*, dark: bool) -> dict[str, Any]:
    """Vega-Lite configuration for a light or a dark page."""
    ink, muted, rule = (
        ("#e8e6e1", "#a3a9b1", "#30363d") if dark else ("#22262b", "#5c636b", "#e3e0d8")
    )
    font = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
    return {
        "background": "transparent",
        "font": font,
        "axis": {
            "labelColor": muted,
            "titleColor": muted,
            "titleFontWeight": 500,
            "titleFontSize": 12,
            "labelFontSize": 11,
            "gridColor": rule,
            "domainColor": muted,
            "tickColor": rule,
            "domain": False,
            "titlePadding": 8,
        },
        "legend": {
            "labelColor": ink,
            "titleColor": muted,
            "labelFontSize": 12,
            "symbolSize": 120,
            "symbolOpacity": 1,
            "symbolStrokeWidth": 3,
        },
        "view": {"stroke": None},
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": muted},
        "header": {"labelColor": ink, "titleColor": muted},
    }


def colour_of(labels: Sequence[str]) -> Any:
    """The colour channel: one fixed colour for each label, no legend."""
    domain = list(labels)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(domain))]
    return alt.Color("label:N", scale=alt.Scale(domain=domain, range=colours), legend=None)


def shape_of(labels: Sequence[str]) -> Any:
    """The shape channel: repeats what colour says."""
    domain = list(labels)
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(domain))]
    return alt.Shape("label:N", scale=alt.Scale(domain=domain, range=shapes), legend=None)


def log_axis(values: Any, *, grid: bool = False) -> Any:
    """An axis over powers of ten, with 3 between where there are few; ``10k``, never ``1e4``."""
    low, high = (math.log10(float(v)) for v in (min(values), max(values)))
    powers = range(math.floor(low), math.ceil(high) + 1)
    step = max(1, len(powers) // 5)
    ticks = [10.0**p for p in powers[::step]]
    if len(powers) < 4:
        ticks = sorted([*ticks, *(3 * tick for tick in ticks)])
    # SI prefixes upwards only: a tenth is not 100m.
    text = "datum.value >= 1000 ? format(datum.value, '~s') : format(datum.value, '~g')"
    return alt.Axis(values=ticks, labelExpr=text, grid=grid, labelOverlap=True)


def to_spec(chart: Any, height: int) -> dict[str, Any]:
    """The chart as a dictionary that fills the width it is given."""
    chart = chart.properties(width="container", height=height)
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("config", None)
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec
