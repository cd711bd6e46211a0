"""``bench doctor``: what works on this machine, and what is missing."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.api import BenchError, WeightFile
from bench.cli import app
from bench.cli import options as o
from bench.cli.weights import known_files


def _state(file: WeightFile, weights_dir: Path | None) -> tuple[str, str, str]:
    from bench.storage.weights import find, ways_to_get

    try:
        path = find(file, weights_dir=weights_dir, offline=True)
    except BenchError as error:
        return "wrong", "red", str(error)
    if path is not None:
        return "found", "green", str(path)
    return "missing", "yellow", f"for {file.used_for}: {ways_to_get(file)}"


@app.command()
def doctor(weights_dir: o.WeightsDir = None, plugin: o.PluginFiles = None) -> None:
    """Check versions, devices, pretrained weights and plugins."""
    from rich.console import Console
    from rich.text import Text

    from bench.execution.environment import describe_environment
    from bench.plugins import load_plugins, resolve
    from bench.storage.weights import cache_folder

    console = Console()

    def line(name: str, text: str, style: str = "") -> None:
        console.print(
            Text(f"  {name:<28} ", style="bold") + Text(text, style=style), soft_wrap=True
        )

    environment = describe_environment()
    console.print(Text("versions", style="bold underline"))
    line("python", environment["python"])
    for name, version in environment["versions"].items():
        line(name, version)
    console.print(Text("device", style="bold underline"))
    for name, value in environment["hardware"].items():
        line(name, str(value))
    line("cache", str(cache_folder()))

    registry = load_plugins(plugin or [])
    console.print(Text("pretrained weights", style="bold underline"))
    for file in known_files(registry).values():
        state, style, text = _state(file, weights_dir)
        line(file.name, f"{state} {text}", style)

    console.print(Text("plugins", style="bold underline"))
    healthy = not registry.broken
    for broken in registry.broken:
        line(broken.name, f"broken: {broken.reason} ({broken.origin})", "red")
    for kind in ("methods", "datasets", "reports", "launchers", "metrics", "extractors"):
        for spec in getattr(registry, kind).values():
            try:
                resolve(spec.implementation)
            except BenchError as error:
                healthy = False
                line(spec.name, f"broken: {error}", "red")
    if healthy:
        line("all", "load and import", "green")
    raise typer.Exit(0 if healthy else 1)
