"""From pictures to measurements: which metrics can be had, and each of them on each subset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.api import (
    BenchError,
    Event,
    ExtractorSpec,
    Measurement,
    MetricContext,
    MetricSpec,
    NotMeasurable,
    Subset,
)
from bench.data.images import holds_detail_of
from bench.metrics.context import ScoringContext, ScoringData
from bench.metrics.networks import MissingWeights, Networks, Options, choose
from bench.plugins import Registry, make_config, resolve


@dataclass(frozen=True)
class Availability:
    """Which network a metric would use here, and its digest; or why it cannot be had."""

    metric: str
    extractor: str | None = None
    digest: str = ""
    reason: str | None = None


def available(
    metrics: Sequence[MetricSpec],
    extractors: Mapping[str, ExtractorSpec],
    *,
    weights_dir: Path | None,
    offline: bool,
    options: Options | None = None,
) -> list[Availability]:
    """Return for each metric its network, or the reason it cannot be computed on this machine.

    Reads and downloads no weights beyond checking those that are here.

    Parameters
    ----------
    extractors
        Every network there is, by name.
    options
        Options of extractors, by name.
    """
    found = []
    for spec in metrics:
        if not spec.extractors:
            found.append(Availability(spec.name))
            continue
        try:
            chosen = choose(
                spec.extractors,
                extractors,
                weights_dir=weights_dir,
                offline=offline,
                options=options,
            )
            found.append(Availability(spec.name, chosen.name, chosen.digest))
        except BenchError as error:
            found.append(Availability(spec.name, reason=str(error)))
    return found


def score(
    data: ScoringData,
    metrics: Sequence[str],
    registry: Registry,
    *,
    device: torch.device,
    weights_dir: Path | None,
    offline: bool,
    cache: Path | None,
    emit: Callable[[Event], None],
    metric_options: Options | None = None,
    extractors: Options | None = None,
    networks: dict[str, str] | None = None,
) -> list[Measurement]:
    """Measure one direction of one trial, on all inputs and on the clean ones.

    Parameters
    ----------
    data
        The pictures.
    metrics
        Names of what to measure, in this order. What these pictures cannot give is left out
        with a warning event.
    registry
        Where metrics and the networks behind them are found.
    cache
        A folder for features, kept between runs; None: nothing is kept.
    emit
        Takes progress and warnings.
    metric_options, extractors
        Options of metrics and of extractors, by name.
    networks
        Gets the name of every network that was asked, with the digest of what it was read from.

    Returns
    -------
    list of Measurement
        Subset ``all``; and ``clean`` where any input or reference is also a training image.

    Raises
    ------
    BenchError
        When a name or an option is wrong, weights were tampered with, or pictures are broken.
    """
    shared = Networks(
        registry.extractors,
        device=device,
        weights_dir=weights_dir,
        offline=offline,
        cache=cache,
        emit=emit,
        options=extractors,
    )
    given = metric_options or {}
    for name in given:
        registry.metric(name)
    specs = [registry.metric(name) for name in metrics]
    configs = {
        spec.name: make_config("metric", spec.name, spec.config, given.get(spec.name, {}))
        for spec in specs
    }
    made: dict[str, Any] = {}
    found: list[Measurement] = []
    subsets = _subsets(data)
    for spec in _measurable(specs, data, emit):
        measure = _implementation(spec)
        for subset, pictures in subsets:
            context = ScoringContext(pictures, spec, configs[spec.name], shared, subset, made)
            try:
                found += measure(context)
            except NotMeasurable as error:
                emit(Event("warning", "score", f"{error} (subset {subset})"))
            except MissingWeights as error:
                emit(Event("warning", "score", f"{spec.name} is left out: {error}"))
                break
            except Exception as error:
                # The traceback says where; the reason of the trial must say which metric.
                error.add_note(f"in metric {spec.name}, {data.direction.name}, subset {subset}")
                raise
    if networks is not None:
        networks |= shared.asked
    return found


def _subsets(data: ScoringData) -> list[tuple[Subset, ScoringData]]:
    """Return all pictures, and the clean ones where these are others."""
    subsets: list[tuple[Subset, ScoringData]] = [("all", data)]
    # An empty clean subset cannot be scored at all, not even with a reason for each metric.
    if data.outputs.keys() - data.contaminated:
        clean = data.clean()
        if len(clean.outputs) < len(data.outputs) or len(clean.reference) < len(data.reference):
            subsets.append(("clean", clean))
    return subsets


def _implementation(spec: MetricSpec) -> Callable[[MetricContext], Iterable[Measurement]]:
    try:
        function: Callable[[MetricContext], Iterable[Measurement]] = resolve(spec.implementation)
    except BenchError as error:
        raise BenchError(f"metric {spec.name}: {error}") from error
    return function


def _unmet(spec: MetricSpec, data: ScoringData) -> str | None:
    """Return what a metric asks for and these pictures do not give."""
    if "samples" in spec.needs and data.samples < 2:
        return f"two or more samples per input, there is {data.samples}"
    if "pairs" in spec.needs and not data.truths:
        return "true translations, this dataset has none"
    if "layers" in spec.needs and not data.layers:
        return "to know what each pixel shows, this dataset does not"
    if spec.side and not holds_detail_of(data.side, spec.side):
        sides = f"{2 * spec.side} to {8 * spec.side}"
        return f"pictures of {sides} pixels a side, these have {data.side}"
    if "factors" in spec.needs and not any(p.factors for p in data.reference):
        return "the factors behind the pictures, this dataset has none"
    return None


def _measurable(
    metrics: Sequence[MetricSpec], data: ScoringData, emit: Callable[[Event], None]
) -> list[MetricSpec]:
    """Return the metrics these pictures can give; name the others, one line for each cause."""
    unmet: dict[str, list[str]] = {}
    left = []
    for spec in metrics:
        if (cause := _unmet(spec, data)) is None:
            left.append(spec)
        else:
            unmet.setdefault(cause, []).append(spec.name)
    for cause, names in unmet.items():
        verb = "needs" if len(names) == 1 else "need"
        emit(Event("log", "score", f"not measured: {', '.join(names)} ({verb} {cause})"))
    return left
