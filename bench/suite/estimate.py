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


@dataclass(frozen=True)
class Estimate:
    """Seconds, as far as known, and a phrase for people."""

    seconds: float | None
    text: str


def _pace_file(job: Job, cache: Path) -> Path:
    key = key_of(method=job.method, config=job.config, size=job.size, device=job.device)
    return cache / "paces" / f"{key}.json"


def _paces(job: Job, cache: Path) -> dict[str, float]:
    """What is known; a file that is damaged knows nothing."""
    with suppress(OSError, ValueError):
        values = json.loads(_pace_file(job, cache).read_text("utf-8"))
        if isinstance(values, dict):
            return {name: pace for name, pace in values.items() if isinstance(pace, int | float)}
    return {}


def remember_pace(job: Job, row: Mapping[str, Any], images: int, cache: Path) -> None:
    """Keep how long a finished trial took per iteration and per output."""
    cached = str(row.get("cached") or "").split("+")
    paces = _paces(job, cache)
    if "fit" not in cached and row.get("iterations") and row.get("fit_seconds"):
        paces["iteration"] = row["fit_seconds"] / row["iterations"]
    if "translate" not in cached and images and row.get("translate_seconds"):
        paces["output"] = row["translate_seconds"] / (images * job.samples)
    if "score" not in cached and row.get("score_seconds"):
        paces["rest"] = row["score_seconds"] + (row.get("time_seconds") or 0.0)
    if paces:
        write_json(_pace_file(job, cache), paces)


def estimate(job: Job, images: int, cache: Path) -> Estimate:
    """The cost of a trial: known paces times its budget and outputs; cached stages cost nothing."""
    paces = _paces(job, cache)
    fitted = not job.budget or Cache(cache).get("fit", job.fit_key) is not None
    fit = 0.0
    if not fitted:
        budget = Budget.parse(job.budget)
        if budget.seconds is not None:
            fit = budget.seconds
        elif "iteration" in paces:
            fit = paces["iteration"] * (budget.iterations or 0)
        else:
            return Estimate(None, "unknown until it has run once here")
    if "output" not in paces:
        known = "fit is cached; " if fitted and job.budget else ""
        return Estimate(fit or None, f"{known}translation unknown until it has run once here")
    seconds = fit + paces["output"] * images * job.samples + paces.get("rest", 0.0)
    note = " (fit is cached)" if fitted and job.budget else ""
    return Estimate(seconds, f"{seconds:.0f} s{note}")
