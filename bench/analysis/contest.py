"""What needs more than one trial of a run: its methods held against each other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pandas as pd

from bench.stats import holm, paired_permutation
from bench.storage.rows import ComparisonRow
from bench.storage.tables import table

if TYPE_CHECKING:
    from bench.api import RunView

__all__ = ["comparisons"]

_KEY = ["dataset", "direction", "metric"]


def comparisons(run: RunView, *, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Compare the ranked methods of a run on the same inputs, pair by pair.

    For every dataset, direction and metric that has a value for each output: a sign-swap
    permutation test over inputs, each input the mean of its samples and seeds. Values of
    different extractors, or of different inputs, are not compared.

    Returns
    -------
    pandas.DataFrame
        One :class:`bench.storage.rows.ComparisonRow` each; p-values are adjusted by Holm over
        the pairs and directions of a dataset and metric.
    """
    ranked = run.samples[
        run.samples["value"].notna() & ~run.samples["method"].isin(list(run.declared.anchors))
    ]
    networks = run.measurements[run.measurements["subset"] == "all"].drop_duplicates(
        [*_KEY, "label", "extractor"]
    )
    rows: list[ComparisonRow] = []
    for place, part in ranked.groupby(_KEY, sort=False):
        dataset, direction, metric = (str(name) for name in place)
        here = networks[(networks[_KEY] == list(place)).all(axis=1)]
        values = {
            str(label): mine.groupby("input_id")["value"].mean()
            for label, mine in part.groupby("label", sort=False)
        }
        known = {
            label: set(here.loc[here["label"] == label, "extractor"].fillna("")) for label in values
        }
        for a, b in itertools.combinations(values, 2):
            x, y = values[a], values[b]
            if len(x) < 2 or set(x.index) != set(y.index) or known[a] != known[b]:
                continue
            if len(known[a]) != 1:
                continue  # seeds that two networks scored have no value of their own
            tested = paired_permutation(
                x.to_numpy(float), y.loc[x.index].to_numpy(float), draws=draws, seed=seed
            )
            rows.append(
                ComparisonRow(
                    dataset=dataset,
                    direction=direction,
                    metric=metric,
                    extractor=next(iter(known[a])) or None,
                    label_a=a,
                    label_b=b,
                    difference=tested.difference.value,
                    low=tested.difference.low,
                    high=tested.difference.high,
                    p=tested.p,
                    test="paired",
                    n=len(x),
                )
            )
    frame = table("comparisons", rows)
    for _, part in frame.groupby(["dataset", "metric"], sort=False):
        for index, p in holm({i: float(p) for i, p in part["p"].items()}).items():
            frame.loc[index, "p_adjusted"] = p
    return frame
