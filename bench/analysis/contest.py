"""What needs more than one trial of a run: its methods held against each other.

Pure functions from the tables of a run to its table of comparisons; the contest stage of a run
keeps what they give.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.analysis.columns import columns
from bench.stats import holm, paired_permutations
from bench.storage.tables import table

if TYPE_CHECKING:
    from bench.api import RunView

__all__ = ["by_input", "comparisons"]

_KEY = ["dataset", "direction", "metric"]


def comparisons(run: RunView, *, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Compare the methods of a run on the same inputs, and each with the untouched input.

    For every dataset, direction and headline metric that has a value for each output, every
    pair of ranked methods, and every ranked method beside the anchor that stands for the input,
    is compared by a sign-swap permutation test over inputs, each input the mean of its samples
    and seeds. Only values of one extractor on all the same inputs are compared.

    Parameters
    ----------
    draws, seed
        Of the permutation tests.

    Returns
    -------
    pandas.DataFrame
        The columns of ``bench.storage.tables.COMPARISONS``; differences are A minus B, with a
        bootstrap interval. P-values are adjusted by Holm over the pairs and directions of a
        dataset, metric and extractor.
    """
    headline = {column.metric for column in columns(run) if column.headline}
    values = by_input(run, headline)
    networks = _networks(run)
    trials = run.trials[["dataset", "label", "method"]].drop_duplicates(["dataset", "label"])
    rows: list[dict[str, Any]] = []
    for place in dict.fromkeys(key[:3] for key in values):
        methods = {
            str(label): str(method)
            for dataset, label, method in trials.itertuples(index=False)
            if dataset == place[0] and (*place, str(label)) in networks
        }
        alike: dict[tuple[str, frozenset[str]], dict[str, str]] = {}
        for label, method in methods.items():
            if (series := values.get((*place, label))) is not None and len(series) > 1:
                group = (networks[*place, label], frozenset(series.index))
                alike.setdefault(group, {})[label] = method
        for (extractor, _), group_methods in alike.items():
            base = dict(zip(_KEY, place, strict=True)) | {"extractor": extractor or None}
            mine = {label: values[*place, label] for label in group_methods}
            tested = _tested(mine, _pairs(group_methods, run), draws, seed)
            rows += [base | row for row in tested]
    return table("comparisons", _adjusted(rows))


def _tested(
    values: Mapping[str, pd.Series], pairs: list[tuple[str, str]], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Return a row for each pair of series over the same inputs."""
    if not pairs:
        return []
    order = next(iter(values.values())).index
    numbers = {label: series.loc[order].to_numpy(float) for label, series in values.items()}
    differences = np.stack([numbers[a] - numbers[b] for a, b in pairs])
    return [
        {
            "label_a": a,
            "label_b": b,
            "difference": found.difference.value,
            "low": found.difference.low,
            "high": found.difference.high,
            "p": found.p,
            "test": "paired",
            "n": len(order),
        }
        for (a, b), found in zip(
            pairs, paired_permutations(differences, draws=draws, seed=seed), strict=True
        )
    ]


def by_input(run: RunView, metrics: set[str] | None = None) -> dict[tuple[str, ...], pd.Series]:
    """Return values by input: ``(dataset, direction, metric, label)`` to a series over input ids.

    Each is the mean over the samples and seeds of an input; `metrics` says which are wanted.
    """
    samples = run.samples[run.samples["value"].notna()]
    if metrics is not None:
        samples = samples[samples["metric"].isin(metrics)]
    keys = [*_KEY, "label"]
    means = samples.groupby([*keys, "input_id"], sort=False)["value"].mean().reset_index()
    return {
        tuple(str(part) for part in key): part.set_index("input_id")["value"]
        for key, part in means.groupby(keys, sort=False)
    }


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
