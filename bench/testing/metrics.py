"""What a metric promises: finite numbers, named networks, the same answer twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import A2B, Event, Measurement, MetricSpec, Picture
from bench.data.images import Pixels, pixel_digest
from bench.testing.promises import must
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


def toy_scoring_data(count: int = 12, samples: int = 2, size: int = 64) -> Any:
    """Pictures of one direction of a made-up trial, with all that a dataset may know."""
    from bench.metrics.scoring import ScoringData

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
    cache: Path | None = None,
    weights_dir: Path | None = None,
    offline: bool = True,
    data: Any = None,
) -> Sequence[Measurement]:
    """A metric keeps its contract on toy pictures, and gives what it measured.

    Checked: there is a measurement; values and intervals are finite and in order; the kind
    is one of a metric's own declaration or of the suite; `n` is given; the network behind
    the number is named exactly where there is one; values of single samples are of samples
    that exist; the same pictures give the same numbers.

    Raises
    ------
    AssertionError
        One line: the metric, and the promise it breaks.
    """
    from bench.metrics.scoring import score

    given = toy_scoring_data() if data is None else data
    events: list[Event] = []
    options: dict[str, Any] = {
        "device": torch.device("cpu"),
        "weights_dir": weights_dir,
        "offline": offline,
        "cache": cache,
        "emit": events.append,
    }
    found = score(given, [spec], **options)
    said = "; ".join(event.message for event in events if event.kind in ("log", "warning"))
    must(found, spec.name, f"it measures nothing ({said})")
    for one in found:
        _check_measurement(spec, one, given)
    again = score(given, [spec], **options)
    must(
        [(m.metric, m.value, m.low, m.high) for m in found]
        == [(m.metric, m.value, m.low, m.high) for m in again],
        spec.name,
        "the same pictures give other numbers",
    )
    return found


def _check_measurement(spec: MetricSpec, one: Measurement, data: Any) -> None:
    name = f"{spec.name} ({one.metric})"
    must(isinstance(one, Measurement), name, "it gives something else than measurements")
    must(math.isfinite(one.value), name, "the value is not finite")
    must(one.n > 0, name, "it does not say on how many pictures it rests")
    must(
        (one.low is None) == (one.high is None) == (one.interval is None), name, "half an interval"
    )
    if one.low is not None and one.high is not None:
        must(one.low <= one.high, name, "the interval is upside down")
    must(
        one.extractor is None or bool(spec.weights),
        name,
        "it names an extractor, and declares no weights",
    )
    known = {(key, k) for key in data.outputs for k in range(data.samples)}
    for key, k, value in one.per_sample:
        must((key, k) in known, name, f"sample {k} of {key} does not exist")
        must(math.isfinite(value), name, f"sample {k} of {key} has no finite value")
