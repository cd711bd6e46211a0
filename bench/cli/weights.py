"""``bench weights``: trained models with names, pretrained files, and conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError, OfficialMethod, WeightFile
from bench.cli import app
from bench.cli import options as o
from bench.plugins import Registry

weights = typer.Typer(
    help="Trained models by name; fetch pretrained weights, convert trained ones.",
    no_args_is_help=True,
)
app.add_typer(weights, name="weights")

ModelTitle = Annotated[str, typer.Argument(help="METHOD@NAME, as bench weights list has it.")]


def known_files(registry: Registry) -> dict[str, WeightFile]:
    """Every pretrained file some plugin may use, by name."""
    groups = [spec.weights for spec in registry.methods.values()]
    groups += [spec.weights for spec in registry.extractors.values()]
    return {file.name: file for group in groups for file in group}


@weights.command("list")
def list_models(plugin: o.PluginFiles = None) -> None:
    """List the trained models that plugins bring, for METHOD@NAME."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bench.plugins import load_plugins
    from bench.storage.models import open_model

    table = Table(box=None, header_style="bold")
    for column in ("model", "weights", "trained"):
        table.add_column(column)
    for title, spec in sorted(load_plugins(plugin or []).models.items()):
        model = open_model(spec)
        size = f"{model.beside.stat().st_size / 1e6:.1f} MB" if model.is_here else "to fetch"
        table.add_row(*map(Text, (title, size, model.card.summary)))
    Console().print(table if table.row_count else "no plugin brings a trained model")


@weights.command()
def show(title: ModelTitle, plugin: o.PluginFiles = None) -> None:
    """Show a model's card: data, recipe, cost, scores, licence, what it is bad at."""
    from rich.console import Console
    from rich.text import Text

    from bench.plugins import load_plugins
    from bench.storage.models import open_model

    card = open_model(load_plugins(plugin or []).model(title)).card
    training = card.training
    commit = f" at {training.commit[:12]}" if training.commit else ""
    lines = [
        ("trained on", f"{card.trained_on} (content {training.fingerprint[:16]})"),
        (
            "training",
            f"{card.summary}, on {training.hardware}, {training.precision}, seed {training.seed}, "
            f"version {training.version}{commit}",
        ),
        *([("begun with", training.begun_with)] if training.begun_with else []),
        ("recipe", ", ".join(f"{key}={value}" for key, value in training.config.items())),
        ("licence", card.license),
        *(("bad at", text) for text in card.bad_at),
    ]
    for score in card.scores:
        subset = "" if score.subset == "all" else f" ({score.subset})"
        between = "" if score.low is None else f" [{score.low:.4g}, {score.high:.4g}]"
        network = f", {score.extractor}" if score.extractor else ""
        value = f"{score.metric}{subset} {score.value:.4g}{between}, n {score.n}{network}"
        lines.append((f"{score.dataset} {score.direction}", value))
    passed: dict[tuple[str, str], list[str]] = {}
    for point in card.curve:
        if point.subset == "all":
            after = f"{point.value:.4g} ({point.iteration:,} it, {point.core_hours:.2g} core-hours)"
            place = f"{point.dataset} {point.direction}", f"{point.metric} on the way"
            passed.setdefault(place, []).append(after)
    lines += [(where, f"{what} {', '.join(values)}") for (where, what), values in passed.items()]
    console = Console()
    console.print(Text(card.title, style="bold"))
    for word, text in lines:
        console.print(Text(f"{word:<12}"), Text(text), soft_wrap=True)


@weights.command()
def verify(
    titles: Annotated[list[str] | None, typer.Argument(help="METHOD@NAME; else all.")] = None,
    weights_dir: o.WeightsDir = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Check that the weights of trained models are those of their cards, and can be read."""
    from bench.plugins import load_plugins
    from bench.storage.models import open_model
    from bench.storage.weights import read_state

    registry = load_plugins(plugin or [])
    for title in titles or sorted(registry.models):
        model = open_model(registry.model(title))
        state = read_state(model.weights(weights_dir=weights_dir))
        numbers = sum(tensor.numel() for tensor in state.values())
        typer.echo(
            f"{title}: {numbers:,} numbers, sha256 {model.card.sha256[:16]}… as it should be"
        )


@weights.command()
def pack(
    trial: Annotated[
        Path, typer.Argument(help="RUN/LABEL, or a file in RUN/trials/TRIAL/checkpoints/kept.")
    ],
    name: Annotated[str, typer.Option(help="What it is called, after its method: seasons-64.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder, as a plugin's weights.")],
    license: Annotated[str, typer.Option(help="Under which the weights may be used.")],
    bad_at: Annotated[
        list[str] | None, typer.Option(help="What it does badly, a sentence; may be repeated.")
    ] = None,
    url: Annotated[str, typer.Option(help="Where the weights are published, if not shipped.")] = "",
    scores: Annotated[
        Path | None,
        typer.Option(help="RUN/LABEL that loaded it: take its scores.", metavar="TRIAL"),
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Make a trained model of a trial: float16 weights and a card; all facts come from the run."""
    from bench.execution import pack as packing
    from bench.plugins import load_plugins

    model = packing.pack(
        trial,
        name,
        out,
        load_plugins(plugin or []),
        license=license,
        bad_at=bad_at or (),
        url=url,
        scored=scores,
    )
    typer.echo(model.path)
    typer.echo(model.beside)


@weights.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="File names from bench doctor; else all.")
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Download official pretrained weights into the cache, verified by SHA-256."""
    from bench.plugins import load_plugins, unknown
    from bench.storage.weights import find, ways_to_get

    files = known_files(load_plugins(plugin or []))
    for name in names or ():
        if name not in files:
            raise BenchError(unknown("weights file", name, files))
    for name in names or sorted(files):
        path = find(files[name], weights_dir=None, offline=False)
        typer.echo(f"{name}: {path or ways_to_get(files[name])}")


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
