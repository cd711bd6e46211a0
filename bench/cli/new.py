"""``bench new``: start a plugin from a template that runs as it is."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError
from bench.cli import app

new = typer.Typer(help="Start a plugin of your own.", no_args_is_help=True)
app.add_typer(new, name="new")

_METHOD = '''"""{name}: a translation method.

Try it: bench run --plugin {name}.py --methods {name},identity
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.api import Config, Context, Direction, MethodSpec, hookimpl


class {title}Config(Config):
    """Options; each can be set with --set {name}.KEY=VALUE."""

    strength: float = 0.1


class {title}:
    """What translates; see docs/plugins.md for what it promises."""

    def __init__(self, config: {title}Config, ctx: Context) -> None:
        self.config = config
        self.ctx = ctx

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Images (B, 3, H, W) in [0, 1] to (B, samples, 3, H, W) in [0, 1]."""
        # Replace this: it only makes pictures of domain b colder, and of domain a warmer.
        sign = 1.0 if direction.target == "a" else -1.0
        shift = torch.tensor([sign, 0.0, -sign], device=images.device).view(3, 1, 1)
        out = (images + self.config.strength * shift).clamp(0, 1)
        return out.unsqueeze(1).expand(-1, samples, -1, -1, -1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Nothing is learned."""
        return {{}}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Nothing to take back."""


@hookimpl
def bench_methods() -> list[MethodSpec]:
    """What this plugin offers."""
    return [
        MethodSpec(
            name="{name}",
            summary="One line for bench list methods.",
            implementation="{name}:{title}",
            config={title}Config,
        )
    ]
'''


@new.command()
def method(
    name: Annotated[str, typer.Argument(help="Lower case: letters, digits and _.")],
    out: Annotated[Path, typer.Option(help="The folder to write it to.")] = Path(),
) -> None:
    """Write NAME.py, a method in one file that runs as it is."""
    from bench.storage.files import check_writable, write_atomic

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise BenchError(f"name {name!r}: begin with a lower-case letter, then letters, digits, _")
    path = out / f"{name}.py"
    if path.exists():
        raise BenchError(f"{path} exists already: choose another name")
    check_writable(out)
    title = "".join(part.capitalize() for part in name.split("_") if part)
    write_atomic(path, _METHOD.format(name=name, title=title))
    typer.echo(f"{path}: try bench run --plugin {path} --methods {name},identity")
