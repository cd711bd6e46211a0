"""The study as a document: ``python -m suites.study RUN`` writes docs/results.md.

It works in two steps. :func:`facts` reads what a run measured, into docs/results.json;
:func:`document` puts it into words and tables. No text here holds a digit: every number comes from
the run, or from what others published (suites/published.toml).
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from bench.analysis.columns import columns
from bench.analysis.summary import summary
from bench.analysis.text import format_interval, format_number, format_p, join_names
from bench.analysis.validity import open_run
from bench.api import Interval, RunView
from bench.plugins import Registry, load_plugins
from bench.stats import difference
from bench.storage.files import folder_name, write_atomic, write_json
from bench.storage.models import open_model
from bench_html.config import GridConfig
from bench_html.grid import render_grid
from suites.page import DOCS, Facts, Row, cell, comparisons, plain, signed, table, title, winner

HERE = Path(__file__).parent
PUBLISHED = HERE / "published.toml"

_SPEED = ("throughput", "resource")
"""Kinds that another day's machine measures otherwise: they are on the page of the run."""


# ---------------------------------------------------------------------------- facts


def facts(run: RunView, registry: Registry) -> dict[str, Any]:
    """Return what the document says, as plain values for JSON.

    Parameters
    ----------
    registry
        Has the cards of the models that the run loaded.
    """
    frame = summary(run)
    known = [column for column in columns(run) if column.kind not in _SPEED]
    shown = ("name", "metric", "title", "kind", "unit", "extractor", "subset", "headline")
    loaded = [entry for entry in run.suite["methods"] if entry.get("model")]
    titles = [f"{entry['name']}@{entry['model']}" for entry in loaded]
    cards = [open_model(registry.model(title)).card for title in titles]
    samples = run.samples.groupby(["dataset", "label"])["sample"].nunique()
    inputs = run.samples.groupby(["dataset", "direction"], sort=False)["input_id"].nunique()
    return {
        "commit": run.environment.get("commit", ""),
        "hardware": run.environment.get("hardware", {}).get("cpu", ""),
        "models": [
            {
                "title": card.title,
                "trained": card.summary,
                "seed": card.training.seed,
                "digest": card.sha256,
                "license": card.license,
                "bad": list(card.bad_at),
                "curve": [
                    {"dataset": point.dataset, "direction": point.direction}
                    | {"metric": point.metric, "iterations": point.iteration}
                    | {"hours": plain(point.core_hours), "value": plain(point.value)}
                    for point in card.curve
                    if point.subset == "all"
                ],
            }
            for card in cards
        ],
        "columns": [
            {name: getattr(column, name) for name in shown} | {"better": column.higher_is_better}
            for column in known
        ],
        "rows": [
            {name: str(row[name]) for name in ("dataset", "direction", "label", "role")}
            | {"anchor": bool(row["anchor"]), "seeds": int(row["seeds"])}
            | {"several": bool(samples.get((row["dataset"], row["label"]), 0) > 1)}
            | {"values": {c.name: _values(row, c.name) for c in known if not pd.isna(row[c.name])}}
            for row in frame.to_dict("records")
            if row["direction"]
        ],
        "comparisons": comparisons(run.comparisons),
        "leaked": [
            {"dataset": dataset, "direction": direction, "inputs": int(count)}
            | {"twins": _twins(run, dataset, direction)}
            for (dataset, direction), count in zip(inputs.index.to_list(), inputs, strict=True)
        ],
    }


def _values(row: Mapping[Any, Any], name: str) -> list[float | None]:
    """A number and the ends of its interval."""
    return [plain(row[f"{name}{end}"]) for end in ("", "_low", "_high")]


def _twins(run: RunView, dataset: str, direction: str) -> int:
    """How many test inputs are training pictures."""
    audit = run.path / "audit" / folder_name(dataset) / f"{direction}.json"
    return len(json.loads(audit.read_bytes())) if audit.is_file() else 0


# ------------------------------------------------------------------------- document


def document(told: Facts, published: Facts) -> str:
    """Return the page in Markdown."""
    parts = [
        "# Results\n\n"
        "`make study` makes this page from the trained models that come with the suite: it runs "
        "`suites/study.toml` and prints what was measured. No number here is "
        "typed; docs/results.json has all of them, the page of the run also those of speed. "
        f"Made by commit `{told['commit'] or 'unknown'}` on {told['hardware'] or 'one machine'}.\n",
        *_models(told),
        *_curves(told),
        *_pictures(told),
        *_numbers(told),
        *_directions(told),
        *_styles(told),
        *_one_answer(told),
        *_leaks(told),
        *_others(told, published),
    ]
    return "\n".join(parts)


def _models(told: Facts) -> Iterator[str]:
    yield "## The models\n"
    yield table(
        ["model", "training", "seed", "licence", "SHA of the weights"],
        (
            [f"`{m['title']}`", m["trained"], str(m["seed"]), m["license"], m["digest"][:16]]
            for m in told["models"]
        ),
    )
    bad: dict[str, list[str]] = {}  # trainings with other seeds share theirs
    for m in told["models"]:
        bad.setdefault(" ".join(m["bad"]), []).append(f"`{m['title']}`")
    bad.pop("", None)
    if bad:
        lines = (f"- {join_names(titles)}: {text}\n" for text, titles in bad.items())
        yield "What they are bad at:\n\n" + "".join(lines)


def _curves(told: Facts) -> Iterator[str]:
    """What more training brought to models that were scored on their way."""
    titles = {column["metric"]: title(column) for column in reversed(_headline(told))}
    points = [{"model": m["title"]} | point for m in told["models"] for point in m["curve"]]
    if not (metrics := [name for name in titles if any(p["metric"] == name for p in points)]):
        return
    yield (
        "### On the way there\n\n"
        "What those of them scored that were scored while they were trained, over core-hours of "
        "training. As on their cards: on the test set of their own dataset, with fewer inputs and "
        "samples than below.\n"
    )
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for p in points:
        place = (p["dataset"], p["direction"], p["model"], p["iterations"], p["hours"])
        found.setdefault(place, {})[p["metric"]] = p["value"]
    yield table(
        ["model", "where", "iterations", "core-hours", *(titles[name] for name in metrics)],
        (
            [f"`{model}`", f"{dataset}, {direction}", f"{iterations:,}", format_number(hours)]
            + [format_number(values[name]) if name in values else "" for name in metrics]
            for (dataset, direction, model, iterations, hours), values in sorted(found.items())
        ),
    )


def _pictures(told: Facts) -> Iterator[str]:
    yield (
        "## What they make\n\n"
        "The input, and the first sample of every method; inputs are spread evenly over the test "
        "set.\n"
    )
    for (dataset, direction), rows in _places(told):
        if any(not r["anchor"] for r in rows):
            yield f"{dataset}, {direction}:\n"
            yield f"![Translations]({_sheet('methods', dataset, direction)})\n"


def _numbers(told: Facts) -> Iterator[str]:
    yield (
        "## Every method, direction and metric\n\n"
        "Each with its interval: over training seeds where a row has several, over inputs "
        "otherwise. Arrows say which way is better; a number without an arrow ranks nobody. "
        "*Italic* columns are anchors.\n"
    )
    for (dataset, direction), rows in _places(told):
        labels = [f"*{r['label']}*" if r["anchor"] else f"`{r['label']}`" for r in rows]
        counts = sorted({f"{r['label']} {r['seeds']}" for r in rows if r["seeds"] > 1})
        yield f"### {dataset}, {direction}\n"
        if counts:
            yield f"Training seeds: {', '.join(counts)}.\n"
        yield table(
            ["metric", *labels],
            (
                [title(column), *(cell(r["values"].get(column["name"])) for r in rows)]
                for column in told["columns"]
                if column["subset"] == "all" and any(column["name"] in r["values"] for r in rows)
            ),
        )


def _directions(told: Facts) -> Iterator[str]:
    yield (
        "## Is one direction better than the other?\n\n"
        "A score of one direction minus that of the other, with the interval of the difference "
        "(square-and-add); each interval by itself, not widened for their number. Scores against "
        "real pictures have another target each way, so the last columns say how much of the way "
        "from the untouched input to real pictures of the target each direction goes.\n"
    )
    for dataset, places in _by_dataset(told):
        if len(places) != 2:
            continue
        (one, first), (two, second) = places
        rows = []
        for a, b in product(first, second):
            if a["label"] != b["label"] or a["anchor"]:
                continue
            for column in _headline(told):
                values = [r["values"].get(column["name"]) for r in (a, b)]
                if None in values or column["better"] is None:
                    continue
                rows.append([f"`{a['label']}`", title(column), *_better(values, column, one, two)])
                rows[-1] += [_share(r, place, column) for r, place in ((a, first), (b, second))]
        head = ["method", "metric", f"{one} − {two}", "interval", "better", f"way, {one}"]
        yield f"### {dataset}\n"
        yield table([*head, f"way, {two}"], rows)


def _better(values: Sequence[Any], column: Row, one: str, two: str) -> list[str]:
    """The difference of two directions, its interval, and which of them it shows to be better."""
    found = difference(*(Interval(*value) for value in values))
    if found.low is None or found.high is None:
        return [signed(found.value), "", ""]
    ends = found.value, found.low, found.high
    better = winner(ends, column["better"], (one, two))
    return [signed(found.value), format_interval(*ends), better]


def _share(row: Row, place: Sequence[Row], column: Row) -> str:
    """How much of the way from the untouched input to real pictures a score of quality goes."""
    scores = {r["role"]: r["values"].get(column["name"], [None])[0] for r in place if r["role"]}
    untouched, real = scores.get("untouched"), scores.get("real")
    if column["kind"] != "quality" or untouched is None or real is None or untouched == real:
        return ""
    mine = row["values"][column["name"]][0]
    return format_number((mine - untouched) / (real - untouched))


def _styles(told: Facts) -> Iterator[str]:
    yield (
        "## What do several styles of one picture look like?\n\n"
        "The input, and the first samples of every method that gives several; inputs are spread "
        "evenly over the test set.\n"
    )
    for (dataset, direction), rows in _places(told):
        named = [f"`{r['label']}`" for r in rows if r["several"] and not r["anchor"]]
        if named:
            yield f"{dataset}, {direction}: {join_names(named)}\n"
            yield f"![Styles]({_sheet('styles', dataset, direction)})\n"


def _one_answer(told: Facts) -> Iterator[str]:
    yield (
        "## What does a method with one answer give up?\n\n"
        "Methods with several answers beside methods with one, on the same inputs: several minus "
        "one, with p of a sign-swap test, adjusted by Holm. Diversity is nothing by construction "
        "where there is one answer.\n"
    )
    several = {(r["dataset"], r["label"]): r["several"] for r in told["rows"] if not r["anchor"]}
    titles = {column["metric"]: title(column) for column in reversed(_headline(told))}
    rows = []
    for row in told["comparisons"]:
        kinds = [several.get((row["dataset"], row[name])) for name in ("label_a", "label_b")]
        if None in kinds or kinds[0] == kinds[1]:
            continue
        names, ends = [row["label_a"], row["label_b"]], [row["difference"], row["low"], row["high"]]
        if kinds[1]:
            names, ends = names[::-1], [-ends[0], -ends[2], -ends[1]]
        rows.append(
            [
                f"`{names[0]}` − `{names[1]}`",
                f"{row['dataset']}, {row['direction']}",
                titles.get(row["metric"], row["metric"]),
                signed(ends[0]),
                format_interval(*ends),
                format_p(math.nan if row["p_adjusted"] is None else row["p_adjusted"]),
            ]
        )
    yield table(["methods", "where", "metric", "difference", "interval", "p"], rows)


def _leaks(told: Facts) -> Iterator[str]:
    yield "## How much do test pictures that are training pictures move a score?\n"
    for place in told["leaked"]:
        dataset, direction, twins = place["dataset"], place["direction"], place["twins"]
        rows = dict(_places(told)).get((dataset, direction), [])
        if not twins or not rows:
            continue
        yield (
            f"{dataset}, {direction}: {twins} of {place['inputs']} test inputs are byte for byte "
            "training pictures. Scores without them minus scores of all:\n"
        )
        clean = {c["metric"]: c for c in told["columns"] if c["subset"] == "clean"}
        yield table(
            ["metric", *(f"`{r['label']}`" for r in rows)],
            (
                [title(column), *(_moved(r, column, clean[column["metric"]]) for r in rows)]
                for column in told["columns"]
                if column["subset"] == "all" and column["metric"] in clean
            ),
        )
    if not any(place["twins"] for place in told["leaked"]):
        yield "There are none.\n"


def _moved(row: Row, column: Row, clean: Row) -> str:
    values = [row["values"].get(one["name"]) for one in (clean, column)]
    return "" if None in values else signed(values[0][0] - values[1][0])


def _others(told: Facts, published: Facts) -> Iterator[str]:
    yield (
        "## What others published of these photographs\n\n"
        "FID from summer to winter and back, and KID times a hundred from summer to winter, as "
        "printed. They cannot be ranked with each other, nor with the tables above:\n"
    )
    yield "\n".join(f"- {reason}" for reason in published["why"]) + "\n"
    names = ("there", "back", "kid")
    yield table(
        ["method", "there", "back", "KID × hundred", "protocol", "source"],
        (
            [f["method"], *(str(f.get(name, "")) for name in names), f["protocol"], f["source"]]
            for f in published["figure"]
        ),
    )


# ---------------------------------------------------------------------------- pieces


def _places(told: Facts) -> list[tuple[tuple[str, str], list[Row]]]:
    """The rows of every dataset and direction."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in told["rows"]:
        if row["values"]:
            found.setdefault((row["dataset"], row["direction"]), []).append(row)
    return list(found.items())


def _by_dataset(told: Facts) -> list[tuple[str, list[tuple[str, list[Row]]]]]:
    found: dict[str, list[tuple[str, list[Row]]]] = {}
    for (dataset, direction), rows in _places(told):
        found.setdefault(dataset, []).append((direction, rows))
    return list(found.items())


def _headline(told: Facts) -> list[Row]:
    return [column for column in told["columns"] if column["headline"]]


def _sheet(kind: str, dataset: str, direction: str) -> str:
    return f"images/results-{kind}-{folder_name(dataset)}-{folder_name(direction)}.jpg"


def draw(run: RunView, told: Facts, docs: Path) -> None:
    """Write the sheets that the document shows: as JPEG, reduced, a few inputs each."""
    shown = [row for row in told["rows"] if not row["anchor"]]
    pairs = list(zip(run.samples["dataset"], run.samples["label"], strict=True))
    for kind, rows, samples in (
        ("methods", shown, 1),
        ("styles", [row for row in shown if row["several"]], 4),
    ):
        wanted = {(row["dataset"], row["label"]) for row in rows}
        kept = replace(run, samples=run.samples[[pair in wanted for pair in pairs]])
        config = GridConfig(inputs=3, samples=samples)
        folder = render_grid(kept, run.path / "report" / kind, config)
        for dataset, direction in dict(_places(told)):
            source = folder / f"grid-{folder_name(dataset)}-{folder_name(direction)}.png"
            if source.is_file():
                with Image.open(source) as image:
                    small = image.convert("RGB").resize((image.width // 2, image.height // 2))
                target = docs / _sheet(kind, dataset, direction)
                target.parent.mkdir(parents=True, exist_ok=True)
                small.save(target, quality=85)


def main(run: Path, docs: Path = DOCS) -> None:
    """Write docs/results.json, the sheets and docs/results.md."""
    view = open_run(run)
    told = facts(view, load_plugins())
    write_json(docs / "results.json", told)
    draw(view, told, docs)
    published = tomllib.loads(PUBLISHED.read_bytes().decode())
    write_atomic(docs / "results.md", document(json.loads(json.dumps(told)), published))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
