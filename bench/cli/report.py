"""``bench report``: render the reports of a run again, or of several as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import app
from bench.cli import options as o
from bench.suite.presets import FIGURE


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="A run folder; with --merge, several.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Make one run of several, and report that.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the merged run; else 'merged' beside the first."),
    ] = None,
    reports: Annotated[
        str | None, typer.Option(help="Names, joined with commas; else all.", metavar="A,B")
    ] = None,
    figure: Annotated[
        bool,
        typer.Option("--figure", help=f"Inputs by methods as PDF and PNG: --reports {FIGURE}."),
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of a report.", metavar="REPORT.KEY=VALUE"),
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Write the tables and the page of a run again, from what it measured.

    With --merge, runs that were made on several machines share one page.
    """
    from bench.analysis.validity import open_run
    from bench.api import BenchError
    from bench.execution.runner import Execution, render_reports
    from bench.plugins import load_plugins, make_config

    if not merge and (len(runs) > 1 or out is not None):
        raise BenchError("several runs or --out need --merge: bench report RUN_A RUN_B --merge")
    registry = load_plugins(plugin or [])
    names = [*(o.split(reports) or []), FIGURE] if figure else o.split(reports)
    for name in names or ():
        registry.report(name)
    if merge:
        from bench.analysis.merge import merge as merged

        view = merged(runs, out or runs[0].resolve().parent / "merged")
    else:
        view = open_run(runs[0].resolve())
    options = {name: dict(found) for name, found in view.suite.get("reports", {}).items()}
    for key, value in o.settings_of(setting).items():
        name, _, option = key.partition(".")
        options.setdefault(registry.report(name).name, {})[option] = value
    for name, found in options.items():  # refused before anything is written
        make_config("report", name, registry.report(name).config, found)
    view = replace(view, suite={**view.suite, "reports": options})
    page, problems = render_reports(view, registry, names)
    from bench.cli.show import show_execution

    show_execution(Execution(view, page, problems))
    if figure:
        typer.echo(view.path / "report" / "figures")
    raise typer.Exit(1 if problems or view.verdict == "invalid" else 0)
