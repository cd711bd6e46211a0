"""``bench score``: score pictures made elsewhere, or explain a metric."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.api import BenchError
from bench.cli import app
from bench.cli import options as o
from bench.suite.presets import FOUND, PHOTOGRAPHS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from rich.console import Console

    from bench.api import RunView


_OF_DATASET = (
    "direction",
    "data_root",
    "preset",
    "size",
    "samples",
    "test_limit",
    "allow_missing",
    "grid",
    "resize",
    "out",
)
"""Options that mean something with a dataset alone."""


@app.command()
def score(
    ctx: typer.Context,
    outputs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="With --dataset, folders of pictures as outputs:FOLDER takes them; with "
            "--reference, a folder for each sample."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Whose test images were translated.")
    ] = None,
    direction: Annotated[
        str | None, typer.Option(help="a2b, b2a or by name; else both, a folder each.")
    ] = None,
    data_root: o.DataRoot = None,
    preset: Annotated[str, typer.Option(help="Of the dataset.")] = "paper",
    size: Annotated[
        int | None, typer.Option(help="Side in pixels; else that of the pictures.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Use at most so many for each input.")] = 10,
    test_limit: o.TestLimit = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="An option of a metric, of the network behind it, or of the dataset; may be "
            "repeated.",
            metavar="NAME.KEY=VALUE",
        ),
    ] = None,
    allow_missing: o.AllowMissing = False,
    grid: Annotated[
        str, typer.Option(help="Cut each picture into tiles, its samples.", metavar="4x3")
    ] = "",
    resize: Annotated[
        bool,
        typer.Option("--resize", help="Take pictures of another size: short side, then centre."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Keep a run folder, with its page.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="In place of a dataset: real images of the target domain.")
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(help="With --reference: what was translated; paired with outputs by name."),
    ] = None,
    metrics: o.Metrics = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
    csv: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
    explain: Annotated[
        str | None, typer.Option(help="Say what a metric's number means.", metavar="METRIC")
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Score pictures that any program made: against a dataset, or any folder of real ones."""
    from rich.console import Console
    from rich.text import Text

    from bench.storage.files import check_writable

    console = Console()
    if explain is not None:
        from bench.metrics.explain import explain as explained
        from bench.plugins import load_plugins

        console.print(Text(explained(explain, load_plugins(plugin or []))))
        return
    if dataset is None and data_root is not None:
        dataset = PHOTOGRAPHS
    if not outputs or (dataset is None) == (reference is None):
        raise BenchError("name the folders of outputs, and either --dataset or --reference FOLDER")
    # Long because each option goes on by its name.
    view: RunView | None = None
    _refuse(ctx, ("inputs",) if reference is None else _OF_DATASET, reference is None)
    if csv is not None:
        if csv.is_dir():
            raise BenchError(f"--csv {csv} is a folder: name a file")
        check_writable(csv.absolute().parent, "choose another place with --csv")
    if dataset is not None:
        from bench.suite.schema import method_entry

        if grid and size is None:
            raise BenchError("--grid needs --size: the side of a tile, and of what it is scored at")
        config = {"grid": grid, "resize": resize}
        methods = [method_entry(f"{FOUND}:{folder}") | {"config": config} for folder in outputs]
        view = _by_dataset(
            out,
            methods=methods,
            dataset=dataset,
            data_root=data_root,
            directions=direction,
            preset=preset,
            size=_side(Path(methods[0]["root"])) if size is None else size,
            samples=samples,
            seeds="0",
            test_limit=test_limit,
            settings=setting,
            allow_missing=allow_missing,
            metrics=metrics,
            device=device,
            weights_dir=weights_dir,
            offline=offline,
            plugins=plugin,
        )
        frame = view.measurements
    else:
        from bench.metrics.frame import score_frame

        metric_options, extractors = _options(setting, plugin)
        frame = score_frame(
            outputs[0] if len(outputs) == 1 else list(outputs),
            str(reference),
            inputs=inputs,
            metrics=o.split(metrics),
            device=device or "auto",
            weights_dir=weights_dir,
            offline=offline,
            metric_options=metric_options,
            extractors=extractors,
            plugins=plugin or (),
        )
    _show(console, frame)
    if csv is not None:
        from bench.storage.files import write_atomic

        write_atomic(csv, frame.to_csv(index=False))
    if view is not None and view.verdict != "valid":
        from bench.cli.show import show_verdict

        show_verdict(console, view)
        raise typer.Exit(1 if view.verdict == "invalid" else 0)


def _options(
    settings: list[str] | None, plugin: list[Path] | None
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the options of metrics and of extractors, each by name."""
    from bench.plugins import load_plugins, unknown

    registry = load_plugins(plugin or [])
    options: dict[str, dict[str, Any]] = {}
    for path, value in o.settings_of(settings).items():
        # A network's name may have dots of its own; its options have none.
        name, dot, key = path.rpartition(".")
        if not dot:
            raise BenchError(f"--set {path}={value}: write NAME.KEY=VALUE")
        if name not in registry.metrics and name not in registry.extractors:
            known = (*registry.metrics, *registry.extractors)
            raise BenchError(f"--set {path}: {unknown('metric or extractor', name, known)}")
        options.setdefault(name, {})[key] = value
    metrics = {name: values for name, values in options.items() if name in registry.metrics}
    return metrics, {name: values for name, values in options.items() if name not in metrics}


def _refuse(ctx: typer.Context, names: Sequence[str], by_dataset: bool) -> None:
    """Options that would be passed over without a word."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(str(parameter.name))
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            other, here = ("reference", "dataset") if by_dataset else ("dataset", "reference")
            raise BenchError(
                f"{parameter.opts[0]} belongs to --{other}: leave it out with --{here}"
            )


def _side(folder: Path) -> int:
    """The side of the first picture in a folder: what the others, and the inputs, must have."""
    from bench.data.folder import pictures_in
    from bench.data.images import read_image

    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder: name the folder of the pictures")
    for file in pictures_in(folder):
        with suppress(BenchError):  # it is listed later, with all that is at fault
            height, width = read_image(file).shape[:2]
            break
    else:
        raise BenchError(f"{folder} holds no picture that can be decoded: make them again")
    if height != width:
        raise BenchError(f"{file} is {width}x{height}: the suite scores squares")
    return int(height)


def _by_dataset(out: Path | None, **options: Any) -> RunView:
    """A run that has these pictures alone."""
    from tempfile import TemporaryDirectory

    from bench.execution.progress import make_listener
    from bench.execution.runner import execute

    suite = o.build_suite(None, **options)
    with TemporaryDirectory() as folder, make_listener() as listener:
        kept = out is not None
        execution = execute(
            suite, out=out or Path(folder) / "run", reports=None if kept else [], listener=listener
        )
    if execution.failures:
        failed = execution.view.trials.query("status != 'ok'").iloc[0]
        raise BenchError(f"{failed['label']} could not be scored: {failed['reason']}")
    return execution.view


def _show(console: Console, frame: pd.DataFrame) -> None:
    """Print measurements, with label and direction where there are any."""
    from rich.table import Table
    from rich.text import Text

    places = [name for name in ("label", "direction") if name in frame]
    words = [*places, "metric", "subset", "extractor"]
    table = Table(box=None, header_style="bold")
    for column in (*places, "metric", "value", "interval", "n", "subset", "extractor"):
        table.add_column(column, justify="left" if column in words else "right")
    for row in frame.to_dict("records"):
        low, high = row["low"], row["high"]
        between = f"{low:.4g} … {high:.4g}" if low is not None and low == low else ""
        extractor = row["extractor"] if isinstance(row["extractor"], str) else ""
        cells = [str(row[name]) for name in (*places, "metric")]
        cells += [f"{row['value']:.4g}", between, str(row["n"]), str(row["subset"]), extractor]
        table.add_row(*(Text(cell) for cell in cells))
    if not console.is_terminal:  # what reads a pipe needs its names whole, and has no width
        console.width = 10_000
    console.print(table)
