"""A comparison of two runs as a page of its own: what is worse, better, changed, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from bench.analysis.text import clean_text, format_interval, format_number, format_p
from bench.storage.files import write_atomic
from bench_html.render import environment

if TYPE_CHECKING:
    from bench.analysis.compare import RunComparison
    from bench.api import Config

_PARTS = (
    ("Worse", "Differences against B that chance does not explain.", ("worse", "missing")),
    ("Better", "Differences in favour of B that chance does not explain.", ("better",)),
    (
        "Otherwise different",
        "Changed where no one says which is better, new, or not testable.",
        ("changed", "untested", "new"),
    ),
    ("Without a difference", "Equal, or not told apart.", ("same",)),
)


def render_comparison(comparison: RunComparison, out: Path, config: Config | None = None) -> Path:
    """Write ``compare.html`` into `out`, and return its path."""
    out.mkdir(parents=True, exist_ok=True)
    frame = comparison.differences
    parts = [
        (title, note, [_row(row) for row in frame[frame["verdict"].isin(which)].to_dict("records")])
        for title, note, which in _PARTS
    ]
    html = (
        environment()
        .get_template("compare.html.j2")
        .render(
            names=[clean_text(name) for name in comparison.names],
            headline=_headline(frame),
            several=frame["dataset"].nunique() > 1,
            parts=parts,
            settings=comparison.settings.to_dict("records"),
            style=Markup((Path(__file__).parent / "page.css").read_text("utf-8")),  # noqa: S704
        )
    )
    write_atomic(out / "compare.html", html)
    return out / "compare.html"


def _headline(frame: pd.DataFrame) -> str:
    counts = frame["verdict"].value_counts()
    worse = int(counts.get("worse", 0)) + int(counts.get("missing", 0))
    better = int(counts.get("better", 0))
    if worse and better:
        return f"{worse} worse, {better} better"
    if worse or better:
        return f"{worse} worse" if worse else f"{better} better"
    same = int(counts.get("same", 0)) == len(frame)
    return "No difference" if same else "Different, neither better nor worse"


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    difference, low, high = row["difference"], row["low"], row["high"]
    return {
        "label": row["label"],
        "dataset": row["dataset"],
        "direction": row["direction"],
        "metric": row["metric"],
        "a": format_number(row["a"]),
        "b": format_number(row["b"]),
        "difference": format_number(difference),
        "interval": format_interval(difference, low, high),
        "p": format_p(row["p"]),
        "test": "" if row["test"] == "none" else row["test"],
        "n": int(row["n"]),
        "verdict": row["verdict"],
    }
