"""Which questions are asked: balanced, blind, repeatable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.api import Anchor, BenchError, Declared, RunView
from bench.voting.ballots import make_ballots
from tests.factories import MAKERS, make_run

NOISE = replace(MAKERS["identity"], name="noise")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    made = make_run(
        tmp_path_factory.mktemp("run"),
        methods=("munit", "neural_style", "cyclegan", "identity", NOISE),
        inputs=6,
        samples=3,
        size=16,
        failures=False,
    )
    anchors = {"identity": Anchor(role="untouched"), "noise": Anchor()}
    return replace(made, declared=Declared(anchors=anchors))


def test_pairs_and_directions_are_balanced(run: RunView) -> None:
    ballots = make_ballots(run, count=120, seed=3)
    pairs = [b for b in ballots if b.kind == "pair"]
    assert len(ballots) == 120 and len({b.id for b in ballots}) == 120
    assert Counter(b.kind for b in ballots) == {"pair": 102, "same": 9, "static": 9}
    labels = {side.label for b in pairs for side in (b.left, b.right)}
    assert labels == {"munit", "neural_style", "cyclegan", "identity"}
    directions = Counter(b.direction for b in ballots)
    assert set(directions.values()) == {60}
    for direction in directions:
        asked = Counter(
            frozenset((b.left.label, b.right.label)) for b in pairs if b.direction == direction
        )
        assert len(asked) == 6 and max(asked.values()) - min(asked.values()) <= 3
    # Sides are drawn: neither stands left nearly always.
    left = Counter(b.left.label for b in pairs)
    right = Counter(b.right.label for b in pairs)
    assert all(0.25 < left[name] / (left[name] + right[name]) < 0.75 for name in labels)


def test_the_same_seed_asks_the_same_and_another_another(run: RunView) -> None:
    assert make_ballots(run, count=30, seed=1) == make_ballots(run, count=30, seed=1)
    assert make_ballots(run, count=30, seed=1) != make_ballots(run, count=30, seed=2)


def test_catch_trials_have_known_answers(run: RunView) -> None:
    ballots = make_ballots(run, count=60)
    for ballot in ballots:
        if ballot.kind == "same":
            assert ballot.left == ballot.right
        if ballot.kind == "static":
            real = ballot.left if ballot.right.path == "" else ballot.right
            # A real picture of the target domain is an input of the other direction.
            other = {"summer2winter": "winter2summer", "winter2summer": "summer2winter"}
            assert other[ballot.direction] in real.path
            assert (run.path / real.path).is_file()
        assert ballot.target == ballot.direction.split("2")[1]


def test_only_methods_with_shared_inputs_are_asked_about(run: RunView, tmp_path: Path) -> None:
    two = make_ballots(run, count=10, labels=["munit", "noise"])
    shown = {s.label for b in two if b.kind == "pair" for s in (b.left, b.right)}
    assert shown == {"munit", "noise"}
    with pytest.raises(BenchError, match="no two methods"):
        make_ballots(run, count=10, labels=["munit"])
    with pytest.raises(BenchError, match="'stylegan' has no pictures"):
        make_ballots(run, count=10, labels=["stylegan"])
