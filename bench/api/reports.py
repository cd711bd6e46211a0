"""What a report sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from bench.api.columns import SPEED_COLUMNS, Column, Rule, find_column
from bench.api.errors import BenchError
from bench.api.metrics import Verdict
from bench.api.specs import MethodSpec, MetricSpec, Role

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Anchor:
    """A baseline of a run: what it stands for, and what metrics must say about it."""

    role: Role = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Declared:
    """What the plugins of a run declared, kept with it: the page needs no plugin to be there.

    Parameters
    ----------
    columns
        Every measurement that was declared, by name; ask :meth:`column` for one.
    anchors
        The baselines, by method name.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)
    anchors: Mapping[str, Anchor] = field(default_factory=dict)

    @classmethod
    def of(cls, methods: Iterable[MethodSpec], metrics: Iterable[MetricSpec]) -> Declared:
        """Return what these plugins declare, and what the harness measures of every method."""
        columns = {}
        for metric in metrics:
            for column in metric.columns:
                own = column.name == metric.name and not column.meaning
                columns[column.name] = replace(column, meaning=metric.summary) if own else column
        columns |= {column.name: column for column in SPEED_COLUMNS}
        anchors = {m.name: Anchor(m.role, m.rules) for m in methods if m.baseline}
        return cls(columns, anchors)

    def column(self, metric: str) -> Column | None:
        """Return what is declared of a measurement, by its name or by the beginning of it."""
        return self.columns.get(metric) or find_column(self.columns.values(), metric)

    def __or__(self, other: Declared) -> Declared:
        """Return what either declares; where both do, `other` counts."""
        return Declared({**self.columns, **other.columns}, {**self.anchors, **other.anchors})

    def to_json(self) -> str:
        """Return it as text, for :meth:`from_json`."""
        return TypeAdapter(Declared).dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> Declared:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        BenchError
            When `text` is something else.
        """
        try:
            return TypeAdapter(Declared).validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BenchError(f"declared columns are damaged: {place} {first['msg']}") from None


@dataclass(frozen=True, eq=False)
class RunView:
    """A finished run as a report sees it: its tables and the facts around them.

    The tables' columns are described in :mod:`bench.storage.tables`. Nobody changes them: what
    is derived from a run is derived once (:func:`dataclasses.replace` makes another run).
    """

    path: Path
    suite: Mapping[str, Any]
    environment: Mapping[str, Any]
    trials: pd.DataFrame
    measurements: pd.DataFrame
    samples: pd.DataFrame
    timings: pd.DataFrame
    curves: pd.DataFrame
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
