"""``bench plan``: what a run would do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bench.api import BenchError
from bench.cli import app, tell_progress
from bench.cli import options as o

if TYPE_CHECKING:
    from rich.console import Console

    from bench.execution.forecast import Study
    from bench.suite.datasets import PlannedDataset
    from bench.suite.estimate import Range
    from bench.suite.plan import Plan
    from bench.suite.schema import Prices


@app.command()
def plan(
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
    setting: o.Set = None,
    plugin: o.PluginFiles = None,
    workers: o.Workers = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Also in money, by [rates] of the suite file.")
    ] = False,
) -> None:
    """Show the trials a run would have, what is skipped and why, and what they would cost."""
    from rich.console import Console

    from bench.plugins import load_plugins
    from bench.storage.weights import cache_folder
    from bench.suite.plan import make_plan

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
        plugins=plugin,
        workers=workers,
    )
    if cost and wanted.rates is None:
        raise BenchError(
            "--cost needs prices: [rates] cpu_hour, gpu_hour, gb_month in a suite file"
        )
    cache, registry = cache_folder(), load_plugins(wanted.plugins)
    made = make_plan(wanted, registry, cache, progress=tell_progress)
    # It imports torch: not before the suite is known to be right.
    from bench.execution.forecast import forecast

    study = forecast(made, registry, cache, wanted.workers)
    console = Console()
    for data in made.datasets:
        _show_trials(console, made, data, study)
    _show_study(console, study, wanted.rates if cost else None)


def _show_trials(console: Console, plan: Plan, data: PlannedDataset, study: Study) -> None:
    """Print the trials on one dataset, in the order in which they run."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in ("trial", "budget", "outputs", "time", "from"):
        table.add_column(column, justify="left" if column in ("trial", "from") else "right")
    inputs = sum(data.inputs.values())
    for job in plan.jobs:
        if job.dataset_label != data.label:
            continue
        if job.skip:
            table.add_row(escape(job.trial), "skipped", "", "", escape(job.skip))
            continue
        told = study.trials[job.trial]
        took = "" if told.unknown else _time(told.seconds)
        outputs = str(inputs * job.samples)
        budget = job.columns["budget"] or "-"
        table.add_row(escape(job.trial), budget, outputs, took, escape(told.source))
    places = ", ".join(f"{name}: {n} inputs" for name, n in data.inputs.items())
    console.print(f"{data.label} at {data.size} px — {escape(places)}")
    console.print(table)


def _show_study(console: Console, study: Study, prices: Prices | None) -> None:
    """Print what all of it takes, by stage, and where these numbers come from."""
    from rich.markup import escape

    known = study.known
    if not known:
        console.print("nothing can be said of its cost")
        return
    # Long lines stay whole: a terminal breaks them, a file and a test need not.
    say = partial(console.print, soft_wrap=True, highlight=False)
    work = study.work
    parts = [f"{name} {_time(seconds)}" for name, seconds in study.stages.items() if seconds.high]
    say(f"by stage: {', '.join(parts)}; most of it is {study.dominant}")
    say(
        f"whole study, {len(known)} of {len(study.trials)} trials: {_time(work)} of work, "
        f"{_time(study.elapsed)} with {study.workers} at a time; "
        f"{_time(work) if study.gpu else 'no'} GPU time; "
        f"{_between(study.disk * 1e-9, 'GB')} of disk"
    )
    if prices is not None:
        held = " with a month of its disk" if prices.gb_month else ""
        say(escape(f"cost: {_between(study.cost(prices), prices.currency)}{held}"))
    say(_origin(study))


def _origin(study: Study) -> str:
    """One sentence: where the numbers come from."""
    counted = sum(bool(one.counted) for one in study.known)
    said = []
    if counted < len(study.known):
        count = len(study.known) - counted
        said.append(f"{count} trials by what the same took on this machine before")
    if study.rates is not None:
        flops = _between(study.rates.flops * 1e-9, "GFLOP/s")
        said.append(
            f"{counted} by counted operations at the pace of this device, probed at {flops}"
        )
    return (
        f"Where this comes from: {' and '.join(said)}. A range is from its best to its worst case."
    )


def _between(amount: Range, unit: str) -> str:
    low, high = f"{amount.low:.3g}", f"{amount.high:.3g}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _time(seconds: Range) -> str:
    """A range of seconds in the unit that suits its end."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds.high >= 2 * length:
            return _between(seconds * (1 / length), unit)
    return _between(seconds, "s")
