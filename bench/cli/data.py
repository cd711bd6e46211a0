"""``bench data``: fetch, verify and make datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import app, tell, tell_progress
from bench.cli import options as o

if TYPE_CHECKING:
    from bench.api import Dataset

data = typer.Typer(help="Fetch, verify, make and audit datasets.", no_args_is_help=True)
app.add_typer(data, name="data")

Name = Annotated[str, typer.Argument(help="A dataset's name.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="An option of the dataset; may be repeated.", metavar="KEY=VALUE"),
]


def _built(
    name: str, root: Path | None, settings: dict[str, Any], plugin: list[Path] | None
) -> tuple[Dataset, Path]:
    """A dataset, not yet prepared, and its cache folder."""
    from bench.data.opening import build_dataset
    from bench.plugins import load_plugins
    from bench.storage.weights import cache_folder

    spec = load_plugins(plugin or []).dataset(name)
    return build_dataset(spec, settings, root), cache_folder() / "datasets" / name


@data.command()
def fetch(
    name: Name,
    data_root: o.DataRoot = None,
    offline: o.Offline = False,
    setting: Setting = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Make a dataset available: download, check and unpack it, or render it."""
    dataset, cache = _built(name, data_root, o.settings_of(setting), plugin)
    dataset.prepare(cache, offline=offline, progress=tell_progress)
    counts = ", ".join(
        f"{split}{domain.upper()} {len(dataset.split(split, domain))}"
        for split in ("train", "test")
        for domain in ("a", "b")
    )
    tell(f"{name} is ready: {counts}; fingerprint {dataset.fingerprint()}")


@data.command()
def verify(
    name: Name,
    data_root: o.DataRoot = None,
    offline: o.Offline = False,
    setting: Setting = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Decode every picture, and compare with what is published."""
    from bench.data import verify as check

    dataset, cache = _built(name, data_root, o.settings_of(setting), plugin)
    found = check(dataset, cache, offline=offline, progress=tell_progress)
    for line in found.lines():
        tell(line)
    raise typer.Exit(0 if found.ok else 1)


@data.command()
def make(
    name: Name,
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    size: o.Size = None,
    train: Annotated[int | None, typer.Option(help="Training pictures per domain.")] = None,
    test: Annotated[int | None, typer.Option(help="Test pictures per domain.")] = None,
    setting: Setting = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Write a dataset as an ordinary trainA/trainB/testA/testB folder of PNGs."""
    from bench.data import check_new, make_folder
    from bench.storage.files import check_writable

    given = {"size": size, "train": train, "test": test}
    values = {key: value for key, value in given.items() if value is not None}
    dataset, cache = _built(name, None, values | o.settings_of(setting), plugin)
    # Before minutes of work, not after it.
    check_new(out)
    check_writable(out.absolute().parent)
    dataset.prepare(cache, offline=True, progress=tell_progress)
    tell(f"{name} is written to {make_folder(dataset, out, progress=tell_progress)}")


@data.command()
def audit(
    name: Name,
    data_root: o.DataRoot = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for pairs.csv and pictures of the near pairs.")
    ] = None,
    near: Annotated[
        bool, typer.Option("--near/--exact", help="Look for near duplicates, too.")
    ] = True,
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
    setting: Setting = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Look for duplicates within and across splits; they spoil every score."""
    from bench.metrics.audit import audit as look
    from bench.metrics.audit import write_findings
    from bench.storage.files import check_writable

    dataset, cache = _built(name, data_root, o.settings_of(setting), plugin)
    if out is not None:
        check_writable(out)
    dataset.prepare(cache, offline=offline, progress=tell_progress)
    found = look(
        dataset,
        near=near,
        weights_dir=weights_dir,
        offline=offline,
        cache=cache.parent / "features",
    )
    for line in found.lines(dataset.domains):
        tell(line)
    if out is not None:
        for path in write_findings(found, dataset, out):
            tell(path)
