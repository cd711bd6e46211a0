"""What is printed while a run goes on: names stay text, whatever they contain."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.api import BenchError, Event
from bench.execution.progress import LiveListener, PlainListener, RunListener, make_listener
from bench.plugins import load_plugins
from bench.storage.jobs import Job
from bench.suite.plan import make_plan
from bench.suite.schema import make_suite
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
    part = dataclasses.replace(job.method_part, label=name)
    job = dataclasses.replace(job, method_part=part)
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


@pytest.mark.parametrize("which", [0, 1], ids=["plain", "live"])
def test_what_a_second_direction_repeats_is_said_once(job: Job, which: int) -> None:
    out = io.StringIO()
    with _listeners(out)[which] as listener:
        listener.planned(Path("run"), [job])
        for trial in (job.trial, job.trial, "another"):
            listener.event(trial, Event("log", "score", "not measured"))
    assert out.getvalue().count("not measured") == 2


def test_tensorboard_gets_losses_values_and_sheets(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from bench.cli.tensorboard import TensorBoardListener
    from bench.data.images import write_png

    sheet = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    write_png(tmp_path / "sheet.png", sheet)
    out = io.StringIO()
    inner = PlainListener(Console(file=out, width=200))
    with TensorBoardListener(inner, tmp_path / "tb") as listener:
        listener.planned(Path("somewhere/run7"), [job])
        for done in (1, 2):
            values = {"gen": 0.5 / done}
            listener.event(job.trial, Event("progress", "fit", "", done, 2, "it", values))
        path = str(tmp_path / "sheet.png")
        listener.event(job.trial, Event("sample", "fit", "s", 2, 2, "it", {"kid": 0.1}, path))
        listener.event(job.trial, Event("progress", "translate", "x", 1, 2, "images"))
        listener.finished(job, {"status": "ok"})
    assert "1 trials into somewhere/run7" in out.getvalue() and "ok" in out.getvalue()
    found = EventAccumulator(str(tmp_path / "tb" / "run7" / job.trial)).Reload()
    assert [(e.step, e.value) for e in found.Scalars("gen")] == [(1, 0.5), (2, 0.25)]
    assert [e.step for e in found.Scalars("kid")] == [2]
    assert set(found.Tags()["scalars"]) == {"gen", "kid"}
    (image,) = found.Images("samples")
    assert (image.step, image.height, image.width) == (2, 4, 6)


def test_tensorboard_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli.tensorboard import TensorBoardListener

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BenchError, match=r"pip install 'translation-bench\[tensorboard\]'"):
        TensorBoardListener(PlainListener(Console(file=io.StringIO())), tmp_path / "tb")
    assert not (tmp_path / "tb").exists()


@pytest.mark.parametrize(
    ("answer", "left"), [("n", True), ("No ", True), ("", False), ("y", False), (None, False)]
)
def test_who_is_there_is_asked_what_becomes_of_trials_that_go_on(
    answer: str | None, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    plain, live = _listeners(out)

    def reply(self: Console, prompt: str) -> str:
        if answer is None:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Console, "input", reply)
    assert live.leave(Path("runs/x"), 3) is left
    assert ("bench run --resume --out runs/x goes on" in out.getvalue()) is left
    assert plain.leave(Path("runs/x"), 3) is False


def test_a_notebook_has_one_block_that_changes(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, block: dict[str, str], raw: bool) -> None:
            shown.append(block["text/html"])

    class Display:
        @staticmethod
        def display(block: dict[str, str], raw: bool, display_id: bool) -> Handle:
            shown.append(block["text/html"])
            return Handle()

    monkeypatch.setitem(sys.modules, "IPython", Display)
    monkeypatch.setitem(sys.modules, "IPython.display", Display)
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", Display)
    with make_listener() as listener:
        listener.planned(Path("run"), [job])
        listener.event(job.trial, Event("progress", "fit", "<b>", 1, 2, "it"))
        listener.finished(job, {"status": "ok"})
    assert "1 trials into run" in shown[0]
    assert "fit &lt;b&gt; 1/2 it" in shown[1]
    assert "fit" not in shown[2] and "ok" in shown[2] and "1 trials" in shown[2]
