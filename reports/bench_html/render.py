"""Renders a run as one page that needs nothing but itself and its thumbnails.

The page carries its style, scripts and data. A content security policy allows exactly the
page's own scripts (by hash) and pictures beside it, and no connection at all, so that no
name in a run can become code and nothing can be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup

from bench.analysis.columns import columns, leading
from bench.analysis.plots.chart import PALETTE, theme
from bench.analysis.summary import summary
from bench.analysis.tables import csv_table, latex_table, markdown_table
from bench.analysis.text import format_number
from bench.storage.files import write_atomic
from bench_html import figures, findings, gallery
from bench_html.context import page_context
from bench_html.thumbs import make_sheet

if TYPE_CHECKING:
    from bench.analysis.columns import TableColumn
    from bench.api import Config, RunView
    from bench_html.figures import Figure
    from bench_html.findings import Finding

_HERE = Path(__file__).parent


def render(run: RunView, out: Path, config: Config | None = None) -> Path:
    """Write ``index.html`` and its thumbnails into `out`.

    Parameters
    ----------
    run
        The run; its pictures are read from ``run.path``.
    out
        The report's folder, usually ``<run>/report``; made when it is not there.
    config
        It has no options.

    Returns
    -------
    pathlib.Path
        The page.
    """
    out.mkdir(parents=True, exist_ok=True)
    table, known = summary(run), columns(run)
    anchors = dict(zip(table["label"].astype(str), table["anchor"].astype(bool), strict=True))
    built = gallery.build(run, out, anchors)
    found = findings.find(run, built)
    drawn = figures.build(run, table)
    twice = {name: _twice(run, name, out) for name in dict.fromkeys(table["dataset"])}
    context = page_context(run, table, known, drawn, built.description, found, twice)
    data = _script_data(table, known, drawn, built.description, found)
    scripts = {"vega": vega_script(), "page": (_HERE / "page.js").read_text("utf-8")}
    html = (
        environment()
        .get_template("page.html.j2")
        .render(
            **context,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            data=json_script(data),
            style=Markup((_HERE / "page.css").read_text("utf-8")),  # noqa: S704 - our own file
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704 - ours
            policy=_policy(list(scripts.values())),
        )
    )
    write_atomic(out / "index.html", html)
    return out / "index.html"


def _script_data(
    table: pd.DataFrame,
    known: Sequence[TableColumn],
    drawn: Sequence[Figure],
    pictures: Mapping[str, Any],
    found: Sequence[Finding],
) -> dict[str, Any]:
    """Return what the page's script works with."""
    headline = [column for column in known if column.headline]
    diversity = leading(known, "diversity")
    shown = ("id", "spec", "click", "dataset", "direction")
    texts = {
        "csv": csv_table(table),
        "md": markdown_table(table, headline),
        "tex": latex_table(table, headline),
    }
    return {
        "gallery": pictures,
        "datasets": [str(name) for name in dict.fromkeys(table["dataset"])],
        "drawn": [{name: getattr(figure, name) for name in shown} for figure in drawn],
        "labels": [str(label) for label in dict.fromkeys(table["label"])],
        "findings": [finding.shots for finding in found],
        "palette": PALETTE,
        "metricTitle": {column.metric: column.title for column in known if column.plain},
        "metricBetter": {column.metric: column.higher_is_better for column in known},
        "diversity": diversity.metric if diversity is not None else "",
        "themes": {"light": theme(dark=False), "dark": theme(dark=True)},
        "copy": {
            name: {"head": text.head, "rows": text.rows, "foot": text.foot}
            for name, text in texts.items()
        },
    }


def _twice(run: RunView, dataset: str, out: Path) -> tuple[list[dict[str, str]], str]:
    """Return the pairs of pictures that are in a dataset twice, and the name of their sheet."""
    pairs, sheet = findings.near_pairs(run, dataset)
    return pairs, make_sheet(sheet, out / "thumbs") if sheet is not None else ""


def json_script(value: Any) -> Markup:
    """Return JSON that may stand inside a script element: without ``<``, ``>`` and ``&``."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


@cache
def vega_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, from the installed converter."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # In a function of its own: its thousands of short names stay out of the page's.
    return "(()=>{" + bundle.replace("</script", "<\\/script") + "\n})();"


def _policy(scripts: list[str]) -> str:
    """Return the content security policy, with the hash of each script the page may run."""
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {allowed} 'unsafe-eval'",  # Vega compiles its expressions
            "style-src 'unsafe-inline'",
            "img-src 'self' file: data:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _finite(value: Any) -> Any:
    """Return the value with numbers that JSON does not know replaced by null."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def environment() -> jinja2.Environment:
    """Return Jinja with autoescape on and nothing undefined."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = format_number
    return made
