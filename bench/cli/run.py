"""``bench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError
from bench.cli import app
from bench.cli import options as o
from bench.suite.presets import LAUNCHER


@app.command()
def run(
    suite: o.SuiteFile = None,
    methods: o.Methods = None,
    dataset: o.DatasetNames = None,
    data_root: o.DataRoots = None,
    directions: o.Directions = None,
    preset: o.PresetName = None,
    budget: o.BudgetText = None,
    score_at: o.ScoreAt = None,
    train: o.Train = False,
    size: o.Size = None,
    samples: o.Samples = None,
    seeds: o.Seeds = None,
    metrics: o.Metrics = None,
    test_limit: o.TestLimit = None,
    device: o.Device = None,
    precision: o.PrecisionName = None,
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
    allow_missing: o.AllowMissing = False,
    timeout: o.Timeout = None,
    workers: o.Workers = None,
    setting: o.Set = None,
    plugin: o.PluginFiles = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out, or the newest unfinished run.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Begin no further trial once one has failed.")
    ] = False,
    launcher: Annotated[str, typer.Option(help="Where trials run.")] = LAUNCHER,
    reports: Annotated[
        str | None, typer.Option(help="Names, joined with commas; else the usual.", metavar="A,B")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="A folder for TensorBoard: losses and samples, live.")
    ] = None,
) -> None:
    """Train or load methods, translate, score and time them, and write the report.

    Without arguments it runs the demo: small pictures made on the spot, a few minutes.
    """
    from bench.execution.progress import make_listener
    from bench.execution.runner import execute, unfinished_run

    if resume and out is None:
        out = unfinished_run()
    if resume and suite is None and out is not None and (out / "suite.toml").is_file():
        suite = out / "suite.toml"
        if not suite.stat().st_size:  # it would be taken for the demo
            raise BenchError(f"{suite} is damaged (it is empty): restore it from a copy")
    elif resume and suite is None and methods is None and dataset is None and data_root is None:
        raise BenchError(f"nothing to resume: {out} is no run folder")
    wanted = o.build_suite(
        suite,
        settings=setting,
        methods=methods,
        dataset=dataset,
        data_root=data_root,
        directions=directions,
        preset=preset,
        budget=budget,
        score_at=score_at,
        train=train,
        size=size,
        samples=samples,
        seeds=seeds,
        metrics=metrics,
        test_limit=test_limit,
        device=device,
        precision=precision,
        weights_dir=weights_dir,
        offline=offline,
        allow_missing=allow_missing,
        timeout=timeout,
        workers=workers,
        plugins=plugin,
    )
    watching = make_listener()
    if tensorboard is not None:
        from bench.cli.tensorboard import TensorBoardListener

        watching = TensorBoardListener(watching, tensorboard)
    with watching as listener:
        execution = execute(
            wanted,
            out=out,
            resume=resume,
            fail_fast=fail_fast,
            launcher=launcher,
            reports=o.split(reports),
            listener=listener,
        )
    from bench.cli.show import show_execution

    show_execution(execution)
    raise typer.Exit(0 if execution.sound else 1)
