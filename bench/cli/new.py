"""``bench new``: start a plugin from a template that runs as it is."""

from __future__ import annotations

import keyword
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.api import BenchError
from bench.cli import app


class Kind(StrEnum):
    """What a plugin can be."""

    method = "method"
    dataset = "dataset"
    metric = "metric"
    report = "report"
    launcher = "launcher"


_USE = {
    Kind.method: "--methods {name},identity",
    Kind.dataset: "--dataset {name} --methods identity,color_transfer",
    Kind.metric: "--metrics {name}",
    Kind.report: "--reports {name}",
    Kind.launcher: "--launcher {name}",
}

_PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "bench-{dashed}"
version = "0.1.0"
dependencies = ["translation-bench"]

[project.entry-points.bench]
{name} = "{name}"

[tool.setuptools]
packages = ["{name}"]
"""

_TRIED = dict.fromkeys(Kind, "SPEC, tmp_path") | {
    Kind.metric: "SPEC, cache=tmp_path",
    Kind.report: 'SPEC, toy_run(tmp_path / "run"), tmp_path / "out"',
}
_TEST = """\
from pathlib import Path

from bench.testing import {names}
{more}from {name} import SPEC


def test_the_contract(tmp_path: Path) -> None:
    check_light(["{name}"])
    check_spec(SPEC)
    check_{kind}({arguments})
"""


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help="What it will be.")],
    name: Annotated[str, typer.Argument(help="Lower case: letters, digits and _.")],
    package: Annotated[
        bool, typer.Option("--package", help="A package with its test, to be installed.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder to write it to.")] = Path(),
) -> None:
    """Write NAME.py, a plugin in one file that runs as it is; with --package, a package NAME."""
    from bench.plugins import load_plugins
    from bench.storage.files import check_writable, write_atomic

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise BenchError(f"name {name!r}: begin with a lower-case letter, then letters, digits, _")
    if name in getattr(load_plugins(), f"{kind}s"):
        raise BenchError(f"there is a {kind} {name} already: choose another name")
    path = out / (name if package else f"{name}.py")
    if path.exists():
        raise BenchError(f"{path} exists already: choose another name")
    check_writable(out)
    for part, text in (_package(kind, name) if package else {"": _module(kind, name)}).items():
        (path / part).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path / part, text)
    use = _USE[kind].format(name=name)
    if package:
        typer.echo(f"{path}: pip install -e {path}, then bench check {name}, bench run {use}")
    else:
        typer.echo(f"{path}: bench check {path}, then bench run --plugin {path} {use}")


def _package(kind: Kind, name: str) -> dict[str, str]:
    """The files of a package; what declares the plugin imports nothing heavy."""
    return {
        "pyproject.toml": _PROJECT.format(name=name, dashed=name.replace("_", "-")),
        f"{name}/__init__.py": _module(kind, name, code=False),
        f"{name}/{kind}.py": _module(kind, name, spec=False),
        f"tests/test_{name}.py": _TEST.format(
            kind=kind,
            name=name,
            arguments=_TRIED[kind],
            names=", ".join(sorted(("check_light", "check_spec", f"check_{kind}"))),
            more="from bench.testing.runs import toy_run\n" if kind is Kind.report else "",
        ),
    }


def _module(kind: Kind, name: str, *, code: bool = True, spec: bool = True) -> str:
    """A template filled in: the code of a plugin, what declares it, or both in one file."""
    import jinja2

    title = "".join(part.capitalize() for part in name.split("_") if part)
    configured = kind is not Kind.metric

    def api(**names: list[str]) -> str:
        used = (names["code"] if code else []) + (names["spec"] if spec else [])
        return ", ".join(sorted(used, key=lambda word: (word.islower(), word)))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - it is Python, not HTML
    )
    body = environment.get_template(f"{kind}.py.j2").render(
        code=code,
        spec=spec,
        name=name,
        title=title,
        api=api,
        own=f"from {name} import {title}Config\n" if configured and not spec else "",
        module=name if code else f"{name}.{kind}",
    )
    head = f'"""{name}: a {kind}."""\n\nfrom __future__ import annotations\n\n'
    return head + body.rstrip() + "\n"
