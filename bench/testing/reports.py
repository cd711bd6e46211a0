"""What a report promises: a file of its own, and the run left as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from bench.api import ReportSpec, RunView
from bench.testing.promises import build, calling, load, must, promise


def _contents(folder: Path, but: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder by its path, but for those in another."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.resolve().is_relative_to(but.resolve())
    }


def _tables(run: RunView) -> dict[str, pd.DataFrame]:
    values = {part.name: getattr(run, part.name) for part in fields(run)}
    return {name: value for name, value in values.items() if isinstance(value, pd.DataFrame)}


def check_report(
    spec: ReportSpec,
    run: RunView,
    out: Path,
    *,
    config: Mapping[str, Any] | None = None,
    twice: bool = True,
) -> Path:
    """Check that a report keeps its contract on a finished run; returns its main file or folder.

    Checked: it writes into `out` alone and leaves the run and its tables as they were; its
    main file is there and not empty; no temporary file stays behind; with `twice`, it can be
    written a second time over the first.

    Parameters
    ----------
    spec
        The declaration.
    run
        A finished run, as ``bench.open`` gives it.
    out
        The folder it writes to.
    config
        Changes to the configuration's defaults.
    twice
        Whether it is written twice.

    Raises
    ------
    AssertionError
        One line: the report, and the promise it breaks.
    """
    name, settings, render = spec.name, build(spec, config or {}), load(spec)
    before = _contents(run.path, out)
    tables = {key: table.copy(deep=True) for key, table in _tables(run).items()}
    with promise("it writes its file into the folder it is given", basis=True):
        with calling(name, "rendering"):
            made = Path(render(run, out, settings))
        full = any(made.iterdir()) if made.is_dir() else made.is_file() and made.stat().st_size > 0
        must(full, name, f"{made} is missing or empty", "return the path of what was written")
        must(
            made.resolve().is_relative_to(out.resolve()),
            name,
            "its file lies elsewhere",
            "write into the folder it is given",
        )
    if twice:
        with promise("it can be written again"):
            with calling(name, "rendering a second time"):
                again = Path(render(run, out, settings))
            must(again == made, name, "a second time it writes another file", "name it the same")
    with promise("the run stays as it was, and nothing is left lying about"):
        must(
            _contents(run.path, out) == before,
            name,
            "it changes the run folder",
            "write into the folder it is given",
        )
        for key, table in _tables(run).items():
            must(table.equals(tables[key]), name, f"it changes the table {key}", "work on a copy")
        left = [file.name for file in out.rglob(".*")]
        must(not left, name, f"temporary files stay behind: {', '.join(left)}")
    return made
