"""The page that asks people, in a real browser: keys, touch, a phone's width, a killed program."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.storage.votes import read_ballots, read_votes, write_ballots
from bench.voting.ballots import make_ballots
from bench.voting.server import VoteServer, export
from tests.factories import make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = make_run(tmp_path / "run", methods=("munit", "cyclegan"), inputs=4, samples=2, size=48)
    write_ballots(made.path, make_ballots(made, count=8))
    return made.path


@pytest.fixture
def server(run: Path) -> Iterator[VoteServer]:
    with VoteServer(run, read_ballots(run)) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def opened(browser: Browser, url: str, name: str = "Ann", **options: Any) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.fill("#name", name)
    page.keyboard.press("Enter")
    return page


def at(page: Page, ballot: str) -> None:
    page.wait_for_function(f"document.documentElement.dataset.ballot === {json.dumps(ballot)}")


def test_by_keyboard_to_the_end(browser: Browser, server: VoteServer, run: Path) -> None:
    page = opened(browser, server.url)
    keys = [
        "ArrowLeft",
        "ArrowRight",
        " ",
        "ArrowLeft",
        "ArrowRight",
        " ",
        "ArrowLeft",
        "ArrowLeft",
    ]
    for ballot, key in zip(server.order, keys, strict=True):
        at(page, ballot.id)
        page.keyboard.press(key)
    page.wait_for_selector("#end:not([hidden])")
    page.keyboard.press("ArrowLeft")  # nothing is asked any more
    votes = {vote.ballot: vote for vote in read_votes(run, server.ballots)}
    words = {"ArrowLeft": "left", "ArrowRight": "right", " ": "tie"}
    assert [votes[b.id].answer for b in server.order] == [words[key] for key in keys]
    assert all(0 < vote.seconds < 30 for vote in votes.values())
    page.context.close()


def test_one_step_back_changes_an_answer(browser: Browser, server: VoteServer, run: Path) -> None:
    page = opened(browser, server.url)
    first, second = server.order[:2]
    at(page, first.id)
    page.keyboard.press("ArrowLeft")
    at(page, second.id)
    page.keyboard.press("Backspace")
    at(page, first.id)
    page.keyboard.press("ArrowRight")
    at(page, second.id)
    (vote,) = read_votes(run, server.ballots)
    assert (vote.ballot, vote.answer) == (first.id, "right")
    page.context.close()


def test_a_phone_shows_all_without_scrolling_sideways(browser: Browser, server: VoteServer) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    page = opened(browser, server.url, **phone)
    at(page, server.order[0].id)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for name in ("left", "right", "tie"):
        box = page.locator(f"#{name}").bounding_box()
        assert box is not None and box["y"] + box["height"] <= 740 and box["height"] >= 44
    page.tap("#right")
    at(page, server.order[1].id)
    page.tap("#tie")
    at(page, server.order[2].id)
    page.context.close()


@contextmanager
def serving(run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``bench vote`` in a process of its own, and its address."""
    command = [sys.executable, "-m", "bench", "vote", str(run), "--ballots", "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().removeprefix("open ").strip()
        process.kill()


def test_killed_in_the_middle_it_goes_on_where_it_was(browser: Browser, run: Path) -> None:
    ballots = read_ballots(run)
    with serving(run) as (program, url):
        page = opened(browser, url)
        for ballot in ballots[:3]:
            at(page, ballot.id)
            page.keyboard.press("ArrowLeft")
        at(page, ballots[3].id)
        program.kill()
        program.wait()
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(
            "document.getElementById('error').textContent.startsWith('Not kept')"
        )
        page.context.close()
    with serving(run) as (_, url):
        page = opened(browser, url)
        at(page, ballots[3].id)
        page.context.close()
    assert len(read_votes(run, {ballot.id: ballot for ballot in ballots})) == 3


def test_an_exported_page_works_alone(browser: Browser, run: Path, tmp_path: Path) -> None:
    ballots = read_ballots(run)
    out = tmp_path / "page.html"
    export(run, ballots, out)
    page = opened(browser, out.as_uri(), accept_downloads=True)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for ballot in ballots:
        at(page, ballot.id)
        page.click("#right")
    with page.expect_download() as waiting:
        page.click("#save")
    rows = json.loads(Path(waiting.value.path()).read_text("utf-8"))
    assert [row["ballot"] for row in rows] == [ballot.id for ballot in ballots]
    assert {row["answer"] for row in rows} == {"right"} and {row["voter"] for row in rows} == {
        "Ann"
    }
    assert all(url.startswith(("data:", "blob:")) for url in requests)
    page.context.close()
