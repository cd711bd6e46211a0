"""Two runs side by side: what is different, how surely, and what was set differently.

Run A is what was, run B is what is now; a difference is ``B - A``. Rows are matched by
dataset, direction, label, metric, extractor and subset; nothing else is ever compared.

How a difference is tested, best first
--------------------------------------
``paired``
    Both runs have the metric for the same inputs: a sign-swap permutation test over inputs,
    each input the mean of its samples and seeds. Or for the same resampled pictures, as KID:
    a paired bootstrap.
``rounds``
    Latency and throughput: Mann-Whitney's test on the timed calls.
``intervals``
    Both numbers carry an interval: the interval of the difference of independent numbers,
    and the p-value of the normal with that width. Conservative when inputs are shared.
``none``
    A bare number.

P-values are adjusted by Holm over the labels, directions and datasets of a metric.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from bench.analysis.columns import columns
from bench.analysis.contest import Evidence, evidence, tested
from bench.analysis.ranking import ALPHA
from bench.analysis.summary import summary
from bench.api import BenchError, Interval, RunView
from bench.stats import difference, holm

__all__ = ["RunComparison", "compare"]

_KEY = ["dataset", "direction", "label"]
_COLUMNS = [
    *_KEY,
    "metric",
    "short",
    "a",
    "b",
    "difference",
    "low",
    "high",
    "p",
    "test",
    "n",
    "higher_is_better",
    "verdict",
]
_VOLATILE = ("command", "started", "date", "time", "utc", "schema_version")


@dataclass(frozen=True)
class RunComparison:
    """What :func:`compare` found.

    Parameters
    ----------
    names
        What the two runs are called: their folders.
    differences
        One row for each dataset, direction, label and metric column of either run:
        ``dataset, direction, label, metric, short, a, b, difference, low, high, p, test, n,
        higher_is_better, verdict``. `short` is a name for narrow tables; `p` is adjusted;
        `verdict` is ``same`` (no difference shown), ``better``, ``worse``, ``changed`` (which
        is better nobody said), ``untested`` (different, with nothing to judge it by),
        ``missing`` (only in A) or ``new`` (only in B).
    settings
        ``where, setting, a, b`` for whatever was configured or installed differently.
    """

    names: tuple[str, str]
    differences: pd.DataFrame
    settings: pd.DataFrame

    @property
    def same(self) -> bool:
        """Whether no number differs and none is missing or new."""
        return bool((self.differences["verdict"] == "same").all())


def compare(
    run_a: RunView | str | Path, run_b: RunView | str | Path, *, draws: int = 10_000, seed: int = 0
) -> RunComparison:
    """Compare run B with run A.

    Parameters
    ----------
    run_a, run_b
        Runs, or their folders.
    draws, seed
        Of the permutation tests.

    Raises
    ------
    BenchError
        When a folder is no run, or the runs have no row in common.
    """
    a, b = _read(run_a), _read(run_b)
    table_a, table_b = summary(a).set_index(_KEY), summary(b).set_index(_KEY)
    columns_a, columns_b = ({c.name: c for c in columns(run)} for run in (a, b))
    values = [evidence(run) for run in (a, b)]
    rounds = [_rounds(run) for run in (a, b)]
    rows = []
    for name in dict.fromkeys([*columns_a, *columns_b]):
        known = [c for c in (columns_a.get(name), columns_b.get(name)) if c is not None]
        if len({c.extractor for c in known}) > 1:
            continue  # two extractors are two metrics, whatever they are called
        for key in dict.fromkeys([*table_a.index, *table_b.index]):
            pair = [_interval(table, key, name) for table in (table_a, table_b)]
            if pair[0] is None and pair[1] is None:
                continue
            column = known[0]
            row = dict(zip(_KEY, key, strict=True)) | {"metric": name}
            row["short"] = column.title if column.headline else name
            row["higher_is_better"] = column.higher_is_better
            dataset, direction, label = key
            rests = [found.get((dataset, direction, column.metric, label)) for found in values]
            # Calls timed on several machines are no sample of anything.
            timed = [] if any(c.hardware for c in known) else rounds
            times = [found.get((*key, column.metric)) for found in timed] or [None, None]
            plain = column.subset == "all"
            rows.append(row | _difference(pair, rests if plain else [None] * 2, times, draws, seed))
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    if frame.empty or frame[["a", "b"]].notna().all(axis=1).sum() == 0:
        raise BenchError(
            f"{a.path.name} and {b.path.name} have no number in common: compare runs of the same "
            "dataset, directions and method labels"
        )
    return RunComparison((a.path.name, b.path.name), _judged(frame), _settings(a, b))


def _read(run: RunView | str | Path) -> RunView:
    if isinstance(run, RunView):
        return run
    from bench.storage.tables import read_run

    return read_run(Path(run))


# ----------------------------------------------------------------- the numbers of a run


def _interval(table: pd.DataFrame, key: tuple[Any, ...], name: str) -> Interval | None:
    """The number of one row and column with its interval; None where there is none."""
    if name not in table or key not in table.index:
        return None
    row = table.loc[key]
    value, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
    if math.isnan(value):
        return None
    bare = math.isnan(low) or math.isnan(high)
    return Interval(value, None if bare else low, None if bare else high, None)


def _key(key: object) -> tuple[str, ...]:
    """A group's key as text."""
    return tuple(str(part) for part in key) if isinstance(key, tuple) else (str(key),)


def _rounds(run: RunView) -> dict[tuple[str, ...], np.ndarray[Any, np.dtype[np.float64]]]:
    """For each row key: the timed calls behind ``latency`` (s) and ``throughput`` (images/s)."""
    found: dict[tuple[str, ...], np.ndarray[Any, np.dtype[np.float64]]] = {}
    timings = run.timings[run.timings["seconds"] > 0]
    for key, part in timings.groupby([*_KEY, "mode"], sort=False):
        seconds = part["seconds"].to_numpy(dtype=np.float64)
        images = part["images"].to_numpy(dtype=np.float64)
        name = _key(key)
        if name[-1] == "latency":
            found[name] = seconds / np.maximum(images, 1)
        elif name[-1] == "throughput":
            best = part["batch"].to_numpy() == part.groupby("batch")["seconds"].median().idxmin()
            rates = images / seconds
            at_best = rates[best] if part["batch"].nunique() > 1 else rates
            found[name] = at_best
    return found


# ------------------------------------------------------------------------------ testing


def _difference(
    pair: list[Interval | None],
    rests: list[Evidence | None],
    times: list[np.ndarray[Any, np.dtype[np.float64]] | None],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """The difference of two numbers with its interval and raw p-value, and how it was tested."""
    a, b = pair
    row: dict[str, Any] = {
        "a": a.value if a else math.nan,
        "b": b.value if b else math.nan,
        "difference": math.nan,
        "low": math.nan,
        "high": math.nan,
        "p": math.nan,
        "test": "none",
        "n": 0,
    }
    if a is None or b is None:
        return row
    change = difference(b, a)
    before, now = rests
    # A test on a few shared inputs says nothing about a number made from all of them.
    if before is not None and now is not None and before.of == now.of and now.n > 1:
        found = tested([(now, before)], draws=draws, seed=seed)[0]
        paired = Interval(b.value - a.value, found.difference.low, found.difference.high)
        return row | _ends(paired) | {"p": found.p, "test": "paired", "n": now.n}
    row |= _ends(change)
    if (
        times[0] is not None
        and times[1] is not None
        and min(len(t) for t in times if t is not None)
    ):
        p = 1.0 if np.array_equal(times[0], times[1]) else _mann_whitney(times[0], times[1])
        return row | {"p": p, "test": "rounds", "n": len(times[1])}
    if change.low is not None and change.high is not None:
        return row | {"p": _normal(change), "test": "intervals"}
    return row | {"p": 1.0 if a.value == b.value else math.nan}


def _ends(change: Interval) -> dict[str, float]:
    return {
        "difference": change.value,
        "low": math.nan if change.low is None else change.low,
        "high": math.nan if change.high is None else change.high,
    }


def _mann_whitney(
    a: np.ndarray[Any, np.dtype[np.float64]], b: np.ndarray[Any, np.dtype[np.float64]]
) -> float:
    return float(scipy_stats.mannwhitneyu(a, b, alternative="two-sided").pvalue)


def _normal(change: Interval) -> float:
    """Two-sided p-value of a difference with a 95 % interval, taking it for normal."""
    assert change.low is not None and change.high is not None
    if change.value == 0:
        return 1.0
    # The end towards zero is the one that decides.
    reach = change.value - change.low if change.value > 0 else change.high - change.value
    if reach <= 0:
        return 0.0
    return float(2 * scipy_stats.norm.sf(abs(change.value) / (reach / scipy_stats.norm.ppf(0.975))))


def _judged(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with adjusted p-values and verdicts."""
    adjusted: dict[str, float] = {}
    for _, part in frame[frame["p"].notna()].groupby("metric", sort=False):
        adjusted |= holm({str(i): float(p) for i, p in part["p"].items()})
    frame = frame.assign(p=[adjusted.get(str(i), math.nan) for i in frame.index])
    return frame.assign(verdict=[_verdict(row) for _, row in frame.iterrows()])


def _verdict(row: pd.Series) -> str:
    if pd.isna(row["a"]):
        return "new"
    if pd.isna(row["b"]):
        return "missing"
    if row["difference"] == 0:
        return "same"
    if pd.isna(row["p"]):
        return "untested"
    return "same" if row["p"] >= ALPHA else _change(row)


def _change(row: pd.Series) -> str:
    """Return ``better`` or ``worse`` by the sign; ``changed`` where no side is better."""
    if row["higher_is_better"] is None or pd.isna(row["higher_is_better"]):
        return "changed"
    return "better" if (row["difference"] > 0) == bool(row["higher_is_better"]) else "worse"


# ----------------------------------------------------------------------------- settings


def _settings(a: RunView, b: RunView) -> pd.DataFrame:
    """Every setting of suite, environment and trials that is not the same in both runs."""
    rows = []
    for where, old, new in (
        ("suite", a.suite, b.suite),
        ("environment", _steady(a.environment), _steady(b.environment)),
    ):
        rows += _changed(where, _flat(old), _flat(new))
    trials_a, trials_b = _trials(a), _trials(b)
    for label in dict.fromkeys([*trials_a, *trials_b]):
        if label in trials_a and label in trials_b:
            rows += _changed(label, trials_a[label], trials_b[label])
    return pd.DataFrame(rows, columns=["where", "setting", "a", "b"])


def _steady(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in environment.items() if key not in _VOLATILE}


def _trials(run: RunView) -> dict[str, dict[str, str]]:
    """For each label, how its first trial was set up and how it ended."""
    found: dict[str, dict[str, str]] = {}
    for row in run.trials.to_dict("records"):
        facts = {"status": row["status"], "budget": row["budget"], "device": row["device"]}
        facts |= {"precision": row["precision"], "iterations": row["iterations"]}
        try:
            config = json.loads(str(row["config"]))
        except ValueError:
            config = {"config": row["config"]}
        found.setdefault(str(row["label"]), _flat(facts | {"config": config}))
    return found


def _changed(where: str, old: dict[str, str], new: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"where": where, "setting": key, "a": old.get(key, ""), "b": new.get(key, "")}
        for key in dict.fromkeys([*old, *new])
        if old.get(key, "") != new.get(key, "")
    ]


def _flat(value: Mapping[Any, Any], before: str = "") -> dict[str, str]:
    """Nested settings as ``a.b`` to text; lists of plain values stay in one piece."""
    found: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            found |= _flat(item, f"{before}{key}.")
        elif isinstance(item, list | tuple) and any(isinstance(v, Mapping) for v in item):
            found |= _flat({str(n): v for n, v in enumerate(item)}, f"{before}{key}.")
        elif item is None or item is pd.NA or item != item:
            found[f"{before}{key}"] = ""
        else:
            found[f"{before}{key}"] = (
                item if isinstance(item, str) else json.dumps(item, default=str)
            )
    return found
