"""Rules that fail a comparison, for use in continuous integration.

``METRIC worse|better|changed [by X | by X%] [for LABEL] [in DIRECTION] [on DATASET]`` or
``METRIC < | > | <= | >= NUMBER [for LABEL] [in DIRECTION] [on DATASET]``; METRIC may be ``any``.

``kid worse`` fails when KID is worse with an adjusted p below 0.05, for any label in any
direction, and also when run B lost a number that run A had: a method that crashed must not
pass for one that kept its quality. ``by`` asks for a difference of at least that size on
top; a bare number that cannot be tested counts by its size alone. The second form looks
at run B only, and fails when the stated relation *holds*: ``kid > 0.05``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bench.api import BenchError

if TYPE_CHECKING:
    from bench.analysis.compare import RunComparison

__all__ = ["Rule", "fails", "parse_rule"]

_USAGE = 'write "kid worse", "kid worse by 5% for munit in summer2winter" or "fid > 120"'
_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_FORM = re.compile(
    r"""\s*(?P<metric>\S+(?:\s+[\[(][^\])]*[\])])*)\s+
    (?:(?P<verdict>worse|better|changed)(?:\s+by\s+(?P<by>[0-9.eE+-]+)\s*(?P<percent>%)?)?
      |(?P<relation><=|>=|<|>)\s*(?P<number>[0-9.eE+-]+))
    (?:\s+for\s+(?P<label>.+?))?(?:\s+in\s+(?P<direction>\S+))?
    (?:\s+on\s+(?P<dataset>\S+))?\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Rule:
    """A parsed rule; see the module for what it means."""

    text: str
    metric: str
    verdict: str = ""
    by: float = 0.0
    percent: bool = False
    relation: str = ""
    number: float = 0.0
    label: str = ""
    direction: str = ""
    dataset: str = ""


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Raises
    ------
    BenchError
        When it is not understood.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise BenchError(f"rule {text!r} is not understood: {_USAGE}")
    try:
        by, number = float(match["by"] or 0), float(match["number"] or 0)
    except ValueError:
        raise BenchError(f"rule {text!r} has a number that is none: {_USAGE}") from None
    return Rule(
        text=text,
        metric=match["metric"],
        verdict=match["verdict"] or "",
        by=by,
        percent=match["percent"] is not None,
        relation=match["relation"] or "",
        number=number,
        label=match["label"] or "",
        direction=match["direction"] or "",
        dataset=match["dataset"] or "",
    )


def fails(comparison: RunComparison, rule: str | Rule) -> bool:
    """Return whether a comparison breaks a rule.

    Raises
    ------
    BenchError
        When the rule is not understood, or names a metric, label, direction or dataset that
        neither run has: a rule that watches nothing must not pass.
    """
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    rows = comparison.differences
    for column, wanted in (
        ("metric", "" if rule.metric == "any" else rule.metric),
        ("label", rule.label),
        ("direction", rule.direction),
        ("dataset", rule.dataset),
    ):
        if not wanted:
            continue
        known = [str(v) for v in dict.fromkeys(rows[column])]
        rows = rows[rows[column] == wanted]
        if rows.empty:
            raise BenchError(
                f"rule {rule.text!r}: no {column} {wanted!r}; there are {', '.join(known)}"
            )
    return any(_breaks(row, rule) for _, row in rows.iterrows())


def _breaks(row: pd.Series, rule: Rule) -> bool:
    if rule.relation:
        return not pd.isna(row["b"]) and _RELATIONS[rule.relation](float(row["b"]), rule.number)
    if row["verdict"] == "missing":
        return rule.verdict in ("worse", "changed")
    if row["verdict"] in ("same", "new"):
        return False
    size = abs(float(row["difference"]))
    needed = rule.by / 100 * abs(float(row["a"])) if rule.percent else rule.by
    if size < needed:
        return False
    if rule.verdict == "changed":
        return True
    if row["higher_is_better"] is None or pd.isna(row["higher_is_better"]):
        return False
    improved = (float(row["difference"]) > 0) == bool(row["higher_is_better"])
    return improved == (rule.verdict == "better")
