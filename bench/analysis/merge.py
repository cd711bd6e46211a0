"""Several runs in one: methods, seeds or datasets that were measured on several machines.

A dataset that several runs have must be the same in each: content, directions, size, samples
and test inputs. Datasets may differ in all of that. What comes out is a run folder like any
other, with hard links to the pictures, so every report and ``bench compare`` can read it.

Rows
----
A label that one run has for a dataset keeps its name. A label that several runs have for one is
one row where it is one configuration with other seeds in each, and a row for each run,
``label (run)``, where it is not: nothing is averaged that was measured twice.

Speed
-----
``environment["hardware_of"]`` says what each trial ran on. Where that is not the same for all,
:mod:`bench.analysis.columns` gives each hardware speed columns of its own, ranked by themselves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from bench.analysis.columns import hardware_name
from bench.analysis.validity import open_run
from bench.api import BenchError, Declared, RunView
from bench.storage.declared import write_declared
from bench.storage.files import filling, folder_name, link_or_copy, write_atomic, write_json
from bench.storage.jobs import PLAN, read_plan
from bench.storage.tables import SCHEMAS, VERSION, read_run, write_table

__all__ = ["merge"]

_TABLES = tuple(name for name, columns in SCHEMAS.items() if "trial" in columns)
"""Those whose rows belong to a trial; the others follow from them."""

_INPUTS = "inputs"
"""The folder of the pictures that were translated."""


def merge(folders: Sequence[Path], out: Path) -> RunView:
    """Write several runs as one run folder, and return it.

    Parameters
    ----------
    folders
        Two or more run folders.
    out
        The new folder; one that an earlier merge made is replaced.

    Raises
    ------
    BenchError
        When a folder is no run or is named twice, the runs differ in what they measured, or
        `out` holds something else.
    """
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise BenchError("--merge needs two runs or more")
    twice = sorted({place.name for place in places if places.count(place) > 1})
    if twice:
        raise BenchError(f"{twice[0]} is named twice: merge each run once")
    runs = dict(zip(_names(places), (read_run(place) for place in places), strict=True))
    _same_protocol(runs)
    _free(out, places)
    labels, trials = _new_labels(runs), _new_trials(runs)
    declared = Declared()
    with filling(out) as building:
        tables: dict[str, list[pd.DataFrame]] = {name: [] for name in _TABLES}
        for name, run in runs.items():
            declared |= run.declared
            place = _place(run)
            for kind in _TABLES:
                frame = getattr(run, kind).copy()
                if kind == "samples":
                    frame["path"] = _linked(run, building, frame, trials[name])
                    frame["input_path"] = [_moved(path, place) for path in frame["input_path"]]
                frame["label"] = [labels[name].get(str(v), v) for v in frame["label"]]
                frame["trial"] = [trials[name].get(str(v), v) for v in frame["trial"]]
                tables[kind].append(frame)
            _link_rest(run, building, place, trials[name])
        for kind, frames in tables.items():
            whole = pd.concat(frames, ignore_index=True).astype(dict(SCHEMAS[kind]))
            write_table(building, kind, whole)
        write_json(building / "environment.json", _environment(runs, trials))
        write_declared(building, declared)
        write_atomic(building / "suite.toml", tomli_w.dumps(_suite(runs, labels)))
        write_atomic(building / "DONE", "")
        shutil.rmtree(out, ignore_errors=True)
    view = open_run(out)
    write_table(out, "comparisons", view.comparisons)
    write_table(out, "checks", view.checks)
    return view


def _names(places: Sequence[Path]) -> list[str]:
    """What the runs are called: their folders, with the folder above where two are alike."""
    plain = [place.name for place in places]
    return [
        name if plain.count(name) == 1 else f"{place.parent.name}/{name}"
        for name, place in zip(plain, places, strict=True)
    ]


def _same_protocol(runs: Mapping[str, RunView]) -> None:
    """Refuse runs that did not measure a dataset in the same way, naming the first difference."""
    seen: dict[str, tuple[str, dict[str, str]]] = {}
    for name, run in runs.items():
        for dataset in dict.fromkeys(str(value) for value in run.trials["dataset"]):
            mine = _protocol(run, dataset)
            first, base = seen.setdefault(dataset, (name, mine))
            for what, value in base.items():
                if mine[what] != value:
                    raise BenchError(
                        f"{first} and {name} cannot be merged: for {dataset}, {what} is "
                        f"{value or 'not set'} in the first and {mine[what] or 'not set'} in the "
                        "second"
                    )


def _protocol(run: RunView, dataset: str) -> dict[str, str]:
    """Return what has to be the same wherever a dataset occurs, as text."""
    samples = run.samples[run.samples["dataset"] == dataset]
    inputs = samples.groupby("direction")["input_id"].nunique()
    plan = read_plan(run.path) if (run.path / PLAN).is_file() else []
    planned = [job for job in plan if job.dataset_label == dataset]
    sizes = {str(job.size) for job in planned} or {_size(run, dataset)}
    content = {job.fingerprint[:12] for job in planned}
    return {
        "the content": ", ".join(sorted(content)),
        "the set of directions": ", ".join(sorted(str(name) for name in inputs.index)),
        "the image size": ", ".join(sorted(sizes)),
        "the number of samples": str(run.suite.get("samples", "")),
        "the number of test inputs": ", ".join(str(count) for count in inputs),
    }


def _size(run: RunView, dataset: str) -> str:
    """Return the image size that a suite sets for a dataset, as text."""
    own = {_title(entry): entry.get("size") for entry in _entries(run.suite, "datasets")}
    return str(own.get(dataset) or run.suite.get("size", ""))


def _entries(suite: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the methods or datasets of a suite; one may stand there by its name alone."""
    return [{"name": e} if isinstance(e, str) else dict(e) for e in suite.get(kind, ())]


def _title(entry: Mapping[str, Any]) -> str:
    """Return what a method or dataset of a suite is called in tables."""
    return str(entry.get("label") or entry.get("name", ""))


def _free(out: Path, places: Sequence[Path]) -> None:
    """Refuse to replace anything but what an earlier merge wrote."""
    if out.resolve() in places:
        raise BenchError(f"{out} is one of the runs: choose another place with --out")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        before = json.loads((out / "environment.json").read_text("utf-8"))
    except (OSError, ValueError):
        before = {}
    if "runs" not in before:
        raise BenchError(f"{out} is not a merged run: choose another place with --out")


def _new_labels(runs: Mapping[str, RunView]) -> dict[str, dict[str, str]]:
    """For each run: labels that need the run's name."""
    facts: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for name, run in runs.items():
        for (dataset, label), rows in run.trials.groupby(["dataset", "label"], sort=False):
            facts.setdefault((str(dataset), str(label)), {})[name] = rows
    changed: dict[str, dict[str, str]] = {name: {} for name in runs}
    for (_, label), where in facts.items():
        if len(where) > 1 and not _one_row(list(where.values())):
            for name in where:
                changed[name][label] = f"{label} ({name})"
    return changed


def _one_row(parts: Sequence[pd.DataFrame]) -> bool:
    """Return whether trials of several runs are one configuration with different seeds."""
    same = ["method", "config", "budget", "precision"]
    whole = pd.concat(parts)
    seeds = [seed for part in parts for seed in {int(seed) for seed in part["seed"]}]
    alike = all(whole[column].fillna("").nunique() == 1 for column in same)
    return alike and len(seeds) == len(set(seeds))


def _new_trials(runs: Mapping[str, RunView]) -> dict[str, dict[str, str]]:
    """For each run: new ids of trials whose id another run has, too."""
    counts = pd.Series([str(t) for run in runs.values() for t in run.trials["trial"]])
    several = set(counts[counts.duplicated()])
    return {
        name: {
            trial: f"{trial}-run{number}"
            for trial in (str(t) for t in run.trials["trial"])
            if trial in several
        }
        for number, (name, run) in enumerate(runs.items(), 1)
    }


# ----------------------------------------------------------------------------- files


def _inside(path: object) -> bool:
    """Whether a path of the tables stays within its run."""
    return (
        isinstance(path, str)
        and bool(path)
        and not Path(path).is_absolute()
        and ".." not in Path(path).parts
    )


def _linked(
    run: RunView, building: Path, frame: pd.DataFrame, trials: Mapping[str, str]
) -> list[Any]:
    """Link every output into the new folder, and return the paths there."""
    paths: list[Any] = []
    done: set[str] = set()
    for trial, path in zip(frame["trial"], frame["path"], strict=True):
        new = path
        if _inside(path) and str(trial) in trials:
            old = f"trials/{trial}/"
            new = f"trials/{trials[str(trial)]}/{path.removeprefix(old)}"
        if _inside(path) and _inside(new) and new not in done and (run.path / path).is_file():
            link_or_copy(run.path / path, building / new)
            done.add(new)
        paths.append(new)
    return paths


def _place(run: RunView) -> str:
    """Return the dataset's name below which a run's inputs, truths and audit go; mostly empty.

    A run of version 0.1 keeps them by direction alone, and directions of two datasets may have
    one name.
    """
    datasets = {str(dataset) for dataset in run.trials["dataset"]}
    paths = {Path(path) for path in run.samples["input_path"].dropna().unique() if _inside(path)}
    by_direction = any(path.parts[0] == _INPUTS and len(path.parts) == 3 for path in paths)
    name = next(iter(datasets), "")
    return folder_name(name) if by_direction and len(datasets) == 1 else ""


def _moved(path: object, place: str) -> object:
    """Return where an input's path leads in the new folder."""
    if not place or not _inside(path) or Path(str(path)).parts[0] != _INPUTS:
        return path
    return Path(_INPUTS, place, *Path(str(path)).parts[1:]).as_posix()


def _link_rest(run: RunView, building: Path, place: str, trials: Mapping[str, str]) -> None:
    """Link inputs, truths, what the audit found, and each trial's training curve and log."""
    for part in (_INPUTS, "truths", "audit"):
        for file in _files(run.path / part):
            link_or_copy(file, building / part / place / file.relative_to(run.path / part))
    for trial in (str(t) for t in run.trials["trial"]):
        for name in ("losses.jsonl", "log.txt"):
            if _inside(trial) and (file := run.path / "trials" / trial / name).is_file():
                link_or_copy(file, building / "trials" / trials.get(trial, trial) / name)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


def _environment(
    runs: Mapping[str, RunView], trials: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    hardware = {
        trials[name].get(str(trial), str(trial)): hardware_name(run.environment, str(device))
        for name, run in runs.items()
        for trial, device in zip(run.trials["trial"], run.trials["device"], strict=True)
        if isinstance(device, str)
    }
    return {
        "schema_version": VERSION,
        "runs": {name: dict(run.environment) for name, run in runs.items()},
        "hardware_of": hardware,
    }


def _suite(runs: Mapping[str, RunView], labels: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return the first run's suite with all methods, datasets and seeds; `labels` as in tables."""
    methods: dict[str, dict[str, Any]] = {}
    datasets: dict[str, dict[str, Any]] = {}
    seeds: set[int] = set()
    for name, run in runs.items():
        for entry in _entries(run.suite, "methods"):
            title = _title(entry)
            entry["label"] = labels[name].get(title, title)
            methods[entry["label"]] = entry
        for entry in _entries(run.suite, "datasets"):
            size = entry.get("size") or run.suite.get("size")
            datasets.setdefault(_title(entry), entry | ({"size": size} if size else {}))
        seeds |= set(run.suite.get("seeds", ()))
    return dict(next(iter(runs.values())).suite) | {
        "methods": list(methods.values()),
        "datasets": list(datasets.values()),
        "seeds": sorted(seeds),
    }
