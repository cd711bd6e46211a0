"""What a metric promises: finite numbers, named networks, the same answer twice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import A2B, Event, ExtractorSpec, Measurement, MetricSpec, Picture, find_column
from bench.data.images import Pixels, pixel_digest
from bench.metrics.context import ScoringData
from bench.metrics.score import score
from bench.plugins import Registry, load_plugins
from bench.testing.promises import must, promise
from bench.testing.toys import toy_pictures


def _itself(pixels: Pixels) -> Pixels:
    return pixels


def _pictures(count: int, size: int, name: str) -> list[Picture]:
    # Each darker than the one before: a factor that any features can read.
    shade = torch.linspace(1.0, 0.2, count)[:, None, None, None]
    toys = (toy_pictures(count, size, name) * shade).to(torch.uint8)
    arrays = toys.permute(0, 2, 3, 1).contiguous().numpy()
    return [
        Picture(
            f"p{index}",
            pixel_digest(array),
            partial(_itself, array),
            {"light": float(array.mean()), "mode": "light" if array.mean() > 127 else "dark"},
        )
        for index, array in enumerate(arrays)
    ]


def _layers(size: int, index: int) -> dict[str, Pixels]:
    """Land with a hill in it, under a sky; each input has its hill elsewhere."""
    row, column = np.mgrid[:size, :size]
    far = size // 2 - row + np.abs(column - (index * size // 5) % size) // 2
    classes = (far <= 0).astype(np.uint8)
    return {"classes": classes, "depth": np.where(classes, 1 + (column + 8 * index) % 40, 255)}


def toy_scoring_data(count: int = 12, samples: int = 2, size: int = 64) -> ScoringData:
    """Return pictures of one direction of a made-up trial, with all that a dataset may know."""
    inputs = _pictures(count, size, "inputs")
    drawn = [_pictures(count, size, f"sample {k}") for k in range(samples)]
    return ScoringData(
        direction=A2B,
        domains=("a", "b"),
        outputs={one.id: [draw[i] for draw in drawn] for i, one in enumerate(inputs)},
        inputs={one.id: one for one in inputs},
        reference=_pictures(count, size, "reference"),
        reference_train=_pictures(count, size, "reference train"),
        source_train=_pictures(count, size, "source train"),
        truths={
            one.id: [near, far]
            for one, near, far in zip(
                inputs, drawn[0], _pictures(count, size, "truths"), strict=True
            )
        },
        layers={one.id: partial(_layers, size, i) for i, one in enumerate(inputs)},
        classes=("sky", "land"),
    )


def check_metric(
    spec: MetricSpec,
    *,
    options: Mapping[str, Any] | None = None,
    extractors: Sequence[ExtractorSpec] = (),
    cache: Path | None = None,
    weights_dir: Path | None = None,
    offline: bool = True,
    data: ScoringData | None = None,
) -> Sequence[Measurement]:
    """Check that a metric keeps its contract on toy pictures; return what it measured.

    Checked: it gives the number of its own name; all that it gives is declared, and is as
    declared; values and intervals are finite and in order; `n` is given; the network behind
    the number is named exactly where there is one; values of single samples are of samples
    that exist; the same pictures give the same numbers.

    Parameters
    ----------
    options
        Of the metric.
    extractors
        Networks that no installed plugin offers.

    Raises
    ------
    AssertionError
        One line: the metric, and the promise it breaks.
    """
    given = toy_scoring_data(size=max(64, 2 * spec.side)) if data is None else data
    events: list[Event] = []
    networks = load_plugins().extractors | {one.name: one for one in extractors}
    registry = Registry(metrics={spec.name: spec}, extractors=networks)

    def measure() -> list[Measurement]:
        return score(
            given,
            [spec.name],
            registry,
            device=torch.device("cpu"),
            weights_dir=weights_dir,
            offline=offline,
            cache=cache,
            emit=events.append,
            metric_options={spec.name: options or {}},
        )

    with promise("it measures", basis=True):
        found = measure()
        said = "; ".join(event.message for event in events if event.kind in ("log", "warning"))
        must(found, spec.name, f"it measures nothing ({said})")
    with promise("what it gives is declared, finite, and says on how many pictures it rests"):
        for one in found:
            _check_measurement(spec, one, given)
        must(
            spec.name in {one.metric for one in found},
            spec.name,
            "it gives no measurement of its own name",
            "make one by context.measurement",
        )
    with promise("the same pictures give the same numbers"):
        must(
            [(m.metric, m.value, m.low, m.high) for m in found]
            == [(m.metric, m.value, m.low, m.high) for m in measure()],
            spec.name,
            "the same pictures give other numbers",
            "draw from a generator of its own, of a fixed seed",
        )
    return found


def _check_measurement(spec: MetricSpec, one: Measurement, data: ScoringData) -> None:
    must(isinstance(one, Measurement), spec.name, "it gives something else than measurements")
    name = f"{spec.name} ({one.metric})"
    column = find_column(spec.columns, one.metric)
    must(column is not None, name, "it is not declared: add a Column of that name to gives")
    assert column is not None
    must(
        (one.kind, one.unit, one.higher_is_better)
        == (spec.kind, column.unit, column.higher_is_better),
        name,
        "kind, unit or better side are not as declared: make it by context.measurement",
    )
    must(math.isfinite(one.value), name, "the value is not finite")
    must(one.n > 0, name, "it does not say on how many pictures it rests")
    must(
        (one.low is None) == (one.high is None) == (one.interval is None), name, "half an interval"
    )
    if one.low is not None and one.high is not None:
        must(one.low <= one.high, name, "the interval is upside down")
    must(
        (one.extractor is None) == (not spec.extractors),
        name,
        "a metric names an extractor exactly where it declares some",
    )
    known = {(key, k) for key in data.outputs for k in range(data.samples)}
    for key, k, value in one.per_sample:
        must((key, k) in known, name, f"sample {k} of {key} does not exist")
        must(math.isfinite(value), name, f"sample {k} of {key} has no finite value")
