"""docs/performance.md: its tables, made from what ``make speed`` kept and from nothing else.

python -m tests.speed.page build/speed.json    # keeps what it says in recorded.json, too
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.storage.files import write_atomic, write_json
from tests.pages import between

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
RECORDED = Path(__file__).parent / "recorded.json"
BEGIN, END = "<!-- made by make speed -->\n", "<!-- end -->\n"
Row = dict[str, Any]


def recorded(*files: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page says of pytest-benchmark's files: rows and their median seconds."""
    told = [one for file in files for one in file["benchmarks"] if "what" in one["extra_info"]]
    return {
        "date": files[-1]["datetime"][:10],
        "commit": files[-1]["commit_info"]["id"],
        "rows": [one["extra_info"] | {"seconds": one["stats"]["median"]} for one in told],
    }


def result(kept: Mapping[str, Any]) -> str:
    """Return the tables, as Markdown."""
    found = kept["rows"]
    (rates,) = _of(found, "machine")
    lines = [
        *_machine(kept, rates),
        *_steps(_of(found, "step"), rates),
        *_profiles(_of(found, "step")),
        *_layers(_of(found, "layer")),
        *_translations(_of(found, "translation")),
        *_scoring(_of(found, "scoring")),
        *_growth(_of(found, "growth")),
    ]
    return "\n" + "\n".join(lines) + "\n"


def with_result(text: str, kept: Mapping[str, Any]) -> str:
    """Return a page with the tables between its markers."""
    return between(text, BEGIN, END, result(kept))


def table(head: Sequence[str], body: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Return a Markdown table; columns after the first `left` hold numbers."""
    rule = ["---" if at < left else "--:" for at in range(len(head))]
    return [*("| " + " | ".join(cells) + " |" for cells in (head, rule, *body)), ""]


def _of(found: Iterable[Row], what: str) -> list[Row]:
    return [row for row in found if row.get("what") == what]


def _machine(kept: Mapping[str, Any], rates: Row) -> Iterator[str]:
    facts = rates["machine"]
    yield (
        f"Measured on {kept['date']}: {facts['cores']} cores of an {facts['cpu']}, "
        f"{facts['threads']} threads, PyTorch {facts['torch']}, "
        f"commit {kept['commit'][:8]}."
    )
    yield ""
    yield "### What this machine can do"
    yield ""
    yield from table(
        ["", "float32", "bf16"],
        [
            ["a convolution of 256 channels at 32²", *(f"{g:.0f} GFLOP/s" for g in _peaks(rates))],
            ["memory", *[f"{rates['bytes'] / 1e9:.1f} GB/s"] * 2],
        ],
    )


def _peaks(rates: Row) -> tuple[float, float]:
    return rates["flops_fp32"] / 1e9, rates["flops_bf16"] / 1e9


def _steps(found: Sequence[Row], rates: Row) -> Iterator[str]:
    yield "### A step of training"
    yield ""
    body = []
    for row in found:
        plain = _like(found, row, kind="plain")
        times = f"{plain['seconds'] / row['seconds']:.2f}" if plain else "–"
        if row["kind"] == "plain":
            times = "1"
        peak = rates["flops_bf16" if row["kind"] == "bf16" else "flops_fp32"]
        limits = row["flops"] / peak, row["bytes"] / rates["bytes"]
        body.append(
            [
                row["method"],
                row["recipe"],
                f"{row['side']}²",
                str(row["batch"]),
                row["kind"],
                f"{row['seconds']:.3f}",
                times,
                f"{row['flops'] / 1e9:.0f}",
                f"{row['bytes'] / 1e9:.1f}",
                f"{row['flops'] / row['seconds'] / 1e9:.0f}",
                f"{max(limits) / row['seconds']:.0%}",
                "arithmetic" if limits[0] > limits[1] else "memory",
            ]
        )
    yield from table(
        [
            "method",
            "widths",
            "side",
            "batch",
            "kind",
            "seconds",
            "times as fast as plain",
            "GFLOP",
            "GB",
            "GFLOP/s",
            "of the limit",
            "which is",
        ],
        body,
        left=2,
    )


def _like(found: Iterable[Row], row: Row, **other: Any) -> Row | None:
    keys = ("method", "recipe", "side", "batch")
    wanted = {key: row[key] for key in keys} | other
    return next((one for one in found if all(one[k] == v for k, v in wanted.items())), None)


def _profiles(found: Sequence[Row]) -> Iterator[str]:
    yield "### What a step is spent on"
    yield ""
    body = []
    for row in found:
        if row["kind"] == "plain" or not row.get("profile"):
            continue
        dearest = list(row["profile"].items())[:5]
        said = ", ".join(f"`{name.removeprefix('aten::')}` {part:.0%}" for name, part in dearest)
        name = f"{row['method']} {row['recipe']} {row['side']}²"
        body.append([name, str(row["batch"]), row["kind"], said])
    yield from table(["", "batch", "kind", "operators, by their own time"], body, left=4)


def _layers(found: Sequence[Row]) -> Iterator[str]:
    if not found:
        return
    yield "### Which way a 3×3 layer goes"
    yield ""
    ways: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in found:
        place = tuple(row[name] for name in ("into", "out", "side", "batch"))
        ways.setdefault(place, {})[row["way"]] = row
    body = []
    for (into, out, side, batch), there in ways.items():
        cells = [f"{1e3 * row['seconds']:.1f}" for row in there.values()]
        direct, taken = there["direct"]["seconds"], there["direct"]["taken"]
        times = f"{direct / there[taken]['seconds']:.2f}"
        body.append([f"{into} → {out}", f"{side}²", str(batch), *cells, taken, times])
    names = [f"{way}, ms" for way in next(iter(ways.values()))]
    head = ["channels", "maps", "batch", *names, "taken", "times as fast"]
    yield from table(head, body)


def _translations(found: Sequence[Row]) -> Iterator[str]:
    yield "### Translations"
    yield ""
    names = list(dict.fromkeys(row["method"] for row in found))
    columns = [(side, batch) for side in (128, 256) for batch in (1, 8)]
    body = []
    for name in names:
        for kind in ("fp32", "bf16"):
            cells = {
                (row["side"], row["batch"]): row["batch"] / row["seconds"]
                for row in found
                if (row["method"], row["kind"]) == (name, kind)
            }
            body.append(
                [name, kind, *(f"{cells[at]:.2f}" if at in cells else "–" for at in columns)]
            )
    head = ["images a second", "kind", *(f"{side}², batch {batch}" for side, batch in columns)]
    yield from table(head, body, left=2)


def _scoring(found: Sequence[Row]) -> Iterator[str]:
    if not found:
        return
    yield "### Scoring"
    yield ""
    seconds = {row["side_of"]: row["took"] for row in found}
    images = found[0]["images"]
    yield (
        f"{images:,} outputs of {found[0]['side']}² scored by KID, FID, precision, recall and both "
        f"LPIPS: {seconds['ours']:.1f} s; by torch-fidelity and lpips one after the other, the "
        f"same numbers: {seconds['one by one']:.1f} s, "
        f"{seconds['one by one'] / seconds['ours']:.1f} times as long."
    )
    yield ""


def _growth(found: Sequence[Row]) -> Iterator[str]:
    yield "### How cost grows"
    yield ""
    body = []
    for of in dict.fromkeys(row["of"] for row in found):
        mine = sorted((row for row in found if row["of"] == of), key=lambda row: row["count"])
        for row in mine:
            first = mine[0]
            body.append(
                [
                    of if row is first else "",
                    f"{row['count']:,}",
                    f"{row['count'] / first['count']:.1f}",
                    f"{row['seconds']:.2f}",
                    f"{row['seconds'] / first['seconds']:.1f}",
                    f"{max(row['peak_mb'], 0):.0f}",
                    f"{row['page_mb']:.1f} / {row['folder_mb']:.0f}" if "page_mb" in row else "",
                ]
            )
    head = ["", "how many", "times", "seconds", "times", "MB", "page / its folder, MB"]
    yield from table(head, body)
    yield "*MB* is the peak above what the process held before: memory freed earlier is used again."
    yield ""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kept", type=Path, nargs="+", help="what pytest-benchmark kept, JSON")
    options = parser.parse_args()
    kept = recorded(*(json.loads(file.read_text("utf-8")) for file in options.kept))
    write_json(RECORDED, kept)
    write_atomic(PAGE, with_result(PAGE.read_text("utf-8"), kept))
    print(PAGE)


if __name__ == "__main__":
    main()
