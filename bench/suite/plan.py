"""A validated suite becomes the list of trials, with what is skipped, and why.

Planning makes the datasets available (it must be known what there is) and touches neither
torch nor a GPU.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.api import BenchError, Budget, MethodSpec
from bench.data.encoding import Encoding
from bench.data.precomputed import NothingToScore, Precomputed, match_precomputed
from bench.plugins import Registry, make_config, resolve
from bench.storage.cache import key_of
from bench.storage.files import folder_name
from bench.storage.jobs import DatasetPart, Job, MachinePart, MethodPart, ScoringPart
from bench.storage.models import Card, open_model
from bench.storage.weights import find, sha256_of, title_of
from bench.suite.datasets import PlannedDataset, Progress, open_datasets
from bench.suite.presets import FOR_GPUS
from bench.suite.schema import MethodEntry, Suite
from bench.training.key import fit_key


@dataclass(frozen=True)
class Plan:
    """The trials of a suite on its opened datasets: seed by seed, then dataset, then method."""

    jobs: tuple[Job, ...]
    datasets: tuple[PlannedDataset, ...]

    def dataset_of(self, job: Job) -> PlannedDataset:
        """Return the dataset of a trial."""
        return next(data for data in self.datasets if data.label == job.dataset_label)


@dataclass(frozen=True)
class _Entrant:
    """One method of a suite: what is known of it before any dataset."""

    entry: MethodEntry
    spec: MethodSpec
    config: dict[str, Any]
    budget: str
    card: Card | None
    """Of the trained model that it is; one that is trained on is that model no more."""
    weights: Path | None
    """A file of trained weights: what it is, or where its training begins."""
    pretrained: tuple[str, str] = ("", "")
    """SHA-256 and title of the pretrained file it will use."""

    @property
    def loaded(self) -> tuple[str, str]:
        """SHA-256 and title of its trained weights; empty where it is not loaded."""
        if self.weights is None:
            return "", ""
        digest = sha256_of(self.weights)
        title = self.card.title if self.card else self.weights.name
        return digest, f"{title} (sha256 {digest[:16]})"

    def runs_on(self, data: PlannedDataset, datasets: Sequence[PlannedDataset]) -> bool:
        """Whether a dataset is for it: a model's own, where that is among them."""
        own = self.card.training.dataset if self.card else ""
        return data.spec.name == own or own not in {one.spec.name for one in datasets}


def make_plan(
    suite: Suite, registry: Registry, cache: Path, *, progress: Progress = lambda _: None
) -> Plan:
    """Turn a suite into trials.

    Raises
    ------
    BenchError
        On a name, value or folder that is wrong; nothing has been written then, but for
        what the datasets keep in their caches.
    """
    entrants = [_entrant(entry, suite, registry) for entry in suite.methods]
    scoring = _scoring(suite, registry)
    if suite.weights_dir is not None and not suite.weights_dir.is_dir():
        raise BenchError(f"--weights-dir {suite.weights_dir} is not a folder")
    datasets = open_datasets(suite, registry, cache, progress)
    entrants = [_with_pretrained(entrant, suite) for entrant in entrants]
    found = _all_precomputed(entrants, datasets, suite, progress)
    recoded = {data.label: _recoded(data, entrants, found, suite, registry) for data in datasets}
    device = _device(suite)
    if suite.preset in FOR_GPUS and suite.device == "auto" and device == "cpu":
        progress(
            f"no GPU was found: the preset {suite.preset} takes weeks on a CPU (a cluster's "
            "GPU is asked for with --device cuda)"
        )
    machine = MachinePart(
        device=suite.device,
        precision=_precision(suite.precision, device),
        weights_dir=str(suite.weights_dir.resolve()) if suite.weights_dir else None,
        offline=suite.offline,
        plugins=tuple(str(file) for file in registry.files),
        cache=str(cache),
    )

    def needs(entrant: _Entrant, data: PlannedDataset) -> MachinePart:
        options = (*scoring.metric_options, *scoring.extractors)
        names = registry.needed(entrant.spec.name, data.spec.name, suite.metrics, options)
        own = entrant.entry.precision
        return replace(
            machine, needs=names, precision=_precision(own, device) if own else machine.precision
        )

    jobs = [
        _job(entrant, data, precomputed, seed, suite, scoring, needs(entrant, data))
        for seed in suite.seeds
        for data in datasets
        for entrant, precomputed in [
            *zip(entrants, found[data.label], strict=True),
            *((anchor, None) for anchor in recoded[data.label]),
        ]
        # Pictures that exist already know no seed, and a model was trained with one.
        if not (entrant.spec.precomputed or entrant.card) or seed == suite.seeds[0]
        if entrant.runs_on(data, datasets)
    ]
    places = [(job.label, job.dataset_label, job.seed) for job in jobs]
    for label, dataset, seed in places:
        if places.count((label, dataset, seed)) > 1:
            raise BenchError(
                f"{label} is there twice on {dataset} with seed {seed}: give each its own label"
            )
    return Plan(tuple(jobs), datasets)


def _job(
    entrant: _Entrant,
    data: PlannedDataset,
    precomputed: Precomputed | str | None,
    seed: int,
    suite: Suite,
    scoring: ScoringPart,
    machine: MachinePart,
) -> Job:
    """One method on one dataset with one seed; text for `precomputed` is why it is skipped."""
    entry, spec, weights = entrant.entry, entrant.spec, entrant.weights
    seed = entrant.card.training.seed if entrant.card else seed
    digest, loaded = entrant.loaded
    found = precomputed if isinstance(precomputed, Precomputed) else None
    made = found.samples if found else suite.samples if spec.multimodal else 1
    key = fit_key(
        spec,
        config=entrant.config,
        given=found.digest if found else "",
        data=data.fingerprint,
        size=data.size,
        seed=seed,
        budget=entrant.budget,
        precision=machine.precision,
        weights=digest,
        pretrained=entrant.pretrained[0],
        device=suite.device,
    )
    return Job(
        trial=_trial_id(entry, data, seed, key, several=len(suite.datasets) > 1),
        seed=seed,
        fit_key=key,
        method_part=MethodPart(
            name=spec.name,
            label=entry.title,
            config=entrant.config,
            budget=entrant.budget,
            weights=str(weights) if weights else None,
            pretrained=", ".join(filter(None, [loaded, entrant.pretrained[1]])),
            samples=made,
            repeats=suite.samples if made == 1 else 1,
            given=found.digest if found else "",
            allow_missing=suite.allow_missing,
            score_at=suite.points(entrant.budget),
        ),
        dataset_part=DatasetPart(
            name=data.spec.name,
            label=data.label,
            config=data.config,
            fingerprint=data.fingerprint,
            directions=tuple(
                d.key for d in data.directions if found is None or d.key in found.outputs
            ),
            size=data.size,
            test_limit=data.test_limit,
        ),
        scoring=scoring,
        machine=machine,
        skip=precomputed if isinstance(precomputed, str) else _skip_reason(entrant, data),
    )


def _skip_reason(entrant: _Entrant, data: PlannedDataset) -> str:
    spec, card = entrant.spec, entrant.card
    if card and card.domains != data.dataset.domains:
        know, has = (" and ".join(names) for names in (card.domains, data.dataset.domains))
        return f"{card.title} knows {know}, and this dataset has {has}"
    if spec.paired and entrant.budget and not data.dataset.paired:
        return f"{spec.name} trains on pairs, and this dataset has none"
    missing = [d.name for d in data.directions if d.key not in spec.directions]
    if missing:
        return f"{spec.name} cannot go {', '.join(missing)}"
    return ""


def _trial_id(
    entry: MethodEntry, data: PlannedDataset, seed: int, key: str, *, several: bool
) -> str:
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", entry.title).strip("-.")[:40] or "method"
    where = f"-{folder_name(data.label)[:16]}" if several else ""
    # Both titles are hashed whole: what is readable of two of them may be the same.
    digest = key_of(title=entry.title, dataset=data.label, fit=key)[:8]
    return f"{label}{where}-s{seed}-{digest}"


def _device(suite: Suite) -> str:
    """Return ``cpu`` or ``cuda``: what trials will compute on, as far as this machine can know."""
    if suite.device != "auto":
        return suite.device.partition(":")[0]
    if not _may_have_gpu():
        return "cpu"
    from bench.devices import choose_device

    return choose_device("auto").type


def _precision(name: str, device: str) -> str:
    """The precision of a trial, settled here: what is planned must be what is computed.

    A login node without a GPU plans for the GPU that a suite asks for by name.
    """
    if name != "auto":
        return name
    return "tf32" if device == "cuda" else "fp32"


def _may_have_gpu() -> bool:
    """Whether torch, which takes seconds to import, has to be asked."""
    devices = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the latter below Windows
    return sys.platform != "linux" or any(device.exists() for device in devices)


# ------------------------------------------------------------------------- methods


def _entrant(entry: MethodEntry, suite: Suite, registry: Registry) -> _Entrant:
    spec = registry.method(entry.name)
    model = open_model(registry.model(entry.full_name)) if entry.model else None
    weights = entry.weights.resolve() if entry.weights else None
    if model is not None:
        weights = model.weights(weights_dir=suite.weights_dir, offline=suite.offline).resolve()
    card = model.card if model else None
    config, budget = _method_config(spec, entry, suite, card)
    return _Entrant(entry, spec, config, budget, None if budget else card, weights)


def _all_precomputed(
    entrants: Sequence[_Entrant],
    datasets: Sequence[PlannedDataset],
    suite: Suite,
    progress: Progress,
) -> dict[str, list[Precomputed | str | None]]:
    """For each dataset and method: its pictures, where they were made elsewhere.

    Pictures belong to the inputs of one dataset: on the others their method is skipped.
    """
    found: dict[str, list[Precomputed | str | None]] = {data.label: [] for data in datasets}
    for entrant in entrants:
        nothing: list[NothingToScore] = []
        for data in datasets:
            precomputed: Precomputed | str | None = None
            try:
                precomputed = _match(entrant, data, suite) if entrant.spec.precomputed else None
            except NothingToScore as error:
                nothing.append(error)
                if len(nothing) == len(datasets):
                    raise
                precomputed = str(error)
            for problem in precomputed.problems if isinstance(precomputed, Precomputed) else ():
                progress(f"{entrant.entry.title}: {problem}")
            found[data.label].append(precomputed)
    return found


def _recoded(
    data: PlannedDataset,
    entrants: Sequence[_Entrant],
    found: Mapping[str, Sequence[Precomputed | str | None]],
    suite: Suite,
    registry: Registry,
) -> list[_Entrant]:
    """Anchors that went through the same codec as pictures made elsewhere, for each such codec.

    Where that is not the codec of the real pictures, scores of detail measure it, too: these
    anchors say by how much.
    """
    of: dict[Encoding, list[str]] = {}
    for entrant, one in zip(entrants, found[data.label], strict=True):
        if isinstance(one, Precomputed) and one.encoding:
            of.setdefault(one.encoding, []).append(entrant.entry.title)
    taken = {entrant.entry.title for entrant in entrants}
    anchors = [
        MethodEntry(
            name=coder.name,
            label=f"{spec.name} as {encoding}" + (f" of {encoding.side} px" if several else ""),
            config={"of": spec.role, "like": titles, **asdict(encoding)},
        )
        for encoding, titles in of.items()
        for several in (sum(str(other) == str(encoding) for other in of) > 1,)
        for coder in registry.methods.values()
        for spec in registry.methods.values()
        if coder.role == "encoded" and spec.role in ("untouched", "real")
    ]
    return [_entrant(entry, suite, registry) for entry in anchors if entry.title not in taken]


def _match(entrant: _Entrant, data: PlannedDataset, suite: Suite) -> Precomputed:
    """The pictures of a method that were made elsewhere."""
    spec, title = entrant.spec, entrant.entry.title
    return match_precomputed(
        resolve(spec.implementation)(make_config("method", title, spec.config, entrant.config)),
        title,
        data.dataset,
        data.directions,
        size=data.size,
        samples=suite.samples,
        test_limit=suite.test_limit,
        allow_missing=suite.allow_missing,
    )


def _method_config(
    spec: MethodSpec, entry: MethodEntry, suite: Suite, card: Card | None
) -> tuple[dict[str, Any], str]:
    """The validated configuration of a method, and its budget as text ("" when not trained)."""
    if entry.weights is not None or card is not None:
        if not spec.trained:
            raise BenchError(f"method {entry.title} takes no trained weights")
        if entry.weights is not None and not entry.weights.is_file():
            raise BenchError(f"weights {entry.weights} of method {entry.title} do not exist")
        # The file brings the widths; beside them stands what its card and the user say.
        said = {**(card.training.config if card else {}), **entry.config}
        given = make_config("method", entry.title, spec.config, said)
        further = str(Budget.parse(entry.budget)) if entry.budget else ""
        return given.model_dump(mode="json", include=set(said)), further
    values = {**spec.presets.get(suite.preset, {}), **entry.config}
    if entry.root is not None:
        if "root" not in spec.config.model_fields:
            raise BenchError(f"method {spec.name} works on no folder: leave {entry.root} out")
        values["root"] = str(entry.root)
    config = make_config("method", entry.title, spec.config, values).model_dump(mode="json")
    if not spec.trained:
        return config, ""
    budget = entry.budget or suite.budget or spec.budgets.get(suite.preset)
    if budget is None:
        raise BenchError(
            f"method {spec.name} has no budget for preset {suite.preset}: give --budget"
        )
    return config, str(Budget.parse(budget))


def _with_pretrained(entrant: _Entrant, suite: Suite) -> _Entrant:
    """Name the pretrained file a method will use: one that is here, else one to be had.

    Raises
    ------
    BenchError
        When a file of that name is here but its content is another.
    """
    spec = entrant.spec
    chosen = make_config("method", spec.name, spec.config, entrant.config).pretrained()
    files = spec.weights if chosen is None else chosen
    for file in files:
        path = find(file, weights_dir=suite.weights_dir, offline=True)
        if path is not None:
            return replace(entrant, pretrained=(sha256_of(path), title_of(file, path)))
    published = [file for file in files if file.url and file.sha256 and not suite.offline]
    if not published:
        return entrant
    return replace(entrant, pretrained=(published[0].sha256, published[0].name))


# ------------------------------------------------------------------------- options


def _scoring(suite: Suite, registry: Registry) -> ScoringPart:
    """What is measured and how; also sees that options of launchers and reports are right."""
    for name in suite.metrics or ():
        registry.metric(name)
    check_options("launcher", registry.launcher, suite.launchers)
    check_options("report", registry.report, suite.reports)
    return ScoringPart(
        suite.metrics,
        check_options("metric", registry.metric, suite.metric_options),
        check_options("extractor", registry.extractor, suite.extractors),
    )


def check_options(
    kind: str, find: Callable[[str], Any], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the whole configurations of the plugins of one kind that options are given for.

    Raises
    ------
    BenchError
        When there is no such plugin, or a value is wrong.
    """
    return {
        name: make_config(kind, name, find(name).config, values).model_dump(mode="json")
        for name, values in options.items()
    }
