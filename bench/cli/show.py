"""What the terminal shows when a run has ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from bench.api import RunView
    from bench.execution.runner import Execution

_STYLES = {"valid": "green", "remarks": "yellow", "invalid": "bold red"}


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return min(str(path), relative, key=len)


def show_verdict(console: Console, view: RunView) -> None:
    """Print the verdict of a run, and what stands behind it."""
    from bench.analysis.text import clean_text
    from bench.analysis.validity import VERDICTS, reasons

    said = "; ".join([VERDICTS[view.verdict], *reasons(view)])
    console.print(Text(f"verdict {clean_text(said)}", style=_STYLES[view.verdict]), soft_wrap=True)


def show_execution(execution: Execution) -> None:
    """Print the summary table, what failed, the verdict, and where the page is."""
    from bench.cli.tables import run_lines

    console = Console()
    for renderable in run_lines(execution.view):
        console.print(renderable)
    for problem in execution.problems:
        console.print(Text(problem, style="red"))
    show_verdict(console, execution.view)
    console.print(Text(f"tables  {_short(execution.view.path / 'tables')}"), soft_wrap=True)
    if execution.report is not None:
        console.print(Text(f"report  {_short(execution.report)}"), soft_wrap=True)
