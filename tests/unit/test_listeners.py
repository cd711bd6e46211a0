"""What is printed while a run goes on: names stay text, whatever they contain."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.api import Event
from bench.cli.progress import LiveListener, PlainListener, RunListener
from bench.job import Job
from bench.plan import make_plan
from bench.plugins import load_plugins
from bench.suite import make_suite
from tests import toys

HOSTILE = ["[red]x[/red]", "[/nothing]", "{task.fields}", "<script>", "=1+1", "\\[x]"]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    root = toys.make_folder(tmp_path / "data", count=1)
    dataset = {"name": "image_folder", "root": str(root)}
    suite = make_suite({"methods": ["identity"], "dataset": dataset, "size": 32})
    return make_plan(suite, load_plugins(), tmp_path / "cache").jobs[0]


def _listeners(out: io.StringIO) -> list[RunListener]:
    return [
        PlainListener(Console(file=out, width=200)),
        LiveListener(Console(file=out, width=200, force_terminal=True, no_color=True)),
    ]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("which", [0, 1], ids=["plain", "live"])
def test_names_stay_text(job: Job, name: str, which: int) -> None:
    out = io.StringIO()
    job = dataclasses.replace(job, label=name)
    with _listeners(out)[which] as listener:
        listener.planned(Path("run"), [job])
        for done in (1, 2):
            listener.event(job.trial, Event("progress", "fit", name, done, 2, "it", {name: 0.5}))
        listener.event(job.trial, Event("warning", "fit", name))
        listener.event("", Event("log", "", name))
        if isinstance(listener, LiveListener):
            listener.progress.refresh()
        listener.finished(job, {"status": "failed", "reason": name, "cached": "fit+score"})
    text = out.getvalue()
    assert text.count(name) >= 4
    assert "failed" in text and "from the cache: fit, score" in text


def test_plain_listener_is_sparing(job: Job) -> None:
    out = io.StringIO()
    with PlainListener(Console(file=out, width=200)) as listener:
        listener.planned(Path("run"), [job])
        for done in range(100):
            listener.event(job.trial, Event("progress", "fit", "", done, 100, "it"))
        listener.event(job.trial, Event("progress", "fit", "", 5, None, "it"))
    assert len(out.getvalue().splitlines()) == 2
