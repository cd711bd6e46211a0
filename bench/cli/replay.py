"""``bench replay``: score a run again from its stored pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import app
from bench.cli import options as o

if TYPE_CHECKING:
    from rich.console import Console

    from bench.execution.replay import Replayed

_NAMED = 8
"""Changed pictures named for each role."""


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    methods: o.Methods = None,
    data_root: o.DataRoots = None,
    weights_dir: o.WeightsDir = None,
    device: o.Device = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show equal values, too, not only those that differ.")
    ] = False,
    plugin: o.PluginFiles = None,
) -> None:
    """Score a run again from its stored pictures, and say what differs.

    Exit code 0: everything is equal; 1: something differs.
    """
    from rich.console import Console

    from bench.execution.replay import replay as replayed
    from bench.plugins import load_plugins

    console, aside = Console(), Console(stderr=True)
    differing = total = 0
    with aside.status("scoring again"):
        for one in replayed(
            run.resolve(),
            load_plugins(plugin or []),
            labels=o.split(methods),
            data_root=data_root,
            weights_dir=weights_dir,
            device=device,
        ):
            total += 1
            differing += one.differs
            _show(console, one, everything)
    if differing:
        console.print(f"{differing} of {total} differ", style="red")
        raise typer.Exit(1)
    console.print(f"all {total} are equal")


def _show(console: Console, one: Replayed, everything: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from bench.analysis.text import clean_text

    equal = int(one.rows["equal"].sum())
    note = " (the code that scores has changed since)" if one.code_changed else ""
    title = f"{one.label} on {one.dataset}, seed {one.seed}, {one.direction}"
    console.print(Text(clean_text(f"{title}: {equal} of {len(one.rows)} values are equal{note}")))
    told: Counter[str] = Counter()
    for change in one.changed:
        told[change.role] += 1
        if told[change.role] <= _NAMED:
            console.print(Text(clean_text(f"  {change}"), style="red"))
    for role, count in told.items():
        if count > _NAMED:
            console.print(Text(f"  {role}: {count - _NAMED} more", style="red"))
    rows = one.rows if everything else one.rows[~one.rows["equal"]]
    if rows.empty:
        return
    table = Table(box=None, header_style="bold")
    for column in ("metric", "subset", "extractor", "stored", "replayed", "relative"):
        number = column in ("stored", "replayed", "relative")
        table.add_column(column, justify="right" if number else "left")
    for row in rows.to_dict("records"):
        numbers = [_number(row["stored"]), _number(row["replayed"]), _number(row["relative"], 2)]
        names = [clean_text(row[name]) for name in ("metric", "subset", "extractor")]
        style = "" if row["equal"] else "red"
        table.add_row(*(Text(cell, style=style) for cell in (*names, *numbers)))
    console.print(table)


def _number(value: float, digits: int = 6) -> str:
    return "–" if value != value else f"{value:.{digits}g}"
