"""What a report sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.metrics import Verdict
from bench.api.specs import Column, Rule

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Anchor:
    """A baseline of a run: what it stands for, and what metrics must say about it."""

    role: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Declared:
    """What the plugins of a run declared, kept with it: the page needs no plugin to be there.

    Parameters
    ----------
    columns
        Every measurement that was declared, by name.
    anchors
        The baselines, by method name.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)
    anchors: Mapping[str, Anchor] = field(default_factory=dict)


@dataclass(frozen=True)
class RunView:
    """A finished run as a report sees it: its tables and the facts around them.

    The tables' columns are described in :mod:`bench.storage.tables`.
    """

    path: Path
    suite: Mapping[str, Any]
    environment: Mapping[str, Any]
    trials: pd.DataFrame
    measurements: pd.DataFrame
    samples: pd.DataFrame
    timings: pd.DataFrame
    losses: pd.DataFrame
    comparisons: pd.DataFrame
    checks: pd.DataFrame
    declared: Declared = Declared()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of any check: ``valid``, ``remarks`` or ``invalid``."""
        found = set(self.checks["verdict"])
        worst: Verdict = "invalid" if "invalid" in found else "remarks"
        return worst if found - {"valid"} else "valid"
