"""The schedule: all time is accounted for, and docs/scaling.md says what was recorded."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.scaling.page import BEGIN, PAGE, with_result
from tests.scaling.recording import Recorded, read
from tests.scaling.schedule import STAGES, Scenario, Trial, simulate, study

RECORDED = read()


def _trials(count: int = 40) -> list[Trial]:
    return study(RECORDED.trials, count)


def test_the_page_is_what_was_recorded() -> None:
    text = PAGE.read_text("utf-8")
    assert text == with_result(text, RECORDED)
    shorter = Recorded(RECORDED.machine, RECORDED.trials[:-1], RECORDED.tables)
    assert text != with_result(text, shorter) and BEGIN in text


def test_one_gpu_without_failures_takes_the_sum_of_all_trials() -> None:
    one = simulate(_trials(), Scenario(1), poll=0.0)
    assert one.makespan == pytest.approx(sum(trial.seconds for trial in _trials()))
    assert one.work == pytest.approx(sum(sum(t.stages.values()) for t in _trials()))
    assert one.lost["start"] == pytest.approx(sum(trial.start for trial in _trials()))
    assert {name for name, lost in one.lost.items() if lost > 1e-6} == {"start"}
    assert [label for _, label in one.ended] == [trial.label for trial in _trials()]


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(8),
        Scenario(64),
        Scenario(3, share=2),
        Scenario(4, fails=0.3),
        Scenario(4, fails=0.1, preempted=60.0),
    ],
    ids=str,
)
def test_every_second_of_every_slot_is_in_one_account(scenario: Scenario) -> None:
    trials = _trials()
    one = simulate(trials, scenario, tables=RECORDED.writing)
    total = one.makespan * scenario.gpus * scenario.share
    assert one.work + sum(one.lost.values()) == pytest.approx(total)
    assert len(one.ended) == len(trials) and min(one.lost.values()) >= 0
    assert (one.failures > 0) == (scenario.fails > 0)
    assert (one.preemptions > 0) == (scenario.preempted > 0) == (one.lost["again"] > 0)
    if not scenario.fails:
        assert one.work == pytest.approx(sum(sum(t.stages.values()) for t in trials))
    assert simulate(trials, scenario, tables=RECORDED.writing) == one  # the same again


def test_more_gpus_are_faster_and_never_faster_than_the_longest_trial() -> None:
    trials = _trials()
    times = [simulate(trials, Scenario(gpus)).makespan for gpus in (1, 8, 64)]
    assert all(more > less for more, less in pairwise(times))
    assert times[-1] >= max(trial.seconds for trial in trials)


def test_nothing_is_timed_beside_another_on_its_gpu() -> None:
    only_time = dict.fromkeys(STAGES, 0.0) | {"time": 10.0}
    trials = [Trial("m", seed, 0.0, only_time) for seed in range(4)]
    assert simulate(trials, Scenario(1, share=4), poll=0.0).makespan == pytest.approx(40)
    assert simulate(trials, Scenario(1, share=4), poll=0.0).lost["timing"] == pytest.approx(60)
    assert simulate(trials, Scenario(4), poll=0.0).makespan == pytest.approx(10)


def test_tables_hold_up_a_run_that_writes_them_after_each_trial() -> None:
    each, seldom = (
        simulate(_trials(), Scenario(8), tables=lambda ended: 5.0, poll=0.0, rest=rest)
        for rest in (0, 20)
    )
    assert each.lost["run"] > 10 * seldom.lost["run"]
    assert each.makespan > seldom.makespan


def test_writing_tables_is_read_between_what_was_recorded() -> None:
    found = Recorded({}, [], [(10, 1.0), (20, 3.0)])
    assert [found.writing(n) for n in (5, 10, 15, 20, 40)] == [0.5, 1.0, 2.0, 3.0, 6.0]


def test_the_study_is_in_the_order_of_a_plan() -> None:
    """That of bench.suite.plan, see tests/unit/test_planning.py."""
    trials, labels = _trials(), list(dict.fromkeys(t.label for t in RECORDED.trials))
    assert [trial.label for trial in trials] == labels * (len(trials) // len(labels))
    assert [trial.seed for trial in trials] == sorted(trial.seed for trial in trials)
    recorded = [trial.label for trial in RECORDED.trials]
    assert recorded[-2 * len(labels) :] == recorded[-len(labels) :] * 2
