"""``bench vote``: ask people which of two translations is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.api import BenchError
from bench.cli import app
from bench.cli import options as o

if TYPE_CHECKING:
    from bench.storage.votes import Ballot


@app.command()
def vote(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    methods: o.Methods = None,
    ballots: Annotated[
        int, typer.Option(min=1, max=5000, help="Questions of a sitting, catch trials included.")
    ] = 60,
    seed: Annotated[int, typer.Option(help="Of the draw of questions.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    export: Annotated[
        Path | None, typer.Option(help="Write the page as one offline .html file instead.")
    ] = None,
    take: Annotated[
        list[Path] | None,
        typer.Option("--take", help="Add a file of votes that such a page saved; repeatable."),
    ] = None,
) -> None:
    """Ask which of two translations of one input is better: blind, sides and order by a seed.

    Serves one page on this machine until Ctrl-C; votes go to RUN/votes, and bench report shows
    what they say beside what the metrics say.
    """
    from bench.storage.files import check_writable
    from bench.storage.votes import append_votes, write_ballots
    from bench.voting.server import export as export_page
    from bench.voting.server import read_votes_file

    run = run.resolve()
    if export is not None and export.suffix.lower() not in (".html", ".htm"):
        raise BenchError(f"--export {export}: name a file that ends in .html")
    asked, before = _ballots(run, methods, ballots, seed, keep=bool(take))
    known = {ballot.id: ballot for ballot in asked}
    if not take:
        check_writable(run, "votes are kept there")
    if export is not None:
        check_writable(export.absolute().parent, "choose another place with --export")
    if take:
        votes = [vote for file in take for vote in read_votes_file(file, known)]
        append_votes(run, votes)
        typer.echo(f"{len(votes)} votes added to {run / 'votes'}")
    elif export is not None:
        # Not before: a picture may be damaged, and nobody has been asked then.
        export_page(run, asked, export)
        write_ballots(run, [*asked, *before])
        typer.echo(export)
    else:
        write_ballots(run, [*asked, *before])
        _serve(run, asked, port)


def _ballots(
    run: Path, methods: str | None, count: int, seed: int, *, keep: bool
) -> tuple[list[Ballot], list[Ballot]]:
    """The questions to ask, and others that were asked before: votes on them stay valid."""
    from bench.analysis.validity import open_run
    from bench.storage.votes import read_ballots
    from bench.voting.ballots import make_ballots

    before = read_ballots(run)
    if keep and not before:
        raise BenchError(f"{run} has asked nobody: there are no ballots these votes could be of")
    if keep:
        return before, []
    made = make_ballots(open_run(run), count=count, seed=seed, labels=o.split(methods))
    fresh = {ballot.id for ballot in made}
    return made, [ballot for ballot in before if ballot.id not in fresh]


def _serve(run: Path, asked: list[Ballot], port: int) -> None:
    from bench.voting.server import VoteServer

    with VoteServer(
        run, asked, port=port, on_vote=lambda n: typer.echo(f"\r{n} votes", nl=False)
    ) as server:
        typer.echo(f"open {server.url}\nCtrl-C ends it; every vote is kept as it comes")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo(f"\n{server.taken} votes were added to {run / 'votes'}")
