"""``bench status`` and ``bench watch``: how far a run is, wherever its trials run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import app
from bench.cli import options as o

if TYPE_CHECKING:
    from rich.table import Table

    from bench.execution.status import TrialState

RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]

_COLORS = {"ok": "green", "running": "cyan", "skipped": "yellow", "waiting": "dim"}


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _table(states: list[TrialState]) -> Table:
    """A row for each trial."""
    from rich.table import Table
    from rich.text import Text

    from bench.analysis.text import clean_text

    table = Table(box=None, header_style="bold")
    for name in ("trial", "state", "at", "done", "left", ""):
        table.add_column(
            name, overflow="fold", justify="right" if name in ("done", "left") else "left"
        )
    for one in states:
        done = "" if one.done is None else f"{one.done:.0f}/{one.total:.0f} {one.unit}".strip()
        losses = "  ".join(f"{name} {value:.3g}" for name, value in list(one.values.items())[:3])
        said = one.reason or losses
        sample = f"  {one.sample}" if one.sample else ""
        color = _COLORS.get(one.state.partition(" ")[0], "red" if one.ended else "")
        cells = (one.job.trial, one.state, one.stage, done, _left(one.seconds), said + sample)
        name, state, *rest = (clean_text(cell) for cell in cells)
        table.add_row(Text(name), Text(state, style=color), *map(Text, rest))
    return table


@app.command()
def status(run: RunFolder, plugin: o.PluginFiles = None) -> None:
    """Say how far the trials of a run are, also those in a cluster's queue."""
    from rich.console import Console

    from bench.execution.status import trial_states
    from bench.plugins import load_plugins

    Console().print(_table(trial_states(run, load_plugins(plugin or []))))


@app.command()
def watch(
    run: RunFolder,
    plugin: o.PluginFiles = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 2.0,
) -> None:
    """Show how far the trials of a run are until all have ended; the run itself is left alone."""
    from rich.console import Console
    from rich.live import Live

    from bench.execution.status import trial_states
    from bench.plugins import load_plugins

    registry = load_plugins(plugin or [])
    states = trial_states(run, registry)
    with Live(_table(states), console=Console(), auto_refresh=False) as live:
        while not all(one.ended for one in states):
            time.sleep(every)
            states = trial_states(run, registry)
            live.update(_table(states), refresh=True)
