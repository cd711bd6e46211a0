"""What people chose, as a metric: strengths of methods, agreement, and which metrics agree.

Votes are those of ``bench vote``. Voters who take noise for a picture are left out and named.
Strengths follow Bradley and Terry (1952, Biometrika 39): the odds that A is chosen over B are
``exp(strength_A - strength_B)``; a tie counts half for either. Intervals resample whole voters
where there are several, else single votes.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special, stats

from bench.analysis.columns import columns
from bench.analysis.summary import summary
from bench.storage.votes import Ballot, Vote, read_ballots, read_votes

if TYPE_CHECKING:
    from bench.api import RunView
    from bench.stats import Floats

__all__ = ["Preference", "agreement", "preference", "strengths"]

RIDGE = 0.05
"""Penalty on squared strengths: keeps them finite for a method that always wins."""
_DRAWS = 400
_SURE = 0.75
"""A voter who finds noise to be noise less often than this did not look."""
_FEWEST = 3
"""Methods below which a rank correlation says nothing."""

_Places = npt.NDArray[np.intp]
Choice = tuple[str, int, int, float]
"""Voter, the places of two labels, and what the first got: 1, 0, or 0.5 for a tie."""


@dataclass(frozen=True)
class Preference:
    """What people prefer in one direction of a run.

    Parameters
    ----------
    dataset, direction
        Which pictures were shown.
    table
        ``label, strength, low, high, votes``, the strongest first; strengths sum to 0.
    alpha
        Krippendorff's alpha between voters (1 agreement, 0 chance); None where no question was
        answered by two of them.
    voters, careless
        Who is counted, and who was left out.
    metrics
        ``metric, title, tau, low, high, n``: Kendall's tau between the order of a metric and
        that of people, 1 when equal, its interval over resampled votes; the best first.
    """

    dataset: str
    direction: str
    table: pd.DataFrame
    alpha: float | None
    voters: tuple[str, ...]
    careless: tuple[str, ...]
    metrics: pd.DataFrame


def preference(run: RunView, *, seed: int = 0) -> list[Preference]:
    """Return what people prefer, for each direction that was voted on; empty without votes.

    Raises
    ------
    BenchError
        When the ballots of the run are damaged.
    """
    ballots = {ballot.id: ballot for ballot in read_ballots(run.path)}
    votes = read_votes(run.path, ballots)
    careless = _careless(votes, ballots)
    counted = [v for v in votes if ballots[v.ballot].kind == "pair" and v.voter not in careless]
    places: dict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in counted:
        ballot = ballots[vote.ballot]
        places[ballot.dataset, ballot.direction].append(vote)
    frame = summary(run) if places else pd.DataFrame()
    found = []
    for (dataset, direction), mine in places.items():
        labels, choices = _choices(mine, ballots)
        drawn = _resampled(choices, len(labels), np.random.default_rng(seed))
        values = strengths(choices, len(labels))
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        counts = np.bincount([i for _, a, b, _ in choices for i in (a, b)], minlength=len(labels))
        table = pd.DataFrame(
            {"label": labels, "strength": values, "low": low, "high": high, "votes": counts}
        )
        rows = frame[(frame["dataset"] == dataset) & (frame["direction"] == direction)]
        found.append(
            Preference(
                dataset,
                direction,
                table.sort_values("strength", ascending=False, ignore_index=True),
                agreement(mine),
                tuple(dict.fromkeys(vote.voter for vote in mine)),
                tuple(careless),
                _metrics(run, rows, labels, values, drawn),
            )
        )
    return found


def _careless(votes: Sequence[Vote], ballots: Mapping[str, Ballot]) -> list[str]:
    """Return the voters who were shown noise and did not see it."""
    seen: dict[str, list[bool]] = defaultdict(list)
    for vote in votes:
        ballot = ballots[vote.ballot]
        if ballot.kind == "static":
            real = "left" if ballot.left.path else "right"
            seen[vote.voter].append(vote.answer == real)
    return [voter for voter, right in seen.items() if np.mean(right) < _SURE]


def _choices(
    votes: Sequence[Vote], ballots: Mapping[str, Ballot]
) -> tuple[list[str], list[Choice]]:
    """Return the labels, and each vote as a comparison of two of them."""
    sides = [(ballots[v.ballot].left.label, ballots[v.ballot].right.label) for v in votes]
    labels = sorted({label for pair in sides for label in pair})
    place = {label: number for number, label in enumerate(labels)}
    gained = {"left": 1.0, "right": 0.0, "tie": 0.5}
    return labels, [
        (vote.voter, place[left], place[right], gained[vote.answer])
        for vote, (left, right) in zip(votes, sides, strict=True)
    ]


def strengths(choices: Sequence[Choice], count: int) -> Floats:
    """Return the Bradley-Terry strengths ``(count,)`` that fit choices best; their sum is 0."""
    a, b = (np.array([choice[i] for choice in choices], dtype=np.intp) for i in (1, 2))
    return _fit(a, b, np.array([choice[3] for choice in choices]), count)


def _fit(a: _Places, b: _Places, gained: Floats, count: int) -> Floats:
    # Equal comparisons are one row with a weight: a bootstrap fits this some hundred times.
    pair, which = np.unique(a * count + b, return_inverse=True)
    total = np.bincount(which).astype(float)
    won = np.bincount(which, gained)
    first, second = pair // count, pair % count

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = theta[first] - theta[second]
        value = (total * np.logaddexp(0, margin) - won * margin).sum()
        slope = total * special.expit(margin) - won
        gradient = np.bincount(first, slope, count) - np.bincount(second, slope, count)
        return value + 0.5 * RIDGE * theta @ theta, gradient + RIDGE * theta

    found = optimize.minimize(loss, np.zeros(count), jac=True, method="L-BFGS-B").x
    return np.asarray(found - found.mean())


def _resampled(choices: Sequence[Choice], count: int, rng: np.random.Generator) -> Floats:
    """Return strengths of resampled votes ``(draws, count)``: whole voters where there are more."""
    by_voter: dict[str, list[int]] = defaultdict(list)
    for number, choice in enumerate(choices):
        by_voter[choice[0]].append(number)
    groups = [np.array(numbers) for numbers in by_voter.values()]
    a, b = (np.array([choice[i] for choice in choices], dtype=np.intp) for i in (1, 2))
    gained = np.array([choice[3] for choice in choices])
    drawn = []
    for _ in range(_DRAWS):
        # Voters first, then the votes of each: few voters alone would make intervals of no width.
        chosen = rng.integers(0, len(groups), len(groups)) if len(groups) > 1 else [0]
        taken = np.concatenate([rng.choice(groups[g], len(groups[g])) for g in chosen])
        drawn.append(_fit(a[taken], b[taken], gained[taken], count))
    return np.stack(drawn)


def agreement(votes: Sequence[Vote]) -> float | None:
    """Return Krippendorff's alpha of nominal answers (2011); None without shared questions."""
    answers: dict[str, list[str]] = defaultdict(list)
    for vote in votes:
        answers[vote.ballot].append(vote.answer)
    shared = [given for given in answers.values() if len(given) > 1]
    pooled = [answer for given in shared for answer in given]
    if not shared:
        return None
    counts = np.array([pooled.count(answer) for answer in sorted(set(pooled))])
    expected = 1 - (counts * (counts - 1)).sum() / (len(pooled) * (len(pooled) - 1))
    observed = sum(
        sum(x != y for x, y in itertools.permutations(given, 2)) / (len(given) - 1)
        for given in shared
    ) / len(pooled)
    return 1.0 if expected == 0 else float(1 - observed / expected)


def _metrics(
    run: RunView, rows: pd.DataFrame, labels: Sequence[str], values: Floats, drawn: Floats
) -> pd.DataFrame:
    """Return how each metric's order agrees with that of people."""
    found = []
    by_label = rows.set_index("label")
    for column in columns(run):
        if column.higher_is_better is None or not column.plain or column.hardware:
            continue
        if column.kind in ("throughput", "resource"):
            continue
        sign = 1 if column.higher_is_better else -1
        numbers = sign * by_label[column.name].reindex(list(labels)).to_numpy(float)
        known = np.isfinite(numbers)
        if known.sum() < _FEWEST or len(set(numbers[known])) < 2:
            continue
        taus = [float(stats.kendalltau(numbers[known], draw[known])[0]) for draw in drawn]
        low, high = np.nanquantile(taus, [0.025, 0.975])
        tau = float(stats.kendalltau(numbers[known], values[known])[0])
        found.append(
            {"metric": column.metric, "title": column.title, "tau": tau}
            | {"low": float(low), "high": float(high), "n": int(known.sum())}
        )
    names = ["metric", "title", "tau", "low", "high", "n"]
    table = pd.DataFrame(found, columns=names)
    return table.sort_values("tau", ascending=False, kind="stable", ignore_index=True)
