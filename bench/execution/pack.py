"""A trial of a run becomes a trained model with a name: weights in half precision, and a card.

All that the card tells is read from the run; what nobody can read there, the licence and what
the model is bad at, is said by who packs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from pydantic import ValidationError

from bench.analysis.columns import hardware_name
from bench.api import BenchError, Context
from bench.data.opening import build_dataset
from bench.execution.stages.fit import WEIGHTS
from bench.plugins import load_weights, make_config
from bench.storage.files import check_writable, file_sha256, write_atomic
from bench.storage.jobs import read_plan
from bench.storage.models import Card, Model, Score, Training, Waypoint, halved, write_card
from bench.storage.tables import core_hours, read_run
from bench.storage.weights import read_state
from bench.training.loop import kept_weights

if TYPE_CHECKING:
    from bench.api import RunView
    from bench.plugins import Registry
    from bench.storage.jobs import Job


@dataclass(frozen=True)
class _Trial:
    """A trial of a run that ended well, and the file among its weights that is meant."""

    run: RunView
    job: Job
    facts: Any
    kept: Path | None

    @property
    def weights(self) -> Path:
        if self.kept is not None:
            return self.kept
        return self.run.path / "trials" / self.job.trial / "checkpoints" / WEIGHTS

    def spent(self) -> tuple[int, float]:
        """Iterations and hours of training."""
        if self.kept is not None:
            then = kept_weights(self.kept)
            return then.iteration, then.seconds / 3600
        if pd.isna(self.facts["iterations"]):
            raise BenchError(f"{self.job.label} kept no record of its iterations")
        return int(self.facts["iterations"]), float(self.facts["fit_seconds"]) / 3600

    def scores(self) -> tuple[Score, ...]:
        """Its headline numbers, those of speed aside."""
        rows = self.run.measurements
        if self.kept is not None:
            curves = self.run.curves
            rows = curves[curves["iteration"] == kept_weights(self.kept).iteration]
        return tuple(Score(**row) for row in self._headline(rows))

    def curve(self) -> tuple[Waypoint, ...]:
        """The headline numbers of its way, where it was scored then."""
        rows = self.run.curves.assign(core_hours=core_hours(self.run.curves))
        rows = rows[rows["iteration"] <= self.spent()[0]]
        return tuple(
            Waypoint(**row | {"core_hours": float(format(row["core_hours"], ".4g"))})
            for row in self._headline(rows, "iteration", "core_hours")
        )

    def _headline(self, rows: pd.DataFrame, *more: str) -> Iterator[dict[str, Any]]:
        rows = rows[
            (rows["trial"] == self.job.trial) & ~rows["kind"].isin(["throughput", "resource"])
        ]
        names = ["direction", "metric", "value", "low", "high", "n", "subset", "extractor", *more]
        for row in rows[names].astype(object).to_dict("records"):
            column = self.run.declared.column(row["metric"])
            if column is not None and column.headline is not None:
                there = {str(k): v for k, v in row.items() if not pd.isna(v)}
                yield {"dataset": self.job.dataset, **there}


def pack(
    source: Path,
    name: str,
    out: Path,
    registry: Registry,
    *,
    license: str,
    bad_at: Sequence[str] = (),
    url: str = "",
    scored: Path | None = None,
) -> Model:
    """Write ``<method>-<name>.safetensors`` and the card beside it.

    Parameters
    ----------
    source
        ``RUN/LABEL``, ``RUN/trials/TRIAL``, or a file in a trial's ``checkpoints/kept``.
    name
        What the model is called, after its method.
    out
        The folder.
    license, bad_at
        Under which the weights may be used; what they are bad at, a sentence each.
    url
        Where the weights are published, when they are not shipped.
    scored
        The trial of another run that loaded this very model; its scores stand on the card
        instead of those of `source`.

    Raises
    ------
    BenchError
        When there is no such trial, it was not trained, or its weights do not fit float16.
    """
    trial = _trial(source)
    job = trial.job
    if not job.budget:
        raise BenchError(f"{job.label} was not trained in this run: pack the run that trained it")
    spec = registry.method(job.method)
    check_writable(out)
    file = out / f"{job.method}-{name}.safetensors"
    card = _card(trial, name, file, registry, license=license, bad_at=tuple(bad_at), url=url)
    from safetensors.torch import save

    write_atomic(file, save(halved(read_state(trial.weights))))
    card = card.model_copy(update={"sha256": file_sha256(file)})
    load_weights(spec, card.title, file, Context(torch.device("cpu")), card.training.config)
    if scored is not None:
        other = _trial(scored)
        if f"(sha256 {card.sha256[:16]})" not in other.job.pretrained:
            raise BenchError(f"{scored} did not load {card.title}: its scores are of other weights")
        card = card.model_copy(update={"scores": other.scores()})
    write_card(file.with_suffix(".json"), card)
    return Model(card, file.with_suffix(".json"))


def _card(trial: _Trial, name: str, file: Path, registry: Registry, **said: Any) -> Card:
    """The card, but for the hash of weights that are not written yet."""
    job, environment = trial.job, trial.run.environment
    method, dataset = registry.method(job.method), registry.dataset(job.dataset)
    config = make_config("method", job.label, method.config, job.config)
    data = make_config("dataset", job.dataset_label, dataset.config, job.dataset_config)
    iterations, hours = trial.spent()
    try:
        return Card(
            name=name,
            method=job.method,
            file=file.name,
            sha256="0" * 64,
            domains=build_dataset(dataset, job.dataset_config, None).domains,
            size=job.size,
            trained_on=dataset.summary,
            training=Training(
                dataset=job.dataset,
                # Where it lay is nobody's business.
                dataset_config=data.model_dump(
                    mode="json", exclude_defaults=True, exclude={"root"}
                ),
                fingerprint=job.fingerprint,
                size=job.size,
                config=config.model_dump(mode="json", exclude_defaults=True),
                budget=job.budget,
                begun_with=job.pretrained if job.weights else "",
                seed=job.seed,
                precision=trial.facts["precision"],
                iterations=iterations,
                hours=float(format(hours, ".4g")),
                hardware=hardware_name(environment, trial.facts["device"]),
                version=environment.get("versions", {}).get("translation-bench", ""),
                commit=environment.get("commit", ""),
            ),
            scores=trial.scores(),
            curve=trial.curve(),
            **said,
        )
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BenchError(f"model card: {place}: {error.errors()[0]['msg']}") from None


def _trial(path: Path) -> _Trial:
    """The trial that ``RUN/LABEL``, its folder, or a file of weights in that folder means."""
    place = path.resolve()
    run = next((up for up in place.parents if (up / "suite.toml").is_file()), None)
    if run is None:
        raise BenchError(f"{path}: write RUN/LABEL, with the folder of a run")
    first, *rest = place.relative_to(run).parts
    wanted, *inside = rest if first == "trials" and rest else [first]
    jobs = [job for job in read_plan(run) if wanted in (job.label, job.trial)]
    if len(jobs) != 1:
        known = ", ".join(job.trial for job in jobs or read_plan(run))
        raise BenchError(f"{path}: name one of the trials {known}")
    view = read_run(run)
    facts = view.trials[view.trials["trial"] == jobs[0].trial]
    if facts.empty or facts.iloc[0]["status"] != "ok":
        raise BenchError(f"{path} did not end well: there is nothing to pack")
    return _Trial(view, jobs[0], facts.iloc[0], place if inside else None)
