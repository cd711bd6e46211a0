"""Whether two run folders hold the same numbers and pictures: ``python tests/compare_runs.py A B``.

For changes that must not change a result: run the same suite before and after, each with an
empty cache. Every measurement but those of speed and memory must be equal to the last digit,
every value of a single picture, every loss, every picture and every trained weight bit for bit.
Differences are printed, and the exit code is then 1. Folders of any version are read: what is
compared is found through the tables.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

SPEED_COLUMNS = ("throughput", "resource")
PLACE = ["label", "seed", "dataset", "direction"]
SHOWN = 20


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(run / "tables" / f"{name}.parquet")


def numbers(run: Path) -> dict[str, dict[tuple[object, ...], object]]:
    """Everything that is a number, by kind and by what it is about."""
    measured = table(run, "measurements")
    measured = measured[~measured["kind"].isin(SPEED_COLUMNS)].drop(columns="trial")
    keys = [*PLACE, "metric", "subset", "extractor"]
    samples = table(run, "samples").dropna(subset="metric")
    trials = table(run, "trials")
    losses = {
        (row.label, row.seed, line["iteration"], name): value
        for row in trials.itertuples()
        if (curve := run / "trials" / row.trial / "losses.jsonl").is_file()
        for line in map(json.loads, curve.read_text("utf-8").splitlines())
        for name, value in line["losses"].items()
    }
    return {
        "measurement": by(measured, keys, [c for c in measured.columns if c not in keys]),
        "value of a picture": by(samples, [*PLACE, "metric", "input_id", "sample"], ["value"]),
        "trial": by(trials, ["label", "seed"], ["status", "reason", "iterations", "parameters"]),
        "loss": losses,
    }


def by(
    frame: pd.DataFrame, keys: list[str], values: list[str]
) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Rows by key; a table in which a key comes twice is no table of results."""
    whole = frame.astype(object).where(frame.notna(), None)
    rows = {
        tuple(row[key] for key in keys): tuple((name, plain(row[name])) for name in values)
        for row in whole.to_dict("records")
    }
    if len(rows) < len(whole):
        raise SystemExit(f"{len(whole) - len(rows)} rows have the key of another row")
    return rows


def plain(value: object) -> object:
    """A list of numbers as a tuple, which is equal or not."""
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


def files(run: Path) -> dict[tuple[object, ...], Path]:
    """Every picture and file of weights, by what it is."""
    found: dict[tuple[object, ...], Path] = {}
    samples = table(run, "samples")
    for row in samples.itertuples():
        place = (row.label, row.seed, row.dataset, row.direction, row.input_id)
        found["output", *place, row.sample] = run / row.path
        found["input", *place[2:]] = run / row.input_path
        # True translations lie in truths/ as their inputs do in inputs/.
        truths = (run / row.input_path).with_suffix("").relative_to(run / "inputs")
        for file in (run / "truths" / truths).glob("*.png"):
            found["truth", *place[2:], file.stem] = file
    for row in table(run, "trials").itertuples():
        weights = run / "trials" / row.trial / "checkpoints" / "weights.safetensors"
        if weights.is_file():
            found["weights", row.label, row.seed] = weights
    return found


def differences(a: Path, b: Path) -> Iterator[str]:
    """What is not the same, a line each."""
    for kind, ours in numbers(a).items():
        yield from unequal(kind, ours, numbers(b)[kind])
    ours, theirs = (
        {what: file.read_bytes() if file.is_file() else None for what, file in files(run).items()}
        for run in (a, b)
    )
    for what, content in [*ours.items(), *theirs.items()]:
        if content is None:
            yield f"{text(what)}: the file is gone"
    yield from unequal("file", ours, theirs)


def unequal(
    kind: str, ours: dict[tuple[object, ...], object], theirs: dict[tuple[object, ...], object]
) -> Iterator[str]:
    for what in dict.fromkeys((*ours, *theirs)):
        if what not in ours or what not in theirs:
            yield f"{kind} {text(what)}: only in the {'first' if what in ours else 'second'}"
        elif ours[what] != theirs[what]:
            short = kind == "file"
            said = "other bytes" if short else f"{ours[what]} and {theirs[what]}"
            yield f"{kind} {text(what)}: {said}"


def text(what: tuple[object, ...]) -> str:
    return " ".join(str(part) for part in what if part is not None)


def main(a: Path, b: Path) -> int:
    found = list(differences(a, b))
    for line in found[:SHOWN]:
        print(line)
    if len(found) > SHOWN:
        print(f"and {len(found) - SHOWN} more")
    counts = {kind: len(values) for kind, values in numbers(a).items()} | {"file": len(files(a))}
    if not counts["measurement"] or not counts["file"]:
        print(f"{a} holds nothing to compare")
        return 1
    listed = ", ".join(f"{count} of kind {kind}" for kind, count in counts.items())
    print(f"{len(found)} differences; compared: {listed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
