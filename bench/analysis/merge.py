"""Several runs in one: for suites whose methods or seeds were measured on several machines.

The runs must have the same dataset, directions, size, samples and test inputs. What comes
out is a run folder like any other, with hard links to the pictures, so every report and
``bench compare`` can read it.

Rows
----
A label that one run has keeps its name. A label that several runs have is one row where it
is one configuration with other seeds in each, and a row for each run, ``label (run)``, where
it is not: nothing is averaged that was measured twice.

Speed
-----
``environment["hardware_of"]`` says what each trial ran on. Where that is not the same for all,
:mod:`bench.analysis.summary` gives each hardware speed columns of its own, ranked by themselves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from bench.analysis.summary import hardware_name
from bench.analysis.validity import open_run
from bench.api import BenchError, RunView
from bench.storage.declared import write_declared
from bench.storage.files import filling, folder_name, link_or_copy, write_atomic, write_json
from bench.storage.jobs import PLAN, read_plan
from bench.storage.tables import SCHEMAS, VERSION, read_run, write_table

__all__ = ["merge"]

_TABLES = tuple(SCHEMAS)


def merge(folders: Sequence[Path], out: Path) -> RunView:
    """Write several runs as one run folder.

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
    with filling(out) as building:
        tables: dict[str, list[pd.DataFrame]] = {name: [] for name in _TABLES}
        for name, run in runs.items():
            for kind in _TABLES:
                frame = getattr(run, kind).copy()
                if kind == "samples":
                    frame["path"] = _linked(run, building, frame, trials[name])
                    level = _missing_level(run)
                    frame["input_path"] = [_placed(path, level) for path in frame["input_path"]]
                frame["label"] = [labels[name].get(str(v), v) for v in frame["label"]]
                frame["trial"] = [trials[name].get(str(v), v) for v in frame["trial"]]
                tables[kind].append(frame)
            _link_rest(run, building, trials[name])
        for kind, frames in tables.items():
            whole = pd.concat(frames, ignore_index=True).astype(dict(SCHEMAS[kind]))
            write_table(building, kind, whole)
        write_json(building / "environment.json", _environment(runs, trials))
        write_declared(building, reduce(or_, (run.declared for run in runs.values())))
        write_atomic(building / "suite.toml", tomli_w.dumps(_suite(runs, labels)))
        write_atomic(building / "DONE", "")
        shutil.rmtree(out, ignore_errors=True)
    view = open_run(out)
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
    """Refuse runs that did not measure the same thing, naming the first difference."""
    (first, base), *others = ((name, _protocol(run)) for name, run in runs.items())
    for name, mine in others:
        for what, value in base.items():
            if mine[what] != value:
                raise BenchError(
                    f"{first} and {name} cannot be merged: {what} is {value or 'not set'} in the "
                    f"first and {mine[what] or 'not set'} in the second"
                )


def _protocol(run: RunView) -> dict[str, str]:
    """What has to be the same, as text."""
    ways = run.samples[["dataset", "direction"]].drop_duplicates()
    planned = read_plan(run.path) if (run.path / PLAN).is_file() else []
    content = {job.fingerprint[:12] for job in planned}
    inputs = run.samples.groupby(["dataset", "direction"])["input_id"].nunique()
    return {
        "the dataset": ", ".join(sorted({str(v) for v in run.trials["dataset"]})),
        "the dataset's content": ", ".join(sorted(content)),
        "the set of directions": ", ".join(sorted(str(v) for v in ways["direction"])),
        "the image size": str(run.suite.get("size", "")),
        "the number of samples": str(run.suite.get("samples", "")),
        "the number of test inputs": ", ".join(str(n) for n in inputs),
    }


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
    facts: dict[str, dict[str, pd.DataFrame]] = {}
    for name, run in runs.items():
        for label, rows in run.trials.groupby("label", sort=False):
            facts.setdefault(str(label), {})[name] = rows
    changed: dict[str, dict[str, str]] = {name: {} for name in runs}
    for label, where in facts.items():
        if len(where) > 1 and not _one_row(list(where.values())):
            for name in where:
                changed[name][label] = f"{label} ({name})"
    return changed


def _one_row(parts: Sequence[pd.DataFrame]) -> bool:
    """Whether trials of several runs are one configuration with different seeds."""
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
    """Link every output into the new folder; gives the paths there."""
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


def _link_rest(run: RunView, building: Path, trials: Mapping[str, str]) -> None:
    """Inputs, truths, what the audit found, and each trial's training curve and log."""
    level = _missing_level(run)
    for part in ("inputs", "truths", "audit"):
        for file in _files(run.path / part):
            place = file.relative_to(run.path).as_posix()
            # What `bench data audit` left beside is about no direction.
            named = part != "audit" or file.suffix == ".json"
            link_or_copy(file, building / (_placed(place, level) if named else place))
    for trial in (str(t) for t in run.trials["trial"]):
        for name in ("losses.jsonl", "log.txt"):
            if _inside(trial) and (file := run.path / "trials" / trial / name).is_file():
                link_or_copy(file, building / "trials" / trials.get(trial, trial) / name)


def _missing_level(run: RunView) -> str:
    """The folder of the dataset that a run of 0.1 has not: its one dataset; empty for others."""
    inputs = (path for path in run.samples["input_path"] if _inside(path))
    old = any(len(Path(path).parts) == 3 for path in inputs)
    return folder_name(str(run.samples["dataset"].iloc[0])) if old else ""


def _placed(path: Any, level: str) -> Any:
    """A path below ``inputs``, ``truths`` or ``audit`` with its missing level."""
    if not level or not _inside(path):
        return path
    part, *rest = Path(path).parts
    return Path(part, level, *rest).as_posix()


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
    baselines = {str(b) for run in runs.values() for b in run.environment.get("baselines", ())}
    return {
        "schema_version": VERSION,
        "runs": {name: dict(run.environment) for name, run in runs.items()},
        "hardware_of": hardware,
        "baselines": sorted(baselines),
    }


def _suite(runs: Mapping[str, RunView], labels: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The first run's suite with the methods and seeds of all; `labels` as in the tables."""
    methods: dict[str, dict[str, Any]] = {}
    seeds: set[int] = set()
    for name, run in runs.items():
        for entry in run.suite.get("methods", ()):
            entry = {"name": entry} if isinstance(entry, str) else dict(entry)
            title = entry.get("label") or entry["name"]
            entry["label"] = labels[name].get(title, title)
            methods[entry["label"]] = entry
        seeds |= set(run.suite.get("seeds", ()))
    suite = dict(next(iter(runs.values())).suite)
    return suite | {"methods": list(methods.values()), "seeds": sorted(seeds)}
