"""``bench cache``: what is kept between runs, and sharing it through a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.api import BenchError
from bench.cli import app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.storage.store import Store
    from bench.storage.upkeep import Part

cache = typer.Typer(
    help="What is kept between runs: its size, what may go, copies in an object store.",
    no_args_is_help=True,
)
app.add_typer(cache, name="cache")

Url = Annotated[
    str | None,
    typer.Argument(help="s3://BUCKET/FOLDER, gs://…, file:///…; else BENCH_STORE.", metavar="URL"),
]


def _show(parts: Sequence[Part], total: str) -> None:
    for part in parts:
        typer.echo(f"{part.name:<14} {part.count:>8,} {part.size / 1e6:>12,.1f} MB")
    size = sum(part.size for part in parts)
    typer.echo(f"{total:<14} {sum(part.count for part in parts):>8,} {size / 1e6:>12,.1f} MB")


def _store(url: str | None) -> Store:
    from bench.storage.store import STORE, Store, named_store

    store = Store(url) if url else named_store()
    if store is None:
        raise BenchError(f"which store? Name its URL, or set the environment variable {STORE}")
    return store


@cache.command()
def info() -> None:
    """Say where the cache is, what lies in it, and which unfinished runs need of it."""
    from bench.storage.upkeep import unfinished, usage
    from bench.storage.weights import cache_folder

    typer.echo(cache_folder())
    _show(usage(cache_folder()), "all")
    for run, fits in unfinished(cache_folder()).items():
        typer.echo(f"unfinished: {run} ({len(fits)} fits)")


@cache.command()
def clean(
    days: Annotated[
        float, typer.Option(help="What was of use in so many days stays.", min=0)
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; else only show it.")] = False,
) -> None:
    """Show which stages and features would go, or remove them; unfinished runs keep theirs."""
    from bench.storage.upkeep import removable, remove, unfinished
    from bench.storage.weights import cache_folder

    parts = removable(cache_folder(), days)
    if yes:
        remove(parts)
    _show(parts, "removed" if yes else "would go")
    for run in unfinished(cache_folder()):
        typer.echo(f"kept: what {run} needs, which is unfinished")


@cache.command()
def push(url: Url = None) -> None:
    """Copy stages and features that a store lacks to it."""
    from bench.storage import upkeep
    from bench.storage.weights import cache_folder

    _show(upkeep.push(cache_folder(), _store(url)), "pushed")


@cache.command()
def pull(url: Url = None) -> None:
    """Copy stages and features of a store that are not here yet, each verified."""
    from bench.storage import upkeep
    from bench.storage.weights import cache_folder

    _show(upkeep.pull(cache_folder(), _store(url)), "pulled")
