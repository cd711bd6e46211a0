"""Losses, measured values and sample sheets of a run for TensorBoard, while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.api import Event, import_extra
from bench.execution.progress import RunListener
from bench.storage.files import check_writable
from bench.storage.jobs import Job


class TensorBoardListener:
    """Passes everything on to another listener, and writes what can be plotted.

    Parameters
    ----------
    inner
        Who shows the run.
    folder
        Gets ``<run>/<trial>/events.out.tfevents…``.

    Raises
    ------
    BenchError
        When TensorBoard is not installed, or the folder cannot be written to.
    """

    def __init__(self, inner: RunListener, folder: Path) -> None:
        import_extra("tensorboard", "--tensorboard", "translation-bench[tensorboard]")
        from torch.utils.tensorboard import SummaryWriter

        check_writable(folder, "choose another place with --tensorboard")
        self.inner, self.folder = inner, folder
        self._open: Any = SummaryWriter
        self.writers: dict[str, Any] = {}
        self.run = ""

    def __enter__(self) -> Self:
        """Open the inner listener."""
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every file, then the inner listener."""
        for writer in self.writers.values():
            writer.close()
        self.inner.__exit__(kind, error, trace)

    def planned(self, run: Path, jobs: Sequence[Job]) -> None:
        """The run begins; its name becomes a folder."""
        self.run = run.name
        self.inner.planned(run, jobs)

    def event(self, trial: str, event: Event) -> None:
        """Write the values and pictures of training."""
        self.inner.event(trial, event)
        if event.stage != "fit" or event.done is None:
            return
        step = int(event.done)
        for name, value in event.values.items():
            self._writer(trial).add_scalar(name, value, step)
        if event.path:
            from bench.data.images import read_image

            pixels = read_image(Path(event.path))
            self._writer(trial).add_image("samples", pixels, step, dataformats="HWC")

    def _writer(self, trial: str) -> Any:
        if trial not in self.writers:
            self.writers[trial] = self._open(str(self.folder / self.run / trial))
        return self.writers[trial]

    def finished(self, job: Job, row: Mapping[str, Any]) -> None:
        """Close the trial's file."""
        if (writer := self.writers.pop(job.trial, None)) is not None:
            writer.close()
        self.inner.finished(job, row)

    def leave(self, run: Path, count: int) -> bool:
        """Ask the other."""
        return self.inner.leave(run, count)
