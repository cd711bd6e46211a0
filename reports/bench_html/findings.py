"""What the pictures of a run give away: duplicates, copies, collapse, one answer only.

Every finding names its pictures by their place in the gallery, so that the page shows and
opens them like all others. What is expected (an anchor that is there to copy) is said to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.summary import clean_text, join_names
from bench_html.alike import groups

if TYPE_CHECKING:
    from bench.api import RunView
    from bench_html.gallery import Gallery

_SHOWN = 8
"""Pictures of one finding."""
_FRESH = 0.05
"""The share of real test images that are as close to a training image as `memorised` allows."""
_NARROW = 0.25
"""Outputs that vary less than this share of what real images do have collapsed."""

Shot = tuple[int, int, int]
"""Index of direction, of series (-1 for the input itself) and of the input."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    `shots` are pictures of the gallery; `expected` says that it is no surprise.
    """

    title: str
    text: str
    shots: tuple[Shot, ...]
    expected: bool = False


def find(run: RunView, pictures: Gallery) -> list[Finding]:
    """Everything suspicious in a run, what is unexpected first.

    Parameters
    ----------
    pictures
        What :func:`bench_html.gallery.build` found.
    """
    found: list[Finding] = []
    metrics = pictures.description["metrics"]
    memorised = str(metrics.index("memorised")) if "memorised" in metrics else ""
    for way, facts in enumerate(pictures.description["ways"]):
        found += _trained_on(run.path, way, facts, pictures)
        for series, rows in enumerate(facts["series"]):
            firsts = {
                i: (pictures.files[way, -1, i], pictures.files[way, series, i])
                for i in range(len(rows["cells"]))
                if (way, -1, i) in pictures.files and (way, series, i) in pictures.files
            }
            found += _copies(way, facts, series, firsts)
            found += _duplicates(way, facts, series, firsts)
            found += _measured(run, way, facts, series, memorised)
    return sorted(found, key=lambda finding: finding.expected)


def answers(pictures: Gallery) -> list[str]:
    """Who gives many outputs for an input and who one: sentences, from the pictures themselves."""
    words: dict[str, dict[str, None]] = {}
    for facts in pictures.description["ways"]:
        for rows in facts["series"]:
            cells = [cell for cell in rows["cells"] if cell and cell["n"]]
            if cells:
                alone = sum(cell.get("d", 1) == 1 for cell in cells)
                word = "one" if alone == len(cells) else "several" if not alone else "both"
                words.setdefault(rows["name"], {})[word] = None
    kinds: dict[str, list[str]] = {}
    for name, found in words.items():
        kinds.setdefault(next(iter(found)) if len(found) == 1 else "both", []).append(name)
    said = {
        "several": "Stochastic, other samples are other pictures",
        "one": "Deterministic, one picture for an input however often it is asked",
        "both": "One picture for some inputs, several for others",
    }
    if "several" not in kinds and "both" not in kinds:
        return []  # nobody was asked twice
    return [f"{text}: {join_names(kinds[word])}." for word, text in said.items() if word in kinds]


def near_pairs(run: RunView) -> tuple[list[dict[str, str]], Path | None]:
    """What ``bench data audit --out RUN/audit`` left: its pairs, and the sheet of near ones."""
    table = run.path / "audit" / "pairs.csv"
    sheet = run.path / "audit" / "near.png"
    try:
        rows = pd.read_csv(table, dtype=str, keep_default_na=False).to_dict("records")
    except (OSError, ValueError):
        return [], None
    pairs = [{str(key): clean_text(value) for key, value in row.items()} for row in rows]
    return pairs, sheet if sheet.is_file() else None


# ------------------------------------------------------------------------- the kinds


def _trained_on(root: Path, way: int, facts: Mapping[str, Any], pictures: Gallery) -> list[Finding]:
    """Test inputs that are training images, byte for byte.

    They are named in ``audit/<…>.json`` where the inputs lie in ``inputs/<…>``: the dataset and
    the direction, and the direction alone in runs of 0.1.
    """
    name = facts["direction"]
    inputs = (pictures.files.get((way, -1, i)) for i in range(len(facts["inputs"])))
    folder = next((file.parent for file in inputs if file), root)
    if not folder.is_relative_to(root / "inputs"):
        return []
    audit = root / "audit" / folder.relative_to(root / "inputs")
    try:
        twins = json.loads(audit.with_name(f"{audit.name}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return []
    at = [i for i, item in enumerate(facts["inputs"]) if item["id"] in twins]
    if not at:
        return []
    total = len(facts["inputs"])
    first = facts["inputs"][at[0]]["id"]
    domain, twin = twins[first][0]
    return [
        Finding(
            f"{len(at)} of {total} test inputs of {name} are training images",
            f"The same file is in both splits: {clean_text(first)} is {clean_text(twin)} of "
            f"train{str(domain).upper()[:1]}, and so on. Numbers without them are in the columns "
            "“clean test images”.",
            tuple((way, -1, i) for i in at[:_SHOWN]),
        )
    ]


def _copies(
    way: int,
    facts: Mapping[str, Any],
    series: int,
    firsts: Mapping[int, tuple[Path, Path]],
) -> list[Finding]:
    """Outputs that are their input."""
    rows = facts["series"][series]
    at = [i for i, pair in firsts.items() if len(set(groups(pair))) == 1]
    if not at:
        return []
    return [
        Finding(
            f"{rows['name']} leaves {_share(len(at), len(firsts))} unchanged",
            f"{facts['direction']}: the output has the pixels of its input.",
            tuple((way, series, i) for i in at[:_SHOWN]),
            expected=bool(rows["anchor"]),
        )
    ]


def _duplicates(
    way: int,
    facts: Mapping[str, Any],
    series: int,
    firsts: Mapping[int, tuple[Path, Path]],
) -> list[Finding]:
    """Different inputs with one output."""
    rows = facts["series"][series]
    at = list(firsts)
    sources = groups([firsts[i][0] for i in at])
    # One representative for each different input picture.
    at = [i for k, i in enumerate(at) if sources[k] == k]
    leaders = groups([firsts[i][1] for i in at])
    members: dict[int, list[int]] = {}
    for k, leader in enumerate(leaders):
        members.setdefault(leader, []).append(at[k])
    shared = sorted((m for m in members.values() if len(m) > 1), key=len, reverse=True)
    if not shared:
        return []
    count = sum(len(m) for m in shared)
    return [
        Finding(
            f"{rows['name']} gives {_share(count, len(at))} an output that another input has, too",
            f"{facts['direction']}: {len(shared)} "
            f"{'picture is' if len(shared) == 1 else 'pictures are'} shared, the most common by "
            f"{len(shared[0])} inputs.",
            tuple((way, series, i) for m in shared for i in m[:4])[:_SHOWN],
            expected=bool(rows["anchor"]),
        )
    ]


def _measured(
    run: RunView, way: int, facts: Mapping[str, Any], series: int, memorised: str
) -> list[Finding]:
    """Copies of the training set, and outputs that hardly vary, by what was measured."""
    rows = facts["series"][series]
    frame = run.measurements
    mine = frame[
        (frame["trial"] == rows["trial"])
        & (frame["direction"] == facts["direction"])
        & (frame["subset"] == "all")
    ].set_index("metric")
    there = [i for i, cell in enumerate(rows["cells"]) if cell and cell["n"]]
    found = []
    if "memorised" in mine.index:
        row = mine.loc[["memorised"]].iloc[0]
        low = float(row["low"]) if not pd.isna(row["low"]) else float(row["value"])
        if low > _FRESH:
            found.append(
                Finding(
                    f"{rows['name']} comes close to training images",
                    f"{facts['direction']}: {row['value']:.0%} of the outputs are nearer to a "
                    f"training image than all but 5% of real test images are "
                    f"(at least {low:.0%}, n {row['n']}).",
                    tuple((way, series, i) for i in _worst(rows, there, memorised)[:_SHOWN]),
                    expected=bool(rows["anchor"]),
                )
            )
    if "spread" in mine.index and float(value := mine.loc[["spread"]].iloc[0]["value"]) < _NARROW:
        found.append(
            Finding(
                f"{rows['name']} hardly varies from input to input",
                f"{facts['direction']}: its outputs spread over {float(value):.0%} of what real "
                "target images do.",
                tuple((way, series, i) for i in there[:_SHOWN]),
                expected=bool(rows["anchor"]),
            )
        )
    return found


def _worst(rows: Mapping[str, Any], there: Sequence[int], number: str) -> list[int]:
    """Inputs whose output was counted as memorised first, where the run says which."""
    return sorted(there, key=lambda i: -((rows["cells"][i]["v"].get(number) or [0])[0] or 0))


def _share(count: int, total: int) -> str:
    """``every input``, or ``3 of 16 inputs``."""
    return "every input" if count == total else f"{count} of {total} inputs"


def looked_for(run: RunView) -> str:
    """What was looked for, in words."""
    measured = set(run.measurements["metric"])
    looked = ["inputs left unchanged", "outputs shared by several inputs"]
    looked += ["copies of training images"] if "memorised" in measured else []
    looked += ["collapse onto one look"] if "spread" in measured else []
    return f"Looked for {join_names(looked)}."
