"""``bench metrics``: what metrics notice, measured on pictures that were spoilt on purpose."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.api import BenchError, Event
from bench.cli import app, tell, tell_progress
from bench.cli import options as o
from bench.suite.presets import FILTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from bench.api import Direction, Measurement
    from bench.data.images import Pixels
    from bench.metrics.context import ScoringData
    from bench.metrics.report_card import Card
    from bench.plugins import Registry
    from bench.suite.schema import Suite

metrics = typer.Typer(help="Put metrics to the test.", no_args_is_help=True)
app.add_typer(metrics, name="metrics")


@metrics.callback()
def _group() -> None:
    """Put metrics to the test."""


@metrics.command()
def audit(
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Names, joined with commas.", metavar="A,B")
    ],
    out: Annotated[Path, typer.Option(help="The Markdown file to write.", metavar="FILE.md")],
    data_root: o.DataRoots = None,
    direction: Annotated[str, typer.Option(help="Whose target is spoilt.")] = "a2b",
    size: o.Size = None,
    test_limit: Annotated[
        int | None, typer.Option(help="At most this many pictures of a set.")
    ] = None,
    metric_names: Annotated[
        str | None, typer.Option("--metrics", help="Names, joined with commas.", metavar="A,B")
    ] = None,
    setting: o.Set = None,
    device: o.Device = None,
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
    plugin: o.PluginFiles = None,
) -> None:
    """Spoil real pictures in steps, and write which metric notices what, from where on."""
    from bench.metrics.report_card import LEGEND
    from bench.plugins import load_plugins
    from bench.storage.files import check_writable, write_atomic

    check_writable(out.absolute().parent, "choose another place with --out")
    suite = o.build_suite(
        None,
        methods=FILTER,
        dataset=dataset,
        data_root=data_root,
        directions=direction,
        size=size,
        test_limit=test_limit,
        metrics=metric_names,
        settings=setting,
        device=device,
        weights_dir=weights_dir,
        offline=offline,
        plugins=plugin,
    )
    given = {"--dataset": dataset, "--direction": direction, "--size": size}
    given |= {"--test-limit": test_limit, "--metrics": metric_names}
    words = [f"{name} {shlex.quote(str(v))}" for name, v in given.items() if v is not None]
    words += [f"--set {shlex.quote(text)}" for text in setting or ()]
    command = " \\\n      ".join(["bench metrics audit", *words, f"--out {out.name}"])
    cards = _cards(suite, load_plugins(plugin or []))
    made = f"Written by\n\n    {command}\n\n(and `--data-root` where a dataset lies in a folder)."
    sections = (card.markdown() for card in cards)
    text = "\n\n".join(["# Report card of the metrics", made, LEGEND.strip(), *sections])
    write_atomic(out, f"{text}\n")
    tell(out)


def _cards(suite: Suite, registry: Registry) -> Iterator[Card]:
    """A card for each dataset of the suite."""
    from functools import partial

    from bench.api import Direction
    from bench.data.opening import open_dataset
    from bench.metrics.report_card import report_card
    from bench.storage.weights import cache_folder
    from bench.suite.datasets import dataset_config

    names = suite.metrics or [spec.name for spec in registry.metrics.values() if spec.default]
    for entry in suite.datasets:
        spec = registry.dataset(entry.name)
        dataset = open_dataset(
            spec,
            dataset_config(spec, suite, entry),
            cache_folder(),
            offline=suite.offline,
            progress=tell_progress,
        )
        (text,) = suite.directions
        parsed = Direction.parse(text, dataset.domains)
        yield report_card(
            dataset,
            parsed,
            title=f"{entry.title}, {dataset.domains[parsed.target == 'b']}",
            size=entry.size or suite.size,
            limit=suite.test_limit,
            metrics=[registry.metric(name) for name in names],
            score=partial(_score, suite, registry),
            translations={registry.method(FILTER).name: partial(_filtered, suite, parsed)},
            progress=tell_progress,
        )


def _score(
    suite: Suite, registry: Registry, data: ScoringData, names: Sequence[str]
) -> list[Measurement]:
    from bench.devices import choose_device
    from bench.metrics.score import score
    from bench.storage.weights import cache_folder

    def listen(event: Event) -> None:
        if event.kind == "warning":
            tell_progress(event.message)

    return score(
        data,
        names,
        registry,
        device=choose_device(suite.device),
        weights_dir=suite.weights_dir,
        offline=suite.offline,
        cache=cache_folder() / "features",
        emit=listen,
        metric_options=suite.metric_options,
        extractors=suite.extractors,
    )


def _filtered(
    suite: Suite, direction: Direction, sources: Sequence[Pixels], targets: Sequence[Pixels]
) -> list[Pixels]:
    """The colour filter's output for each source picture."""
    import torch

    from bench.api import ExemplarMethod
    from bench.data.images import to_uint8
    from bench.translator import load

    def stacked(pictures: Sequence[Pixels]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(pixels) for pixels in pictures]).permute(0, 3, 1, 2)

    translator = load(FILTER, device=suite.device)
    method = translator.method
    if not isinstance(method, ExemplarMethod):
        raise BenchError(
            f"{FILTER} takes no exemplars: no filter could be made from target pictures"
        )
    method.use_exemplars(stacked(targets), direction)
    images = stacked(sources).to(translator.device).float() / 255
    seeds = torch.arange(len(images))[:, None]
    made = method.translate(images, direction, samples=1, seeds=seeds)
    return list(to_uint8(made[:, 0]).permute(0, 2, 3, 1).cpu().numpy())
