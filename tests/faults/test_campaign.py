"""The campaign of faults: a small sample of it, and the page that tells of the whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.faults.campaign.__main__ import BEGIN, END, PAGE, RECORD, all_cases, name_of, section
from tests.faults.campaign.core import VERBS, Campaign, Case
from tests.faults.campaign.promises import refused


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


def test_the_page_tells_what_the_campaign_found() -> None:
    record = json.loads(RECORD.read_text("utf-8"))
    text = PAGE.read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == section(record)
    assert [tuple(row[:4]) for row in record["cases"]] == [name_of(case) for case in all_cases()]


def test_every_promise_is_kept_by_enough_faults_everywhere() -> None:
    rows = json.loads(RECORD.read_text("utf-8"))["cases"]
    assert len(rows) >= 300 and [row for row in rows if row[4]] == []
    assert Counter(row[1] for row in rows).keys() >= VERBS.keys() | {"explain", "list", "new"}
    assert {row[2] for row in rows} >= {"fit", "translate", "score", "time"}
    names = [tuple(row[:4]) for row in rows]
    assert len(names) == len(set(names))
