"""A validated suite becomes the list of trials, with what is skipped, and why.

Planning makes the dataset available (it must be known what there is) and touches neither
torch nor a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError, Budget, Dataset, Direction
from bench.data.given import Stock, take_stock
from bench.data.job import Job, open_dataset, with_root
from bench.plugins import Registry, make_config, resolve
from bench.storage.cache import key_of
from bench.training.key import fit_key

if TYPE_CHECKING:
    from bench.api import DatasetSpec, MethodSpec
    from bench.suite.schema import MethodEntry, Suite


def dataset_config(spec: DatasetSpec, suite: Suite) -> dict[str, Any]:
    """The dataset's configuration: the preset's, then what the suite says.

    ``root`` and ``size`` of the suite reach a dataset whose configuration has such a field.

    Raises
    ------
    BenchError
        When a root is given to a dataset that lives in no folder, or a value is wrong.
    """
    values: dict[str, Any] = dict(spec.presets.get(suite.preset, {}))
    if "size" in spec.config.model_fields:
        values["size"] = suite.size
    values |= suite.dataset.config
    values = with_root(spec, values, suite.dataset.root)
    return make_config("dataset", spec.name, spec.config, values).model_dump(mode="json")


def _skip_reason(spec: MethodSpec, dataset: Dataset, directions: tuple[Direction, ...]) -> str:
    if spec.paired and not dataset.paired:
        return f"{spec.name} trains on pairs, and this dataset has none"
    missing = [d.name for d in directions if d.key not in spec.directions]
    if missing:
        return f"{spec.name} cannot go {', '.join(missing)}"
    return ""


def _trial_id(entry: MethodEntry, seed: int, key: str) -> str:
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", entry.title).strip("-.")[:40] or "method"
    # The whole title is hashed too: what is readable of two labels may be the same.
    return f"{label}-s{seed}-{key_of(title=entry.title, fit=key)[:8]}"


@dataclass(frozen=True)
class Plan:
    """The trials of a suite on an opened dataset."""

    jobs: tuple[Job, ...]
    dataset: Dataset
    directions: tuple[Direction, ...]


def make_plan(
    suite: Suite,
    registry: Registry,
    cache: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Turn a suite into trials.

    Raises
    ------
    BenchError
        On a name, value or folder that is wrong; nothing has been written then, but for
        what the dataset keeps in its cache.
    """
    specs = [registry.method(entry.name) for entry in suite.methods]
    for name in suite.metrics or ():
        registry.metric(name)
    resolved = [_method_config(s, e, suite) for s, e in zip(specs, suite.methods, strict=True)]
    dataset_spec = registry.dataset(suite.dataset.name)
    data_config = dataset_config(dataset_spec, suite)
    if suite.weights_dir is not None and not suite.weights_dir.is_dir():
        raise BenchError(f"--weights-dir {suite.weights_dir} is not a folder")

    dataset = open_dataset(
        dataset_spec, data_config, cache, offline=suite.offline, progress=progress
    )
    directions = tuple(Direction.parse(text, dataset.domains) for text in suite.directions)
    if len({d.key for d in directions}) != len(directions):
        raise BenchError("a direction is named twice")
    for split in ("train", "test"):
        for domain, name in zip(("a", "b"), dataset.domains, strict=True):
            if not dataset.split(split, domain):  # type: ignore[arg-type]
                raise BenchError(f"dataset {dataset_spec.name} has no {split} images of {name}")
    fingerprint = dataset.fingerprint()
    pretrained = [
        _pretrained(spec, config, suite) for spec, (config, _) in zip(specs, resolved, strict=True)
    ]
    stocks = [
        _stock(spec, entry, config, suite, dataset, directions) if spec.precomputed else None
        for spec, entry, (config, _) in zip(specs, suite.methods, resolved, strict=True)
    ]
    for entry, stock in zip(suite.methods, stocks, strict=True):
        for problem in stock.problems if stock else ():
            progress(f"{entry.title}: {problem}")
    jobs = []
    for seed in suite.seeds:
        for spec, entry, (config, budget), (digest, title), stock in zip(
            specs, suite.methods, resolved, pretrained, stocks, strict=True
        ):
            if stock is not None and seed != suite.seeds[0]:
                continue  # pictures that exist already know no seed
            weights = _weights_digest(entry)
            made = _samples(spec, suite, stock)
            key = fit_key(
                spec,
                config=config,
                given=stock.digest if stock else "",
                data=fingerprint,
                size=suite.size,
                seed=seed,
                budget=budget,
                precision=suite.precision,
                weights=weights,
                pretrained=digest,
                device=suite.device,
            )
            jobs.append(
                Job(
                    trial=_trial_id(entry, seed, key),
                    method=spec.name,
                    label=entry.title,
                    config=config,
                    budget=budget,
                    weights=str(entry.weights.resolve()) if entry.weights else None,
                    dataset=dataset_spec.name,
                    dataset_config=data_config,
                    fingerprint=fingerprint,
                    directions=tuple(
                        d.key for d in directions if stock is None or d.key in stock.outputs
                    ),
                    size=suite.size,
                    samples=made,
                    repeats=suite.samples if made == 1 else 1,
                    seed=seed,
                    test_limit=suite.test_limit,
                    metrics=suite.metrics,
                    device=suite.device,
                    precision=suite.precision,
                    weights_dir=str(suite.weights_dir.resolve()) if suite.weights_dir else None,
                    offline=suite.offline,
                    plugins=tuple(str(file) for file in registry.files),
                    cache=str(cache),
                    fit_key=key,
                    pretrained=title,
                    skip=_skip_reason(spec, dataset, directions),
                    given=stock.digest if stock else "",
                    allow_missing=suite.allow_missing,
                )
            )
    return Plan(tuple(jobs), dataset, directions)


def _stock(
    spec: MethodSpec,
    entry: MethodEntry,
    config: dict[str, Any],
    suite: Suite,
    dataset: Dataset,
    directions: tuple[Direction, ...],
) -> Stock:
    """The pictures of a method that were made elsewhere."""
    made = make_config("method", entry.title, spec.config, config)
    return take_stock(
        resolve(spec.implementation)(made),
        entry.title,
        dataset,
        directions,
        size=suite.size,
        samples=suite.samples,
        test_limit=suite.test_limit,
        allow_missing=suite.allow_missing,
    )


def _samples(spec: MethodSpec, suite: Suite, stock: Stock | None) -> int:
    """Outputs made for each input."""
    if stock is not None:
        return stock.samples
    return suite.samples if spec.multimodal else 1


def _method_config(
    spec: MethodSpec, entry: MethodEntry, suite: Suite
) -> tuple[dict[str, Any], str]:
    """The validated configuration of a method, and its budget as text ("" when not trained)."""
    if entry.weights is not None:
        if not spec.trained:
            raise BenchError(f"method {entry.title} takes no trained weights")
        # The file brings the widths; only what the user says himself may stand beside them.
        if not entry.weights.is_file():
            raise BenchError(f"weights {entry.weights} of method {entry.title} do not exist")
        given = make_config("method", entry.title, spec.config, entry.config)
        return given.model_dump(mode="json", include=set(entry.config)), ""
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


def _pretrained(spec: MethodSpec, config: dict[str, Any], suite: Suite) -> tuple[str, str]:
    """SHA-256 and title of the pretrained file a method will use: one here, else to be had.

    Raises
    ------
    BenchError
        When a file of that name is here but its content is another.
    """
    from bench.storage.weights import find, sha256_of, title_of

    chosen = make_config("method", spec.name, spec.config, config).pretrained()
    files = spec.weights if chosen is None else chosen
    for file in files:
        path = find(file, weights_dir=suite.weights_dir, offline=True)
        if path is not None:
            return sha256_of(path), title_of(file, path)
    published = [file for file in files if file.url and file.sha256 and not suite.offline]
    return (published[0].sha256, published[0].name) if published else ("", "")


def _weights_digest(entry: MethodEntry) -> str:
    from bench.storage.weights import sha256_of

    return "" if entry.weights is None else sha256_of(entry.weights)
