"""What metrics give, and what makes a run believable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bench.api.specs import Kind

Verdict = Literal["valid", "remarks", "invalid"]
"""What may be said of a run: its numbers hold, hold with remarks, or do not."""


@dataclass(frozen=True)
class Measurement:
    """One number, with what is needed to believe it.

    Parameters
    ----------
    metric, kind, value, unit, higher_is_better
        What was measured.
    n
        How many images (or timings) it rests on.
    low, high, interval
        The interval and the method that made it; None where there is none.
    extractor
        The pretrained network behind the number, always named where there is one.
    subset
        ``all`` or ``clean`` (test images that are not also training images).
    per_sample
        The same metric for single outputs: ``(input id, sample, value)``.
    """

    metric: str
    kind: Kind
    value: float
    unit: str = ""
    higher_is_better: bool | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    extractor: str | None = None
    subset: Literal["all", "clean"] = "all"
    per_sample: Iterable[tuple[str, int, float]] = ()


@dataclass(frozen=True)
class Check:
    """One reason to believe a run, or not to.

    Parameters
    ----------
    name
        What was looked at, as a statement that holds when the check passes.
    severity
        The verdict on a run in which it fails: ``remarks`` or ``invalid``.
    passed
        None where it could not be checked.
    detail
        What was found, in one line.
    """

    name: str
    severity: Literal["remarks", "invalid"]
    passed: bool | None
    detail: str

    @property
    def verdict(self) -> Verdict:
        """What this check alone makes of the run."""
        return self.severity if self.passed is False else "valid"
