"""``bench score``: score pictures made elsewhere, or explain a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError
from bench.cli import app
from bench.cli import options as o


@app.command()
def score(
    outputs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of outputs: one for each sample.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of real images of the target domain.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Folder of what was translated, in the same order.")
    ] = None,
    metrics: o.Metrics = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights_dir: o.WeightsDir = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
    explain: Annotated[
        str | None, typer.Option(help="Say what a metric's number means.", metavar="METRIC")
    ] = None,
) -> None:
    """Score pictures that any program made against real ones."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if explain is not None:
        from bench.metrics.plugin import explain as explained

        console.print(Text(explained(explain)))
        return
    if not outputs or reference is None:
        raise BenchError("name the folders of outputs, and --reference FOLDER")

    from bench.devices import choose_device
    from bench.metrics import score as score_images
    from bench.store import write_atomic

    frame = score_images(
        outputs[0] if len(outputs) == 1 else list(outputs),
        reference,
        inputs=inputs,
        metrics=o.split(metrics),
        device=str(choose_device(device)),
        weights_dir=weights_dir,
    )
    table = Table(box=None, header_style="bold")
    for column in ("metric", "value", "interval", "n", "extractor"):
        table.add_column(column, justify="left" if column in ("metric", "extractor") else "right")
    for row in frame.to_dict("records"):
        low, high = row["low"], row["high"]
        between = f"{low:.4g} … {high:.4g}" if low is not None and low == low else ""
        extractor = row["extractor"] if isinstance(row["extractor"], str) else ""
        cells = (row["metric"], f"{row['value']:.4g}", between, str(row["n"]), extractor)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if csv is not None:
        write_atomic(csv, frame.to_csv(index=False))
