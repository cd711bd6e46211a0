"""Score a run again from the pictures it kept, and say what differs.

Nothing is taken from the run's own caches: every stored picture passes through the networks
anew, so a stale feature or an exchanged picture cannot hide behind its old number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from bench.api import BenchError, Dataset, Direction, Event
from bench.data.given import Stock
from bench.data.images import read_image
from bench.data.job import Job, open_dataset, with_root
from bench.execution.trial import SCORED, Trial
from bench.metrics.manifest import Changed, changes, picture_hashes
from bench.metrics.score import score
from bench.plugins import Registry
from bench.storage.files import read_json_lines
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
    label, seed, direction
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
    data_root: Path | None = None,
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
    data_root, weights_dir, device
        Where the dataset and the weights lie now, and where to compute; None: as in the run.

    Raises
    ------
    BenchError
        When the folder is no run, has no record of what it scored, or its dataset is gone.
    """
    view = read_run(run)
    fine = set(view.trials.loc[view.trials["status"] == "ok", "trial"])
    jobs = [job for job in _jobs(run) if job.trial in fine]
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
    spec = registry.dataset(jobs[0].dataset)
    config = with_root(spec, jobs[0].dataset_config, data_root)
    dataset = open_dataset(
        spec, config, Path(jobs[0].cache), offline=jobs[0].offline, progress=lambda _text: None
    )
    decoded: dict[Any, Any] = {}
    with TemporaryDirectory(prefix="bench-replay-") as features:
        for job in jobs:
            known = {name for record in records[job.trial].values() for name in record["metrics"]}
            metrics = tuple(name for name in registry.metrics if name in known)
            trial = Trial(
                replace(job, metrics=metrics, **moved), run, registry, _quiet, decoded=decoded
            )
            # As it is now, not as it was planned: what changed is to be named, not refused.
            trial.dataset = dataset
            if trial.spec.precomputed:
                # The run has its copies: where they came from need not be there any more.
                trial.stock = _kept(job, dataset, records[job.trial])
            rows = view.measurements[view.measurements["trial"] == job.trial]
            # Timings are no scores: no picture gives them again.
            rows = rows[~rows["kind"].isin(["throughput", "resource"])]
            for direction in _directions(job, dataset):
                stored = rows[rows["direction"] == direction.name]
                record = records[job.trial].get(direction.name)
                if record is None:
                    raise BenchError(f"{trial.folder / SCORED} has no record of {direction.name}")
                yield _replay(trial, direction, record, stored, Path(features))


def _replay(
    trial: Trial,
    direction: Direction,
    record: Mapping[str, Any],
    stored: pd.DataFrame,
    features: Path,
) -> Replayed:
    before = record["pictures"]
    folder = trial.images_folder(direction)
    changed = [
        Changed("output file", name, "gone")
        for name in before["outputs"]
        if not _reads(folder / f"{name}.png")
    ]
    now = {item.id for item in trial.inputs(direction)}
    if not changed and now == before["inputs"].keys():
        data, networks = trial.scoring_data(direction), dict[str, str]()
        measured = score(
            data,
            [spec.name for spec in trial.metrics],
            trial.registry,
            device=trial.ctx.device,
            weights_dir=trial.ctx.weights_dir,
            offline=trial.ctx.offline,
            cache=features,
            emit=_quiet,
            networks=networks,
        )
        found = picture_hashes(data, trial.job.samples)
        changed += changes(before, found)
        changed += changes({"network": record["networks"]}, {"network": networks})
        rows = [{part.name: getattr(m, part.name) for part in fields(m)} for m in measured]
    else:
        # Without all pictures there is nothing that could be compared.
        gone = {"inputs": dict.fromkeys(now, "")}
        changed += [
            change
            for change in changes({"inputs": before["inputs"]}, gone)
            if change.how != "changed"
        ]
        rows = []
    replayed = pd.DataFrame(rows, columns=[*_KEYS, "value", "n"])
    return Replayed(
        label=trial.job.label,
        seed=trial.job.seed,
        direction=direction.name,
        changed=tuple(changed),
        code_changed=record["code"] != trial.scoring_code(),
        rows=compare_values(stored, replayed),
    )


def _jobs(run: Path) -> list[Job]:
    try:
        return [Job.from_json(json.dumps(values)) for values in read_json_lines(run / "plan.jsonl")]
    except (OSError, TypeError, KeyError) as error:
        raise BenchError(
            f"{run / 'plan.jsonl'} cannot be read ({error}): the run was made by another version"
        ) from None


def _record(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        record: Mapping[str, Mapping[str, Any]] = json.loads((folder / SCORED).read_text("utf-8"))
    except (OSError, ValueError):
        raise BenchError(
            f"{folder / SCORED} is missing or damaged: only a run that recorded what it scored "
            f"can be replayed"
        ) from None
    return record


def _directions(job: Job, dataset: Dataset) -> list[Direction]:
    return [Direction.parse(text, dataset.domains) for text in job.directions]


def _kept(job: Job, dataset: Dataset, record: Mapping[str, Mapping[str, Any]]) -> Stock:
    ways = [way for way in _directions(job, dataset) if way.name in record]
    outputs = {way.key: dict.fromkeys(record[way.name]["pictures"]["inputs"], ()) for way in ways}
    return Stock(outputs, job.samples, (), "")


def _reads(path: Path) -> bool:
    try:
        read_image(path)
    except BenchError:
        return False
    return True


def _quiet(_event: Event) -> None:
    pass
