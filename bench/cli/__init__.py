"""The ``bench`` command: one small module a verb; heavy libraries inside bodies only."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Annotated

import typer

from bench.api import BenchError

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def tell(text: object, *, aside: bool = False) -> None:
    """Print a line, `aside` to stderr; no name in it can steer the terminal."""
    from rich.console import Console
    from rich.text import Text

    from bench.analysis.text import clean_text

    style = "dim" if aside else ""
    Console(stderr=aside).print(Text(clean_text(text), style=style), soft_wrap=True)


def tell_progress(text: str) -> None:
    """Say how far something is that takes long; for whoever takes a function of a line."""
    tell(text, aside=True)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"translation-bench {version('translation-bench')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Benchmark image-to-image translation: quality, diversity, content and speed."""


# Each verb registers itself on the app.
from bench.cli import (  # noqa: E402, F401
    cache,
    check,
    compare,
    data,
    doctor,
    explain,
    listing,
    metrics,
    new,
    plan,
    replay,
    report,
    run,
    score,
    status,
    translate,
    vote,
    weights,
)


def main() -> None:
    """Run the command; a user's mistake is one line on stderr and exit code 2."""
    # A scheduler that ends the command leaves things as Ctrl-C would.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except BenchError as error:
        one_line = " ".join(str(error).split())
        sys.stderr.write(f"bench: {one_line}\n")
        for note in getattr(error, "__notes__", ()):
            sys.stderr.write(f"  {' '.join(note.split())}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        # A full disk, a lost file system: nothing a traceback would help with.
        where = f": {error.filename}" if error.filename else ""
        sys.stderr.write(f"bench: {error.strerror or error}{where}\n")
        sys.exit(2 if error.errno == errno.ENAMETOOLONG else 1)  # a name is the user's choice
