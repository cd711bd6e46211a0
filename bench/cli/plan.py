"""``bench plan``: what a run would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import app
from bench.cli import options as o

if TYPE_CHECKING:
    from rich.console import Console

    from bench.suite.datasets import PlannedDataset
    from bench.suite.plan import Plan


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
    )
    cache = cache_folder()
    made = make_plan(wanted, load_plugins(wanted.plugins), cache)
    console = Console()
    total = sum(_show(console, made, data, cache) for data in made.datasets)
    console.print(f"known part of the estimate: {total / 60:.1f} min on this machine")


def _show(console: Console, plan: Plan, data: PlannedDataset, cache: Path) -> float:
    """Print the trials on one dataset; gives the seconds that are known of them."""
    from rich.markup import escape
    from rich.table import Table

    from bench.suite.estimate import estimate

    table = Table(box=None, header_style="bold")
    for column in ("trial", "budget", "outputs", "estimate"):
        table.add_column(column, justify="left" if column == "trial" else "right")
    total, inputs = 0.0, sum(data.inputs.values())
    for job in plan.jobs:
        if job.dataset_label != data.label:
            continue
        if job.skip:
            table.add_row(escape(job.trial), "skipped", "", escape(job.skip))
            continue
        cost = estimate(job, inputs, cache)
        total += cost.seconds or 0.0
        outputs = str(inputs * job.samples)
        table.add_row(escape(job.trial), job.columns["budget"] or "-", outputs, cost.text)
    places = ", ".join(f"{name}: {n} inputs" for name, n in data.inputs.items())
    console.print(f"{data.label} at {data.size} px — {escape(places)}")
    console.print(table)
    return total
