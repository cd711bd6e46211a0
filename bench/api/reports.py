"""What a report sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.metrics import Verdict

if TYPE_CHECKING:
    import pandas as pd


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
    checks: pd.DataFrame

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of any check: ``valid``, ``remarks`` or ``invalid``."""
        found = set(self.checks["verdict"])
        worst: Verdict = "invalid" if "invalid" in found else "remarks"
        return worst if found - {"valid"} else "valid"
