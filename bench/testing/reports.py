"""What a report promises: a file of its own, and the run left as it was."""

from __future__ import annotations

from pathlib import Path

from bench.api import ReportSpec, RunView
from bench.plugins import resolve
from bench.storage.files import file_sha256
from bench.testing.specs import must


def _contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file_sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def check_report(spec: ReportSpec, run: RunView, out: Path, *, twice: bool = True) -> Path:
    """A report keeps its contract on a finished run, and gives its main file (or folder).

    Checked: it writes into `out` alone and leaves the run and its tables as they were; its
    main file is there and not empty; no temporary file stays behind; with `twice`, it can be
    written a second time over the first.

    Raises
    ------
    AssertionError
        One line: the report, and the promise it breaks.
    """
    before = _contents(run.path)
    tables = {
        name: getattr(run, name).copy(deep=True)
        for name in ("trials", "measurements", "samples", "timings", "losses")
    }
    render = resolve(spec.implementation)
    config = spec.config()
    made = Path(render(run, out, config))
    filled = any(made.iterdir()) if made.is_dir() else made.is_file() and made.stat().st_size > 0
    must(filled, spec.name, f"{made} is missing or empty")
    must(made.resolve().is_relative_to(out.resolve()), spec.name, "its file lies elsewhere")
    must(
        not twice or Path(render(run, out, config)) == made,
        spec.name,
        "a second time it writes another file",
    )
    after = {
        name: digest
        for name, digest in _contents(run.path).items()
        if not (run.path / name).resolve().is_relative_to(out.resolve())
    }
    kept = {
        name: digest
        for name, digest in before.items()
        if not (run.path / name).resolve().is_relative_to(out.resolve())
    }
    must(after == kept, spec.name, "it changes the run folder")
    for name, table in tables.items():
        must(getattr(run, name).equals(table), spec.name, f"it changes the table {name}")
    left = [file.name for file in out.rglob(".*")]
    must(not left, spec.name, f"temporary files stay behind: {', '.join(left)}")
    return made
