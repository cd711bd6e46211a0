"""``bench check``: hold a plugin against the contract kit, promise by promise."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.api import (
    BenchError,
    DatasetSpec,
    ExtractorSpec,
    LauncherSpec,
    MethodSpec,
    MetricSpec,
    ReportSpec,
)
from bench.cli import app
from bench.cli import options as o

if TYPE_CHECKING:
    from bench.plugins import Registry
    from bench.testing.promises import AnySpec


@app.command()
def check(
    plugin: Annotated[str, typer.Argument(help="A plugin's file, or the name of what it offers.")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="An option of what is checked: make it as small as it gets.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    resumes: Annotated[
        bool, typer.Option("--resumes/--begins-anew", help="What an interrupted training does.")
    ] = True,
    run: Annotated[
        Path | None, typer.Option(help="The run that a report is tried on; else a small new one.")
    ] = None,
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
) -> None:
    """Try a plugin as the harness uses it: each promise is held, or broken and how to mend it."""
    from rich.console import Console
    from rich.text import Text

    from bench.testing import check_spec, promise, telling

    registry, specs = _chosen(plugin)
    options = o.settings_of(setting)
    attempt = partial(
        _try,
        resumes=resumes,
        run=run,
        extractors=tuple(registry.extractors.values()),
        weights_dir=weights_dir,
        offline=offline,
    )
    console = Console(soft_wrap=True)
    broken = 0

    def tell(what: str, why: str) -> None:
        nonlocal broken
        broken += bool(why)
        mark, style = ("broken", "red") if why else ("held", "green")
        console.print(Text.assemble((f"  {mark:<7}", style), what))
        if why:
            console.print(Text(f"          {why}"))

    for spec in specs:
        kind = type(spec).__name__.removesuffix("Spec").lower()
        console.print(Text(f"{kind} {spec.name}", style="bold"))
        try:
            with telling(tell), tempfile.TemporaryDirectory() as folder:
                with promise("its declaration is frozen, complete and valid", basis=True):
                    check_spec(spec)
                attempt(spec, options, Path(folder))
        except AssertionError:
            console.print(Text("  the rest was not tried: mend this first"))
    console.print(Text(f"{broken} broken" if broken else "all held", style="bold"))
    raise typer.Exit(1 if broken else 0)


def _chosen(plugin: str) -> tuple[Registry, list[AnySpec]]:
    """The specs that a file brings, or those of a name: of a thing, or else of a whole plugin."""
    from bench.plugins import load_plugins, unknown

    kinds = ("methods", "datasets", "metrics", "extractors", "reports", "launchers")
    file = Path(plugin) if plugin.endswith(".py") or Path(plugin).is_file() else None
    registry = load_plugins([file] if file else [])
    wanted = file.stem if file else plugin
    known = [(kind, name, spec) for kind in kinds for name, spec in getattr(registry, kind).items()]
    named = [spec for _, name, spec in known if name == wanted and not file]
    brought = [
        spec for kind, name, spec in known if registry.givers[f"bench_{kind}", name] == wanted
    ]
    if not (named or brought):
        if file:
            raise BenchError(f"{plugin} offers nothing: write a hook, marked with @hookimpl")
        for bad in registry.broken:
            if bad.name == plugin:
                raise BenchError(f"plugin {plugin} is broken: {bad.reason}")
        raise BenchError(unknown("plugin", plugin, (name for _, name, _ in known)))
    return registry, named or brought


def _try(
    spec: AnySpec,
    options: dict[str, Any],
    folder: Path,
    *,
    resumes: bool,
    run: Path | None,
    extractors: Sequence[ExtractorSpec],
    weights_dir: Path | None,
    offline: bool,
) -> None:
    """Try one plugin with the part of the kit that is for its kind."""
    from bench import testing as kit

    network: dict[str, Any] = {"weights_dir": weights_dir, "offline": offline}
    match spec:
        case MethodSpec():
            kit.check_method(spec, folder, config=options, offline=offline, resumes=resumes)
        case DatasetSpec():
            kit.check_dataset(spec, folder, config=options, offline=offline)
        case MetricSpec():
            kit.check_metric(spec, options=options, extractors=extractors, cache=folder, **network)
        case ExtractorSpec():
            kit.check_extractor(spec, options=options, **network)
        case LauncherSpec():
            kit.check_launcher(spec, folder, config=options)
        case ReportSpec():
            from bench.analysis.validity import open_run
            from bench.testing.runs import toy_run

            view = open_run(run) if run else toy_run(folder / "run")
            kit.check_report(spec, view, folder / "out", config=options)
