"""``bench plan``: what a run would do."""

from __future__ import annotations

from bench.cli import app
from bench.cli import options as o


@app.command()
def plan(
    suite: o.SuiteFile = None,
    methods: o.Methods = None,
    dataset: o.DatasetName = None,
    data_root: o.DataRoot = None,
    directions: o.Directions = None,
    preset: o.PresetName = None,
    budget: o.BudgetText = None,
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
    from rich.markup import escape
    from rich.table import Table

    from bench.data.job import images_per_direction
    from bench.plugins import load_plugins
    from bench.storage.weights import cache_folder
    from bench.suite.estimate import estimate
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
    counts = images_per_direction(made.dataset, made.directions, wanted.test_limit)
    table = Table(box=None, header_style="bold")
    for column in ("trial", "budget", "outputs", "estimate"):
        table.add_column(column, justify="left" if column == "trial" else "right")
    total = 0.0
    for job in made.jobs:
        if job.skip:
            table.add_row(escape(job.trial), "skipped", "", escape(job.skip))
            continue
        cost = estimate(job, sum(counts.values()), cache)
        total += cost.seconds or 0.0
        outputs = sum(counts.values()) * job.samples
        table.add_row(escape(job.trial), job.budget or "-", str(outputs), cost.text)
    console = Console()
    places = ", ".join(f"{name}: {n} inputs" for name, n in counts.items())
    console.print(f"{wanted.dataset.name} at {wanted.size} px — {escape(places)}")
    console.print(table)
    console.print(f"known part of the estimate: {total / 60:.1f} min on this machine")
