"""Watching a run: live bars on a terminal, one block in a notebook, plain lines elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bench.api import Event
from bench.storage.jobs import Job

_COLORS = {"ok": "green", "skipped": "yellow"}


class RunListener(Protocol):
    """A :class:`bench.execution.runner.Listener` that is opened and closed."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        ...

    def planned(self, run: Path, jobs: Sequence[Job]) -> None:
        """The run begins."""
        ...

    def event(self, trial: str, event: Event) -> None:
        """Something happened."""
        ...

    def finished(self, job: Job, row: Mapping[str, Any]) -> None:
        """A trial ended."""
        ...

    def leave(self, run: Path, count: int) -> bool:
        """Whether `count` trials shall go on without the run, which was interrupted."""
        ...


def _losses(event: Event) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in list(event.values.items())[:3])


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "")
        if not task.speed or not unit:
            return Text("")
        return Text(f"{task.speed:.1f} {unit}/s", style="cyan")


class _Logged:
    """What the trials have said: a second direction often repeats the first."""

    def __init__(self) -> None:
        self.lines: set[tuple[str, str]] = set()

    def fresh(self, trial: str, event: Event) -> bool:
        """True the first time a trial says a line; of the store they all share, for the first."""
        if event.kind not in ("warning", "log") or not event.message:
            return False
        line = ("", "store") if event.stage == "store" else (trial, event.message)
        known = line in self.lines
        self.lines.add(line)
        return not known


class LiveListener:
    """Bars for the trials under way, a line for each that ended."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _Rate(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[losses]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self.tasks: dict[str, tuple[str, Any]] = {}
        self.logged = _Logged()
        self.begun: dict[str, float] = {}
        self.labels: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self.progress.stop()

    def planned(self, run: Path, jobs: Sequence[Job]) -> None:
        """Say where the run is kept."""
        self.labels = _titles(jobs)
        count = sum(not job.skip for job in jobs)
        self.console.print(Text(f"{count} trials into {run}"))

    def event(self, trial: str, event: Event) -> None:
        """Move a bar, or print a line."""
        self.begun.setdefault(trial, time.monotonic())
        label = self.labels.get(trial, trial)
        if event.kind == "progress" and event.total:
            title = f"{event.stage} {event.message}".strip()
            known = self.tasks.get(trial)
            if known is None or known[0] != title:
                if known is not None:
                    self.progress.remove_task(known[1])
                text = Text.assemble((label, "bold"), f" {title}").markup
                task = self.progress.add_task(text, total=event.total, unit=event.unit, losses="")
                self.tasks[trial] = (title, task)
            self.progress.update(
                self.tasks[trial][1],
                completed=event.done or 0,
                total=event.total,
                losses=_losses(event),
            )
        elif self.logged.fresh(trial, event):
            warning = event.kind == "warning"
            text = f"{label}: {event.message}" if warning else event.message
            self.console.print(Text(text, style="yellow" if warning else "dim"))

    def finished(self, job: Job, row: Mapping[str, Any]) -> None:
        """Replace the trial's bar by a line."""
        if (known := self.tasks.pop(job.trial, None)) is not None:
            self.progress.remove_task(known[1])
        seconds = time.monotonic() - self.begun.get(job.trial, time.monotonic())
        self.console.print(_ended(self.labels.get(job.trial, job.label), job, row, seconds))

    def leave(self, run: Path, count: int) -> bool:
        """Ask; who gives no answer, or interrupts again, wants them ended."""
        self.progress.stop()
        self.console.print(f"{count} trials are queued or running and can go on.", highlight=False)
        try:
            answer = self.console.input("Cancel them? [Y/n] ")
        except (KeyboardInterrupt, EOFError):
            return False
        left = answer.strip().lower() in ("n", "no")
        if left:
            self.console.print(
                Text(f"bench status {run} shows them, bench run --resume --out {run} goes on"),
                soft_wrap=True,
            )
        return left


def _titles(jobs: Sequence[Job]) -> dict[str, str]:
    """What trials are called: by their methods, and datasets where there are several."""
    several = len({job.dataset_label for job in jobs}) > 1
    return {
        job.trial: f"{job.label} on {job.dataset_label}" if several else job.label for job in jobs
    }


def _ended(title: str, job: Job, row: Mapping[str, Any], seconds: float) -> Text:
    status = str(row["status"])
    cached = f" (from the cache: {row['cached'].replace('+', ', ')})" if row.get("cached") else ""
    reason = f": {row['reason']}" if row.get("reason") else ""
    return Text.assemble(
        (f"{status:<8}", _COLORS.get(status, "red")),
        (f" {title}", "bold"),
        f" seed {job.seed}, {seconds:.0f} s{cached}{reason}",
    )


class PlainListener:
    """One line now and then; for logs and pipes."""

    every = 10.0

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown: dict[tuple[str, str], float] = {}
        self.logged = _Logged()
        self.begun: dict[str, float] = {}
        self.labels: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to restore."""

    def _line(self, text: str | Text) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _passing(self, text: str) -> None:
        """Say what the next line makes old."""
        self._line(text)

    def planned(self, run: Path, jobs: Sequence[Job]) -> None:
        """Say where the run is kept."""
        self.labels = _titles(jobs)
        self._line(f"{sum(not job.skip for job in jobs)} trials into {run}")

    def event(self, trial: str, event: Event) -> None:
        """Print at most one progress line every ten seconds for each stage."""
        now = time.monotonic()
        self.begun.setdefault(trial, now)
        label = self.labels.get(trial, trial)
        if self.logged.fresh(trial, event):
            self._line(f"{label}: {event.message}" if label else event.message)
        if event.kind != "progress" or not event.total:
            return
        slot = (trial, event.stage)
        if now - self.shown.get(slot, -self.every) >= self.every:
            self.shown[slot] = now
            done = f"{event.done:.0f}/{event.total:.0f} {event.unit}"
            self._passing(
                f"{label} {event.stage} {event.message} {done}  {_losses(event)}".rstrip()
            )

    def finished(self, job: Job, row: Mapping[str, Any]) -> None:
        """Say how a trial ended."""
        seconds = time.monotonic() - self.begun.get(job.trial, time.monotonic())
        self._line(_ended(self.labels.get(job.trial, job.label), job, row, seconds).plain)

    def leave(self, run: Path, count: int) -> bool:
        """End them: nobody is there to be asked."""
        return False


class NotebookListener(PlainListener):
    """A block below the cell: what has happened, and what is happening."""

    every = 1.0

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.lines: list[str] = []
        self.handle: Any = None

    def _show(self, *more: str) -> None:
        display = import_module("IPython.display")
        text = "\n".join([*self.lines, *more])
        block = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
        if self.handle is None:
            self.handle = display.display(block, raw=True, display_id=True)
        else:
            self.handle.update(block, raw=True)

    def _line(self, text: str | Text) -> None:
        self.lines.append(str(text))
        self._show()

    def _passing(self, text: str) -> None:
        self._show(text)


def _in_notebook() -> bool:
    """Return whether a notebook's kernel runs this process."""
    return "ipykernel.kernelapp" in sys.modules


def make_listener() -> RunListener:
    """Live bars on a terminal, a block in a notebook, plain lines otherwise."""
    console = Console(stderr=True)
    if console.is_terminal and sys.stderr.isatty():
        return LiveListener(console)
    return NotebookListener(console) if _in_notebook() else PlainListener(console)
