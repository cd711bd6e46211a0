"""What needs more than one trial of a run: its methods held against each other.

Pure functions from the tables of a run to its table of comparisons; the contest stage of a run
keeps what they give.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.analysis.columns import columns
from bench.stats import Comparison, Floats, holm, paired_bootstrap, paired_permutations
from bench.storage.tables import table

if TYPE_CHECKING:
    from bench.api import RunView

__all__ = ["Evidence", "comparisons", "evidence", "tested"]

_KEY = ["dataset", "direction", "metric"]


@dataclass(frozen=True)
class Evidence:
    """What a number rests on, so that it can be paired with another's.

    Parameters
    ----------
    value
        The number.
    values
        One for each input, the mean over its samples and seeds; or, with `resampled`, the
        number for resampled pictures.
    of
        Of which pictures they are; two numbers pair where it is the same.
    n
        How many inputs there are.
    """

    value: float
    values: Floats
    of: tuple[str, ...]
    n: int
    resampled: bool = False


def comparisons(run: RunView, *, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Compare the methods of a run on the same inputs, and each with the untouched input.

    For every dataset, direction and metric that has a better side and can be paired
    (:func:`evidence`), every pair of ranked methods, and every ranked method beside the anchor
    that stands for the input, is tested. Only values of one extractor are compared.

    Parameters
    ----------
    draws, seed
        Of the permutation tests.

    Returns
    -------
    pandas.DataFrame
        The columns of ``bench.storage.tables.COMPARISONS``; differences are A minus B, with an
        interval. P-values are adjusted by Holm over the pairs and directions of a dataset, metric
        and extractor.
    """
    ranked = {column.metric for column in columns(run) if column.higher_is_better is not None}
    found = evidence(run, ranked)
    networks = _networks(run)
    trials = run.trials[["dataset", "label", "method"]].drop_duplicates(["dataset", "label"])
    rows: list[dict[str, Any]] = []
    for place in dict.fromkeys(key[:3] for key in found):
        alike: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}
        for dataset, label, method in trials.itertuples(index=False):
            key = (*place, str(label))
            if dataset == place[0] and key in networks and key in found and found[key].n > 1:
                group = (networks[key], found[key].of)
                alike.setdefault(group, {})[str(label)] = str(method)
        for (extractor, _), methods in alike.items():
            base = dict(zip(_KEY, place, strict=True)) | {"extractor": extractor or None}
            pairs = _pairs(methods, run)
            both = [(found[*place, a], found[*place, b]) for a, b in pairs]
            for (a, b), (mine, _), one in zip(
                pairs, both, tested(both, draws=draws, seed=seed), strict=True
            ):
                ends = {"low": one.difference.low, "high": one.difference.high, "p": one.p}
                row = {"label_a": a, "label_b": b, "difference": one.difference.value, **ends}
                rows.append(base | row | {"test": "paired", "n": mine.n})
    return table("comparisons", _adjusted(rows))


def evidence(run: RunView, metrics: set[str] | None = None) -> dict[tuple[str, ...], Evidence]:
    """Return what can be paired: ``(dataset, direction, metric, label)`` to its evidence.

    A metric with a value for each output by these; else one that was measured for resampled
    pictures, too, by that. `metrics` says which are wanted.
    """
    found: dict[tuple[str, ...], Evidence] = {}
    known = run.measurements[run.measurements["subset"] == "all"]
    for key, part in _wanted(known, "resampled", metrics).groupby([*_KEY, "label"], sort=False):
        drawn = part["resampled"].tolist()
        if part["draw"].nunique() == 1 and len({len(values) for values in drawn}) == 1:
            values = np.mean(drawn, axis=0)
            same = (str(part["draw"].iloc[0]), str(len(values)))
            found[_text(key)] = Evidence(
                float(part["value"].mean()), values, same, int(part["n"].min()), resampled=True
            )
    keys = [*_KEY, "label", "input_id"]
    means = _wanted(run.samples, "value", metrics).groupby(keys)["value"].mean().reset_index()
    for key, part in means.groupby(keys[:-1], sort=False):
        values = part["value"].to_numpy(dtype=np.float64)
        inputs = tuple(part["input_id"].astype(str))
        found[_text(key)] = Evidence(float(values.mean()), values, inputs, len(values))
    return found


def _wanted(rows: pd.DataFrame, column: str, metrics: set[str] | None) -> pd.DataFrame:
    rows = rows[rows[column].notna()]
    return rows if metrics is None else rows[rows["metric"].isin(metrics)]


def _text(key: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in key)


_NEGLIGIBLE = 1e-4
"""Differences below this share of the spread of what is compared are rounding."""


def tested(
    pairs: Sequence[tuple[Evidence, Evidence]], *, draws: int = 10_000, seed: int = 0
) -> list[Comparison]:
    """Test the first of each pair minus the second, all of the same pictures.

    By the sign-swap permutation test over inputs, or by the paired bootstrap.
    """
    if not pairs:
        return []
    differences = np.stack([a.values - b.values for a, b in pairs])
    values = np.array([a.value - b.value for a, b in pairs])
    least = _NEGLIGIBLE * np.array([max(a.values.std(), b.values.std()) for a, b in pairs])
    # Networks give equal pictures other last digits in another batch.
    equal = (np.abs(differences) <= least[:, None]).all(1) & (np.abs(values) <= least)
    differences[equal], values[equal] = 0.0, 0.0
    if pairs[0][0].resampled:
        both = zip(values, differences, pairs, strict=True)
        return [paired_bootstrap(float(value), d, a.n) for value, d, (a, _) in both]
    return paired_permutations(differences, draws=draws, seed=seed)


def _networks(run: RunView) -> dict[tuple[str, ...], str]:
    """Return the one extractor behind a dataset's, direction's, metric's and label's values.

    A label whose seeds were scored by different networks has no value to compare, and no entry.
    """
    rows = run.measurements[run.measurements["subset"] == "all"]
    found: dict[tuple[str, ...], set[str]] = {}
    for *key, extractor in (
        rows[[*_KEY, "label", "extractor"]].drop_duplicates().itertuples(index=False)
    ):
        name = "" if pd.isna(extractor) else str(extractor)
        found.setdefault(tuple(str(part) for part in key), set()).add(name)
    return {key: names.pop() for key, names in found.items() if len(names) == 1}


def _pairs(methods: Mapping[str, str], run: RunView) -> list[tuple[str, str]]:
    """Return the pairs of ranked labels, then each of these beside the untouched input."""
    anchors = run.declared.anchors
    ranked = [label for label, method in methods.items() if method not in anchors]
    untouched = [
        label
        for label, method in methods.items()
        if method in anchors and anchors[method].role == "untouched"
    ]
    return [*itertools.combinations(ranked, 2), *itertools.product(ranked, untouched)]


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with p-values adjusted within each dataset, metric and extractor."""
    families: dict[tuple[object, ...], dict[int, float]] = {}
    for number, row in enumerate(rows):
        family = (row["dataset"], row["metric"], row["extractor"])
        families.setdefault(family, {})[number] = row["p"]
    adjusted = {number: p for part in families.values() for number, p in holm(part).items()}
    return [row | {"p_adjusted": adjusted[number]} for number, row in enumerate(rows)]
