"""Votes as numbers: simulated voters of known taste, careless ones, agreement and metrics."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.preference import agreement, preference, strengths
from bench.analysis.tables import table_files
from bench.api import RunView
from bench.storage.votes import Ballot, Vote, append_votes, write_ballots
from bench.voting.ballots import make_ballots
from bench_html.render import render
from tests.factories import make_run

TASTE = {"cyclegan": 1.2, "munit": 0.3, "identity": -1.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return make_run(tmp_path_factory.mktemp("run"), inputs=6, samples=2, failures=False)


def answered(ballot: Ballot, voter: str, rng: random.Random, *, looks: bool) -> Vote:
    if not looks:
        answer = rng.choice(["left", "right"])
    elif ballot.kind == "static":
        answer = "left" if ballot.left.path else "right"
    elif ballot.kind == "same":
        answer = "tie"
    else:
        odds = TASTE[ballot.left.label] - TASTE[ballot.right.label]
        answer = "left" if rng.random() < 1 / (1 + math.exp(-odds)) else "right"
    return Vote(ballot.id, voter, answer, 1.0, "")


@pytest.fixture(scope="module")
def voted(run: RunView) -> RunView:
    ballots = make_ballots(run, count=240, seed=1)
    write_ballots(run.path, ballots)
    rng = random.Random(4)
    for voter in ("ada", "bo", "cy", "dee"):
        append_votes(run.path, [answered(b, voter, rng, looks=True) for b in ballots])
    append_votes(run.path, [answered(b, "zed", rng, looks=False) for b in ballots])
    return run


def test_taste_is_recovered_and_a_careless_voter_left_out(voted: RunView) -> None:
    found = preference(voted)
    assert [one.direction for one in found] == ["summer2winter", "winter2summer"]
    centre = sum(TASTE.values()) / 3
    for one in found:
        assert one.careless == ("zed",) and set(one.voters) == {"ada", "bo", "cy", "dee"}
        assert list(one.table["label"]) == sorted(TASTE, key=TASTE.__getitem__, reverse=True)
        for row in one.table.itertuples():
            assert row.low < TASTE[row.label] - centre < row.high
        assert one.alpha is not None and 0 < one.alpha < 1


def test_metrics_are_held_against_the_order_of_people(voted: RunView) -> None:
    (one, _) = preference(voted)
    tau = one.metrics.set_index("metric")
    assert tau.loc["kid", "tau"] == 1.0 and tau.loc["kid", "low"] <= 1.0
    # The copy changes least, and people like it least.
    assert tau.loc["lpips_input", "tau"] < 0


def test_tables_and_page_show_it(voted: RunView) -> None:
    files = table_files(voted)
    assert files["preference.csv"].count("\n") == 1 + 2 * 3
    assert "lpips_input" in files["preference_metrics.csv"]
    page = render(voted, voted.path / "report").read_text("utf-8")
    assert "What people prefer" in page and "taking noise for a picture: zed" in page


def test_without_votes_nobody_is_asked(tmp_path: Path) -> None:
    run = make_run(tmp_path, pictures=False, failures=False)
    assert preference(run) == []
    assert "preference.csv" not in table_files(run)


def test_a_method_that_always_wins_has_a_finite_strength() -> None:
    found = strengths([("v", 0, 1, 1.0)] * 20, 2)
    assert 2 < found[0] < 6 and found.sum() == pytest.approx(0)
    assert strengths([("v", 0, 1, 0.5)] * 20, 2) == pytest.approx([0, 0], abs=1e-6)


def test_agreement_is_krippendorffs_alpha() -> None:
    def vote(ballot: str, voter: str, answer: str) -> Vote:
        return Vote(ballot, voter, answer, 1.0, "")  # type: ignore[arg-type]

    # Krippendorff 2011, section B: two observers, nominal data; the coincidences by hand.
    pairs = ["ll", "rr", "lr", "rr", "ll", "tt", "rr", "ll", "rl", "ll"]
    words = {"l": "left", "r": "right", "t": "tie"}
    votes = [
        vote(str(unit), voter, words[letter])
        for unit, pair in enumerate(pairs)
        for voter, letter in zip("ab", pair, strict=True)
    ]
    counts = np.array([10, 8, 2])
    expected = 1 - (counts * (counts - 1)).sum() / (20 * 19)
    assert agreement(votes) == pytest.approx(1 - (4 / 20) / expected)
    assert agreement(votes[:1]) is None


@pytest.mark.slow
def test_intervals_cover_the_strengths_that_made_the_votes() -> None:
    from bench.analysis.preference import _resampled

    rng = np.random.default_rng(0)
    true = np.array([0.8, 0.0, -0.8])
    hit = []
    for _ in range(40):
        choices = []
        for voter in range(6):
            for _ in range(30):
                a, b = rng.choice(3, 2, replace=False)
                won = rng.random() < 1 / (1 + np.exp(true[b] - true[a]))
                choices.append((str(voter), int(a), int(b), float(won)))
        low, high = np.quantile(_resampled(choices, 3, rng), [0.025, 0.975], axis=0)
        hit.append((low < true) & (true < high))
    assert 0.88 <= np.mean(hit) <= 1.0
