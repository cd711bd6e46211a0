"""``bench report``: render the reports of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import app
from bench.cli import options as o


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    reports: Annotated[
        str | None, typer.Option(help="Names, joined with commas; else all.", metavar="A,B")
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Write the tables and the page of a run again, from what it measured."""
    from bench.plugins import load_plugins
    from bench.results import read_run
    from bench.runner import Execution, render_reports

    registry = load_plugins(plugin or [])
    view = read_run(run.resolve())
    page, problems = render_reports(view, registry, o.split(reports))
    from bench.cli.show import show_execution

    show_execution(Execution(view, page, problems))
    raise typer.Exit(1 if problems else 0)
