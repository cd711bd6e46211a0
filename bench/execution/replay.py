"""Score a run again from the pictures it kept, and say what differs.

Nothing is taken from the run's own caches: every stored picture passes through the networks
anew, so a stale feature or an exchanged picture cannot hide behind its old number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from bench.api import BenchError, Dataset, Direction, Event, Measurement
from bench.data.images import read_image
from bench.data.opening import open_dataset, with_root
from bench.data.precomputed import Precomputed
from bench.execution.stages import score
from bench.execution.stages.score import SCORED
from bench.execution.workspace import Decoded, Workspace
from bench.metrics.manifest import Changed, changes, picture_hashes
from bench.plugins import Registry
from bench.storage.jobs import Job, read_plan
from bench.storage.tables import read_run

TOLERANCE = 1e-3
"""Relative difference up to which two values are the same number: other batches and threads
change the last digits of float32 features, and a distance near 0 loses more of them."""
_ABSOLUTE = 1e-6
_KEYS = ["metric", "subset", "extractor"]


@dataclass(frozen=True)
class Replayed:
    """One direction of one trial, scored again.

    Parameters
    ----------
    label, dataset, seed, direction
        Which one.
    changed
        Pictures and networks that have another hash than when they were scored, by role;
        with role ``output file`` those that are missing or damaged.
    code_changed
        Whether the code that scores is another one; no difference in itself.
    rows
        Columns ``metric, subset, extractor, stored, replayed, relative, equal``; NaN where
        a value is on one side only.
    """

    label: str
    dataset: str
    seed: int
    direction: str
    changed: tuple[Changed, ...]
    code_changed: bool
    rows: pd.DataFrame

    @property
    def differs(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.changed) or not bool(self.rows["equal"].all())


def compare_values(stored: pd.DataFrame, replayed: pd.DataFrame) -> pd.DataFrame:
    """Values side by side, by metric, subset and extractor.

    Parameters
    ----------
    stored, replayed
        Measurements of one direction of one trial, with ``metric, subset, extractor,
        value, n`` among their columns.
    """
    sides = []
    for name, frame in (("stored", stored), ("replayed", replayed)):
        part = frame[[*_KEYS, "value", "n"]].astype(dict.fromkeys(_KEYS, "object"))
        part = part.assign(extractor=part["extractor"].where(part["extractor"].notna(), ""))
        sides.append(part.rename(columns={"value": name, "n": f"n_{name}"}))
    both = sides[0].merge(sides[1], on=_KEYS, how="outer", sort=False)
    a, b = (both[name].to_numpy(dtype=float, na_value=np.nan) for name in ("stored", "replayed"))
    apart, size = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
    relative = np.where(apart == 0, 0.0, apart / np.where(size == 0, 1.0, size))
    counted = (both["n_stored"] == both["n_replayed"]).fillna(False).to_numpy(dtype=bool)
    near = (relative <= TOLERANCE) | (apart <= _ABSOLUTE)  # NaN is near nothing
    frame = both[[*_KEYS, "stored", "replayed"]]
    return frame.assign(relative=relative, equal=near & counted)


def replay(
    run: Path,
    registry: Registry,
    *,
    labels: Sequence[str] | None = None,
    data_root: Sequence[str | Path] | Path | None = None,
    weights_dir: Path | None = None,
    device: str | None = None,
) -> Iterator[Replayed]:
    """Score the trials of a run again, one direction after the other.

    Parameters
    ----------
    run
        The run folder.
    labels
        Rows of the run to look at; None: all.
    data_root
        Where the dataset lies now: ``FOLDER``, or ``DATASET=FOLDER`` where the run has several.
        None: as in the run.
    weights_dir, device
        Where the weights lie now, and where to compute; None: as in the run.

    Raises
    ------
    BenchError
        When the folder is no run, has no record of what it scored, or its dataset is gone.
    """
    view = read_run(run)
    fine = set(view.trials.loc[view.trials["status"] == "ok", "trial"])
    jobs = [job for job in read_plan(run) if job.trial in fine]
    for label in labels or ():
        if label not in {job.label for job in jobs}:
            names = ", ".join(dict.fromkeys(job.label for job in jobs))
            raise BenchError(f"{run} has no finished trial of {label!r}: choose from {names}")
    jobs = [job for job in jobs if labels is None or job.label in labels]
    if not jobs:
        raise BenchError(f"{run} has no finished trial to replay")
    records = {job.trial: _record(run / "trials" / job.trial) for job in jobs}
    moved: dict[str, Any] = {}
    if weights_dir is not None:
        moved["weights_dir"] = str(weights_dir)
    if device is not None:
        moved["device"] = device
    roots = _roots(jobs, data_root)
    datasets = {
        job.dataset_label: _opened(job, registry, roots)
        for job in {job.dataset_label: job for job in jobs}.values()
    }
    decoded: dict[str, Decoded] = {label: {} for label in datasets}
    with TemporaryDirectory(prefix="bench-replay-") as features:
        for job in jobs:
            dataset, record = datasets[job.dataset_label], records[job.trial]
            known = {name for entry in record.values() for name in entry.metrics}
            precomputed = registry.method(job.method).precomputed
            workspace = Workspace(
                job.elsewhere(
                    metrics=tuple(name for name in registry.metrics if name in known), **moved
                ),
                run,
                registry,
                _quiet,
                decoded=decoded[job.dataset_label],
                # As it is now, not as it was planned: what changed is to be named, not refused.
                dataset=dataset,
                # The run has its copies: where they came from need not be there any more.
                precomputed=_kept(job, dataset, record) if precomputed else None,
            )
            rows = view.measurements[view.measurements["trial"] == job.trial]
            # Timings are no scores: no picture gives them again.
            rows = rows[~rows["kind"].isin(["throughput", "resource"])]
            for direction in workspace.directions:
                stored = rows[rows["direction"] == direction.name]
                if direction.name not in record:
                    raise BenchError(
                        f"{workspace.folder / SCORED} has no record of {direction.name}"
                    )
                yield _replay(workspace, direction, record[direction.name], stored, Path(features))


def _replay(
    workspace: Workspace,
    direction: Direction,
    record: _Record,
    stored: pd.DataFrame,
    features: Path,
) -> Replayed:
    before = record.pictures
    folder = workspace.outputs(direction)
    changed = [
        Changed("output file", name, "gone")
        for name in before["outputs"]
        if not _reads(folder / f"{name}.png")
    ]
    now = {item.id for item in workspace.inputs(direction)}
    measured: list[Measurement] = []
    if not changed and now == before["inputs"].keys():
        data = score.pictures(workspace, direction)
        measured, networks = score.measure(workspace, data, features=features)
        changed += changes(before, picture_hashes(data, workspace.job.samples))
        changed += changes({"network": record.networks}, {"network": networks})
    else:
        # Without all pictures there is nothing that could be compared.
        gone = {"inputs": dict.fromkeys(now, "")}
        changed += [
            change
            for change in changes({"inputs": before["inputs"]}, gone)
            if change.how != "changed"
        ]
    rows = [[getattr(one, name) for name in (*_KEYS, "value", "n")] for one in measured]
    return Replayed(
        label=workspace.job.label,
        dataset=workspace.job.dataset_label,
        seed=workspace.job.seed,
        direction=direction.name,
        changed=tuple(changed),
        code_changed=record.code != score.code(workspace),
        rows=compare_values(stored, pd.DataFrame(rows, columns=[*_KEYS, "value", "n"])),
    )


def _roots(jobs: Sequence[Job], given: Sequence[str | Path] | Path | None) -> Mapping[str, Path]:
    """Where datasets lie now, by their labels."""
    texts = [str(given)] if isinstance(given, str | Path) else [str(text) for text in given or ()]
    labels = list(dict.fromkeys(job.dataset_label for job in jobs))
    roots: dict[str, Path] = {}
    for text in texts:
        label, equals, folder = text.partition("=")
        if equals and label in labels:
            roots[label] = Path(folder)
        elif len(labels) == 1:
            roots[labels[0]] = Path(text)
        else:
            raise BenchError(
                f"--data-root {text!r}: the run has several datasets, write DATASET=FOLDER with "
                f"one of {', '.join(labels)}"
            )
    return roots


def _opened(job: Job, registry: Registry, roots: Mapping[str, Path]) -> Dataset:
    """The dataset of a job, where it lies now."""
    spec = registry.dataset(job.dataset)
    config = with_root(spec, job.dataset_config, roots.get(job.dataset_label))
    return open_dataset(
        spec, config, Path(job.cache), offline=job.offline, progress=lambda _text: None
    )


@dataclass(frozen=True)
class _Record:
    """What is read of the manifest of one direction; see :mod:`bench.metrics.manifest`."""

    code: str
    metrics: list[str]
    networks: dict[str, str]
    pictures: dict[str, dict[str, str]]


_RECORDS = TypeAdapter(dict[str, _Record])


def _record(folder: Path) -> Mapping[str, _Record]:
    file = folder / SCORED
    try:
        records = _RECORDS.validate_json(file.read_bytes())
        if not all({"inputs", "outputs"} <= one.pictures.keys() for one in records.values()):
            raise ValueError("it names no pictures")
    except (OSError, ValidationError, ValueError):
        raise BenchError(
            f"{file} is missing or damaged: only a run that recorded what it scored can be replayed"
        ) from None
    return records


def _directions(job: Job, dataset: Dataset) -> list[Direction]:
    return [Direction.parse(text, dataset.domains) for text in job.directions]


def _kept(job: Job, dataset: Dataset, record: Mapping[str, _Record]) -> Precomputed:
    directions = [one for one in _directions(job, dataset) if one.name in record]
    outputs = {
        one.key: dict.fromkeys(record[one.name].pictures["inputs"], ()) for one in directions
    }
    return Precomputed(outputs, job.samples, (), "")


def _reads(path: Path) -> bool:
    try:
        read_image(path)
    except BenchError:
        return False
    return True


def _quiet(_event: Event) -> None:
    pass
