"""Pages made from the code: commands, suite files, and the report of the gallery."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from griffe import Docstring
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bench.cli import app
from bench.suite.schema import DatasetEntry, MethodEntry, Prices, Suite

GALLERY = Path("runs/gallery")
"""The run that the gallery shows; ``make docs`` makes it."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for name, text in (("commands", _commands()), ("suite", _suite())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Take what lets the search work in files from here, not from a network."""
    up = "../" * page.url.count("/")
    return output.replace("https://unpkg.com/iframe-worker/shim", f"{up}assets/worker.js")


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """Do the same for the page of a missing page."""
    shim = "https://unpkg.com/iframe-worker/shim"
    return output_content.replace(shim, "assets/worker.js")


def on_post_build(config: Any) -> None:
    """Put the run of the gallery beside its page."""
    shutil.copy(Path(__file__).with_name("worker.js"), Path(config["site_dir"]) / "assets")
    for part in ("report", "trials", "inputs", "truths"):
        if (GALLERY / part).is_dir():
            ignored = shutil.ignore_patterns("checkpoints", "*.jsonl", "*.log", "log.txt")
            target = Path(config["site_dir"]) / "run" / part
            shutil.copytree(GALLERY / part, target, ignore=ignored, dirs_exist_ok=True)


def _plain(text: object) -> str:
    """Text for a cell of a table."""
    roles = re.sub(r":[a-z:]+:`~?([^`]+)`", r"`\1`", str(text))
    return " ".join(roles.split()).replace("|", "\\|").replace("<", "&lt;")


def _commands() -> str:
    """Every verb, as ``--help`` says it."""
    lines = ["# Commands", "", "Made from the code; `bench VERB --help` says the same.", ""]
    for path, command in _verbs(typer.main.get_command(app), "bench"):
        lines += [f"## `{path}`", "", _plain(command.help or ""), ""]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join([path, *(a.name.upper() for a in arguments)])
        lines += ["```text", f"{usage} [OPTIONS]", "```", ""]
        rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
        lines += ["| | |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def _verbs(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
    for name, verb in sorted(getattr(command, "commands", {}).items()):
        yield from _verbs(verb, f"{path} {name}")


def _row(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    called = " / ".join(f"`{name}`" for name in names)
    if parameter.param_type_name == "argument":
        called = f"`{parameter.name.upper()}`"
    elif parameter.metavar:
        called += f" `{parameter.metavar}`"
    default = parameter.default
    known = default is not None and not callable(default) and default not in (False, ())
    said = f" (`{default}`)" if known and "Sentinel" not in str(default) else ""
    return f"| {called} | {_plain(parameter.help or '')}{said} |".replace("\\|", "&#124;")


def _suite() -> str:
    """Every key of a suite file."""
    lines = [
        "# Suite files",
        "",
        "Made from the code. A suite is a TOML file, a mapping in Python, or options of",
        "`bench run`, which win over the file. Unknown keys are refused.",
        "",
    ]
    for title, model in (
        ("Top level", Suite),
        ("An entry of `methods`", MethodEntry),
        ("An entry of `datasets`", DatasetEntry),
        ("`[rates]`", Prices),
    ):
        lines += [f"## {title}", "", "| key, type, default | |", "|---|---|"]
        lines += [*_keys(model), ""]
    return "\n".join(lines)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    said: dict[str, str] = {}
    for section in Docstring(model.__doc__ or "", lineno=1).parse("numpy", warnings=False):
        if section.kind.value == "parameters":
            for parameter in section.value:
                for name in re.split(r",\s*", parameter.name):
                    said[name] = parameter.description
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if default is PydanticUndefined else f"`{default!r}`"
        # One cell for all that is short: the table fits a phone.
        first = f"`{name}`<br>{_plain(_kind(field.annotation))}<br>{_plain(shown)}"
        yield f"| {first} | {_plain(said.get(name, ''))} |"


def _kind(annotation: Any) -> str:
    """A type as one writes it: without modules, and without what checks it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in inner)
    if origin is Literal:
        return " or ".join(f"`{one!r}`" for one in inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return f"list of {_kind(inner[0])}"
    name = getattr(annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(_kind, inner))}]" if inner else name.replace("NoneType", "none")
