"""What a recipe brings, as a document: ``python -m suites.recipes RUN`` writes docs/recipes.md.

As in :mod:`suites.study`, :func:`facts` reads what a run measured, into docs/recipes.json, and
:func:`document` puts it into words; no text here holds a digit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.analysis.columns import columns
from bench.analysis.results import Results
from bench.analysis.text import format_interval, format_number, format_p
from bench.analysis.validity import open_run
from bench.api import RunView
from bench.storage.files import write_atomic, write_json
from bench.storage.tables import core_hours
from suites.page import DOCS, Facts, Row, comparisons, plain, signed, table, title, winner


def facts(run: RunView) -> dict[str, Any]:
    """Return what the document says, as plain values for JSON.

    Parameters
    ----------
    run
        Of several trainings that were scored on the way, each with several seeds.
    """
    points = run.curves[run.curves["subset"] == "all"]
    if asked := run.suite.get("metrics"):  # and not all that they measure besides
        points = points[points["metric"].isin(asked)]
    points = points.assign(hours=core_hours(points))
    known = {c.metric: c for c in reversed(columns(run)) if c.higher_is_better is not None}
    groups = points.groupby(["direction", "label", "metric", "iteration"], sort=False)
    labels = list(dict.fromkeys(points["label"]))
    return {
        "commit": run.environment.get("commit", ""),
        "hardware": run.environment.get("hardware", {}).get("cpu", ""),
        "settings": {
            str(entry.get("label") or entry["name"]): {
                "precision": entry.get("precision") or run.suite["precision"],
                "budget": entry["budget"],
            }
            | entry["config"]
            for entry in run.suite["methods"]
            if entry.get("budget")
        },
        "seeds": len(run.suite["seeds"]),
        "columns": {
            name: {"title": c.title, "unit": c.unit, "extractor": c.extractor}
            | {"better": c.higher_is_better, "kind": c.kind}
            for name, c in known.items()
            if name in set(points["metric"])
        },
        "points": [
            {"direction": direction, "label": label, "metric": metric, "iterations": iterations}
            | {"hours": plain(part["hours"].mean())}
            | {"values": [plain(value) for value in part["value"]]}
            for (direction, label, metric, iterations), part in groups
        ],
        "comparisons": [
            row
            for row in comparisons(run.comparisons)
            if row["metric"] in known and {row["label_a"], row["label_b"]} <= set(labels)
        ],
    }


def document(told: Facts) -> str:
    """Return the page in Markdown."""
    return "\n".join(
        [
            "# How long is long enough\n\n"
            "`make recipes` makes this page: it runs `suites/recipes.toml`, which trains MUNIT "
            "with two recipes for about the same time of one core, with the newer one at half "
            "precision, too, several times each, scores the trainings on the way, and prints "
            "what was measured. No number here is typed; docs/recipes.json has all of them. "
            f"Made by commit `{told['commit'] or 'unknown'}` on {told['hardware'] or 'a CPU'}.\n",
            *_settings(told),
            *_curves(told),
            *_differences(told),
        ]
    )


def _settings(told: Facts) -> Iterator[str]:
    yield "## The recipes\n"
    yield (
        "Each against the `quick` preset. All have its narrow networks, one halving, and "
        "generators that start alike.\n"
    )
    yield table(
        ["recipe", "settings"],
        (
            [f"`{label}`", ", ".join(f"`{key}={value}`" for key, value in values.items())]
            for label, values in told["settings"].items()
        ),
    )


def _curves(told: Facts) -> Iterator[str]:
    yield "## Scores on the way\n"
    yield (
        f"Means of {told['seeds']} training seeds, lowest and highest in brackets; core-hours are "
        "those of the training alone. A processor without instructions for half precision takes "
        "longer over it than over full.\n"
    )
    for direction in dict.fromkeys(point["direction"] for point in told["points"]):
        yield f"### {direction}\n"
        for metric in _drawn(told, direction):
            name = told["columns"][metric]["title"]
            yield f"![{name} over core-hours](images/{_picture(direction, metric)})\n"
        there = [point for point in told["points"] if point["direction"] == direction]
        places = dict.fromkeys((p["label"], p["iterations"]) for p in there)
        found = {(p["label"], p["iterations"], p["metric"]): p for p in there}
        metrics = [name for name in told["columns"] if any(p["metric"] == name for p in there)]
        rows = []
        for label, iterations in sorted(places, key=lambda place: (_order(told, place[0]), place)):
            mine = [found.get((label, iterations, metric)) for metric in metrics]
            hours = next(point["hours"] for point in mine if point)
            rows.append(
                [f"`{label}`", f"{iterations:,}", format_number(hours), *map(_spread, mine)]
            )
        titles = [title(told["columns"][name]) for name in metrics]
        yield table(["recipe", "iterations", "core-hours", *titles], rows)


def _drawn(told: Facts, direction: str) -> list[str]:
    """The metrics that have a picture, of those that were measured."""
    measured = {point["metric"] for point in told["points"] if point["direction"] == direction}
    return [metric for metric in ("kid", "season_error") if metric in measured]


def _picture(direction: str, metric: str) -> str:
    return f"recipes-{direction}-{metric}.svg"


def _order(told: Facts, label: str) -> int:
    return list(told["settings"]).index(label)


def _spread(point: Row | None) -> str:
    """The mean over the seeds, and their ends."""
    values = [value for value in (point or {}).get("values", ()) if value is not None]
    if not values:
        return ""
    mean = sum(values) / len(values)
    return f"{format_number(mean)} {format_interval(mean, min(values), max(values))}"


def _differences(told: Facts) -> Iterator[str]:
    yield "## Which is better at the end\n"
    yield (
        "The paired comparison of the run over inputs and training seeds, with p of a sign-swap "
        "test, adjusted by Holm.\n"
    )
    pairs: dict[tuple[str, str], list[list[str]]] = {}
    for row in told["comparisons"]:
        column = told["columns"].get(row["metric"])
        if column is None:
            continue
        names = f"`{row['label_a']}`", f"`{row['label_b']}`"
        ends = row["difference"], row["low"], row["high"]
        pairs.setdefault(names, []).append(
            [
                row["direction"],
                title(column),
                signed(row["difference"]),
                format_interval(*ends),
                format_p(float("nan") if row["p_adjusted"] is None else row["p_adjusted"]),
                winner(ends, column["better"], names),
            ]
        )
    for names, rows in pairs.items():
        yield f"### {' − '.join(names)}\n"
        yield table(["direction", "metric", "difference", "interval", "p", "better"], rows)


def main(run: Path, docs: Path = DOCS) -> None:
    """Write docs/recipes.json, the curves and docs/recipes.md."""
    view = open_run(run)
    told = facts(view)
    write_json(docs / "recipes.json", told)
    results = Results.of(view)
    for direction in dict.fromkeys(point["direction"] for point in told["points"]):
        for metric in _drawn(told, direction):
            figure = results.plot_curves(metric, over="hours", direction=direction)
            figure.save(docs / "images" / _picture(direction, metric))
    write_atomic(docs / "recipes.md", document(json.loads(json.dumps(told))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
