"""The campaign of faults: a small sample of it, and the page that tells of the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.campaign.__main__ import BEGIN, END, PAGE, RECORD, all_cases, name_of, section
from tests.faults.campaign.core import VERBS, Campaign, Case
from tests.faults.campaign.promises import refused


@pytest.mark.slow
def test_a_sample_of_the_campaign(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "campaign")
    wanted = {
        ("damaged run folder", "report"),
        ("damaged cache", "run"),
        ("bad weights", "translate"),
        ("wrong option", "replay"),
    }
    first = {(case.kind, case.verb): case for case in reversed(all_cases())}
    for place in wanted:
        assert campaign.attempt(first[place]) == "", first[place].what
    # A promise that is not kept is noticed: of a fault that is none, by a traceback, by silence.
    nothing = Case("none", "status", "nothing", lambda place: None, refused("run"))
    assert "exit 0" in campaign.attempt(nothing)
    raises = Case("none", "status", "raises", lambda place: 1 / 0, refused("run"))
    assert "ZeroDivisionError" in campaign.attempt(raises)


def test_there_are_enough_faults_everywhere() -> None:
    names = [name_of(case) for case in all_cases()]
    assert len(names) == len(set(names)) >= 300
    assert {verb for _, verb, _, _ in names} >= VERBS.keys() | {"explain", "list", "new", "check"}
    assert {stage for _, _, stage, _ in names} >= {"fit", "translate", "score", "time"}


def test_the_page_tells_what_the_campaign_found() -> None:
    if not RECORD.exists():
        pytest.skip("no campaign is on record: make faults")
    record = json.loads(RECORD.read_text("utf-8"))
    text = PAGE.read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == section(record)
    assert {tuple(row[:4]) for row in record["cases"]} <= {name_of(case) for case in all_cases()}
    assert [row for row in record["cases"] if row[4]] == []
