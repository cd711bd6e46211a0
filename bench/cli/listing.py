"""``bench list``: what there is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import app
from bench.cli import options as o


class What(StrEnum):
    """What can be listed."""

    methods = "methods"
    datasets = "datasets"
    metrics = "metrics"
    extractors = "extractors"
    reports = "reports"
    launchers = "launchers"
    runs = "runs"


def _traits(spec: Any) -> str:
    names = ("trained", "multimodal", "exemplar", "paired", "baseline", "given")
    traits = [name for name in names if getattr(spec, name, False)]
    if kind := getattr(spec, "kind", ""):
        traits.append(kind)
    return ", ".join(traits)


@app.command(name="list")
def list_(
    what: Annotated[What, typer.Argument(help="methods, datasets, metrics, …")] = What.methods,
    plugin: o.PluginFiles = None,
    runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
) -> None:
    """List methods, datasets, metrics, extractors, reports, launchers or runs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, header_style="bold")
    if what is What.runs:
        for column in ("run", "state"):
            table.add_column(column)
        for suite in sorted(runs.glob("*/suite.toml")):
            state = "finished" if (suite.parent / "DONE").exists() else "unfinished"
            table.add_row(Text(str(suite.parent)), state)
        console.print(table if table.row_count else f"no runs in {runs}")
        return

    from bench.plugins import load_plugins

    registry = load_plugins(plugin or [])
    for column in ("name", "what it is", "traits"):
        table.add_column(column, overflow="fold")
    for name, spec in sorted(getattr(registry, what.value).items()):
        table.add_row(Text(name, style="bold"), Text(spec.summary), Text(_traits(spec)))
    console.print(table)
    for broken in registry.broken:
        console.print(Text(f"broken plugin {broken.name}: {broken.reason}", style="red"))
