"""Whether a run can be believed: its checks, and the one verdict that follows from them.

Every check has a severity, which is the verdict on a run in which it fails. The run's verdict
is the worst of them; terminal, exit code, tables, Python and page all read it from
:attr:`bench.api.RunView.verdict`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis.anchors import violations
from bench.analysis.contest import comparisons
from bench.analysis.summary import summary
from bench.analysis.text import join_names
from bench.api import Check, Verdict
from bench.storage.tables import read_run, table

if TYPE_CHECKING:
    from pathlib import Path

    from bench.api import RunView

__all__ = ["VERDICTS", "checks", "judged", "open_run", "reasons"]

VERDICTS: dict[Verdict, str] = {
    "valid": "Valid",
    "remarks": "Valid with remarks",
    "invalid": "Invalid",
}
"""The verdicts, best first, and what people call them."""

_STEADY = 0.10


def open_run(path: Path) -> RunView:
    """Return a run folder with its checks, and its comparisons where it has none yet.

    Raises
    ------
    BenchError
        When `path` is not the folder of a run that has tables.
    """
    run = read_run(path)
    if run.comparisons.empty:
        run = replace(run, comparisons=comparisons(run))
    return judged(run)


def reasons(run: RunView) -> list[str]:
    """Return what stands behind a verdict that is not ``valid``: ``name: detail``, worst first."""
    failed = run.checks[run.checks["passed"].eq(False).fillna(False)]
    order = failed.sort_values("severity", key=lambda s: s.ne("invalid"), kind="stable")
    return [f"{row.name}: {row.detail}" for row in order.itertuples(index=False)]


def judged(run: RunView) -> RunView:
    """Return the run with the checks that follow from its tables."""
    rows = [asdict(check) | {"verdict": check.verdict} for check in checks(run)]
    return replace(run, checks=table("checks", rows))


def checks(run: RunView) -> list[Check]:
    """Return every check of a run: failures, extractors, order of the anchors, timings."""
    frame = summary(run)
    return [
        _measured(run),
        _all_ran(run),
        _one_extractor(run),
        *_encoded_alike(run),
        *_anchors_in_order(run),
        *_no_alarm(run),
        _steady(run, frame),
    ]


def _measured(run: RunView) -> Check:
    count = len(run.measurements)
    detail = f"{count:,} numbers" if count else "there is not one number"
    return Check("Something was measured", "invalid", count > 0, detail)


def _all_ran(run: RunView) -> Check:
    bad = run.trials[~run.trials["status"].isin(["ok", "skipped"])]
    detail = (
        f"all {len(run.trials)} trials ran"
        if bad.empty
        else f"{len(bad)} of {len(run.trials)} trials did not finish"
    )
    return Check("Every trial finished", "remarks", bad.empty, detail)


def _one_extractor(run: RunView) -> Check:
    frame = run.measurements
    counts = frame.dropna(subset=["extractor"]).groupby("metric")["extractor"].nunique()
    mixed = [str(metric) for metric, count in counts.items() if count > 1]
    detail = (
        f"several for {', '.join(mixed)}: kept in columns of their own"
        if mixed
        else ("one network behind each metric")
    )
    passed = not mixed if len(counts) else None
    return Check("One extractor per metric", "remarks", passed, detail)


def _encoded_alike(run: RunView) -> list[Check]:
    """Tell of outputs whose codec is not that of real pictures, by the anchors made for it."""
    anchors = run.declared.anchors
    rows = [
        (json.loads(config), label)
        for config, label, method in zip(
            *(map(str, run.trials[name]) for name in ("config", "label", "method")), strict=True
        )
        if method in anchors and anchors[method].role == "encoded"
    ]
    if not rows:
        return []
    names = join_names(dict.fromkeys(name for config, _ in rows for name in config["like"]))
    beside = join_names(dict.fromkeys(str(label) for _, label in rows))
    detail = (
        f"{names}: not encoded as real pictures are, so what looks at detail (KID at full size, "
        f"FID, precision, coverage) measures the codec, too: see {beside}"
    )
    return [Check("Outputs are encoded as real pictures are", "remarks", False, detail)]


def _anchors_in_order(run: RunView) -> list[Check]:
    """Check that metrics rank the methods whose rank is known beforehand as they must."""
    broken, checked = violations(run.measurements, run.declared.anchors)
    if not checked:
        return []
    several = run.measurements["dataset"].nunique() > 1
    detail = "; ".join(
        f"{v.metric}, {f'{v.dataset} ' if several else ''}{v.direction}: {v.detail}"
        for v in broken[:3]
    )
    if len(broken) > 3:
        detail += f"; and {len(broken) - 3} more"
    known = f"{checked} rules about the anchors hold"
    return [Check("The anchors are in order", "invalid", not broken, detail or known)]


def _no_alarm(run: RunView) -> list[Check]:
    """Check what metrics declare that no method's pictures may show."""
    rows = run.measurements[run.measurements["subset"] == "all"]
    labels = run.trials.set_index("trial")["label"].to_dict()
    looked: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        column = run.declared.column(str(row["metric"]))
        if column is None or column.alarm is None or not column.alarm.invalid:
            continue
        found = looked.setdefault(f"No {column.alarm.watched}", [])
        ends = [row["value"] if pd.isna(row[end]) else row[end] for end in ("low", "high")]
        if row["method"] not in run.declared.anchors and column.alarm.raised(*ends):
            name = labels.get(row["trial"], row["method"])
            found.append(f"{name} {column.alarm.title} ({row['direction']}: {row['value']:.0%})")
    return [
        Check(name, "invalid", not found, "; ".join(found) or "none was found")
        for name, found in looked.items()
    ]


def _steady(run: RunView, frame: pd.DataFrame) -> Check:
    """Check the interquartile range of single-image calls against their median, anchors aside."""
    name = "Timings were steady"
    ranked = set(frame.loc[~frame["anchor"].astype(bool), "label"])
    timings = run.timings[(run.timings["mode"] == "latency") & run.timings["label"].isin(ranked)]
    if timings.empty:
        return Check(name, "remarks", None, "nothing was timed")
    spread = timings.groupby(["trial", "direction"], sort=False)["seconds"].agg(
        lambda s: float((s.quantile(0.75) - s.quantile(0.25)) / s.median()) if s.median() else 0.0
    )
    worst = float(spread.max())
    detail = f"largest spread {worst:.0%} of the median latency ({_STEADY:.0%} allowed)"
    return Check(name, "remarks", worst <= _STEADY, detail)
