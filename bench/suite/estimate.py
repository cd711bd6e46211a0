"""What a trial will cost, from what trials of the same kind cost on this machine before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import Budget
from bench.storage.cache import Cache, key_of
from bench.storage.files import write_json
from bench.storage.jobs import Job

STAGES = ("fit", "translate", "score", "time")
_REMEMBERED = 8
"""Of each pace so many are kept, the latest."""


@dataclass(frozen=True)
class Range:
    """The least and the most that something may be."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, times: float) -> Range:
        return Range(self.low * times, self.high * times)

    @property
    def middle(self) -> float:
        """The geometric mean of both."""
        return float((self.low * self.high) ** 0.5)


def _pace_file(job: Job, cache: Path) -> Path:
    key = key_of(method=job.method, config=job.config, size=job.size, device=job.device)
    return cache / "paces" / f"{key}.json"


def _paces(job: Job, cache: Path) -> dict[str, list[float]]:
    """What is known; a file that is damaged knows nothing."""
    with suppress(OSError, ValueError):
        values = json.loads(_pace_file(job, cache).read_text("utf-8"))
        if isinstance(values, dict):
            lists = {name: v if isinstance(v, list) else [v] for name, v in values.items()}
            numbers = {n: [x for x in v if isinstance(x, int | float)] for n, v in lists.items()}
            return {name: found for name, found in numbers.items() if found}
    return {}


def remember_pace(job: Job, row: Mapping[str, Any], images: int, cache: Path) -> None:
    """Keep how long a finished trial took per iteration, per output and for its timing."""
    cached = str(row.get("cached") or "").split("+")
    outputs, found = images * job.samples, {}
    if "fit" not in cached and row.get("iterations") and row.get("fit_seconds"):
        found["iteration"] = row["fit_seconds"] / row["iterations"]
    if "translate" not in cached and outputs and row.get("translate_seconds"):
        found["output"] = row["translate_seconds"] / outputs
    if "score" not in cached and outputs and row.get("score_seconds"):
        found["score"] = row["score_seconds"] / outputs
    if "time" not in cached and row.get("time_seconds"):
        found["time"] = row["time_seconds"]
    if found:
        paces = _paces(job, cache)
        for name, pace in found.items():
            paces[name] = [*paces.get(name, []), pace][-_REMEMBERED:]
        write_json(_pace_file(job, cache), paces)


def is_fitted(job: Job, cache: Path) -> bool:
    """Return whether nothing has to be trained: there is no training, or its result is kept."""
    return not job.budget or Cache(cache).has("fit", job.fit_key)


def measured(job: Job, images: int, cache: Path) -> dict[str, Range]:
    """Return the seconds of the stages of a trial, where they are known from earlier ones.

    A stage lasts from the shortest of the paces that were measured to the longest.
    """
    paces, outputs = _paces(job, cache), images * job.samples
    amounts = {"translate": ("output", outputs), "score": ("score", outputs), "time": ("time", 1)}
    found = {}
    if is_fitted(job, cache):
        found["fit"] = Range()
    elif (seconds := Budget.parse(job.budget).seconds) is not None:
        found["fit"] = Range(seconds, seconds)
    else:
        amounts["fit"] = ("iteration", Budget.parse(job.budget).iterations or 0)
    for stage, (pace, amount) in amounts.items():
        if pace in paces:
            found[stage] = Range(min(paces[pace]), max(paces[pace])) * amount
    return found


def expected_seconds(job: Job, images: int, cache: Path) -> float | None:
    """Return how long a trial takes by measured paces; None where a stage has none."""
    known = measured(job, images, cache)
    return sum(known[stage].middle for stage in STAGES) if len(known) == len(STAGES) else None
