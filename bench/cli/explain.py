"""``bench explain``: pictures that show how a method works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError, Context, Explanation
from bench.cli import app
from bench.cli import options as o


@app.command()
def explain(
    method: Annotated[str, typer.Argument(help="A method's name.")],
    content: Annotated[Path, typer.Option(help="The picture whose content is kept.")],
    style: Annotated[Path, typer.Option(help="The picture whose style is taken.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    size: Annotated[int, typer.Option(help="Longer side in pixels.")] = 256,
    iterations: Annotated[int, typer.Option(help="Evaluations for every picture.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights_dir: o.WeightsDir = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Make a method's explanation: for neural style, its reconstructions layer by layer."""
    from bench.devices import choose_device
    from bench.plugins import load_plugins, resolve
    from bench.storage.files import check_writable

    spec = load_plugins(plugin or []).method(method)
    if not spec.explain:
        raise BenchError(f"method {method} has no explanation to make")
    if iterations < 1:
        raise BenchError(f"--iterations {iterations}: give 1 at least")
    for path in (content, style):
        if not path.is_file():
            raise BenchError(f"{path} does not exist")
    check_writable(out)
    ctx = Context(choose_device(device), weights_dir=weights_dir)
    explanation: Explanation = resolve(spec.explain)
    typer.echo(explanation(content, style, out, ctx, size=size, iterations=iterations))
