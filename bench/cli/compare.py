"""``bench compare``: two runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import app


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="The run that was.")],
    run_b: Annotated[Path, typer.Argument(help="The run that is now.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Exit 1 when this holds; may be repeated.", metavar='"kid worse"'),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what is the same, too.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Write the comparison as a page into this folder.")
    ] = None,
) -> None:
    """Show what differs between two runs: paired tests, intervals, and settings."""
    from rich.console import Console
    from rich.text import Text

    from bench.analysis.compare import compare as compare_runs
    from bench.analysis.rules import fails, parse_rule
    from bench.cli.tables import comparison_lines
    from bench.storage.files import check_writable

    rules = [parse_rule(text) for text in fail_if or ()]
    comparison = compare_runs(run_a, run_b)
    if page is not None:
        check_writable(page, "choose another place with --page")
    console = Console()
    for renderable in comparison_lines(comparison, everything=everything):
        console.print(renderable)
    if page is not None:
        from bench.plugins import load_plugins, resolve

        for spec in load_plugins([]).reports.values():
            if spec.comparison:
                made = resolve(spec.comparison)(comparison, page, spec.config())
                console.print(Text(f"page  {made}"), soft_wrap=True)
    broken = [
        text for text, rule in zip(fail_if or (), rules, strict=True) if fails(comparison, rule)
    ]
    for text in broken:
        console.print(Text(f"fails: {text}", style="red"))
    raise typer.Exit(1 if broken else 0)
