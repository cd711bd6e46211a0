"""What the terminal shows when a run has ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from bench.runner import Execution


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return min(str(path), relative, key=len)


def show_execution(execution: Execution) -> None:
    """The summary table, what failed, and where the page is."""
    from bench.summary import terminal_lines

    console = Console()
    for renderable in terminal_lines(execution.view):
        console.print(renderable)
    for problem in execution.problems:
        console.print(Text(problem, style="red"))
    console.print(Text(f"tables  {_short(execution.view.path / 'tables')}"), soft_wrap=True)
    if execution.report is not None:
        console.print(Text(f"report  {_short(execution.report)}"), soft_wrap=True)
