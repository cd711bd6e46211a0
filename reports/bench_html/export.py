"""Figures as files for papers, and everything in one file for sharing."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.plots.plot import Plot
from bench.analysis.summary import summary
from bench.analysis.tables import table_files
from bench.storage.files import replacing
from bench_html import figures
from bench_html.render import render

if TYPE_CHECKING:
    from bench.api import Config, RunView


def render_figures(run: RunView, out: Path, config: Config | None = None) -> Path:
    """Write every figure as SVG, PNG (three times the resolution) and PDF.

    Returns
    -------
    pathlib.Path
        The folder ``out/figures``.
    """
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    names: set[str] = set()
    several = run.trials["dataset"].nunique() > 1
    for figure in figures.build(run, summary(run)):
        plot = Plot.of(figure.spec)
        place = f"{figure.dataset}-" if several else ""
        stem = _stem(f"{place}{figure.section}-{figure.title}", names)
        for ending in ("svg", "png", "pdf"):
            plot.save(folder / f"{stem}.{ending}")
    return folder


def render_zip(run: RunView, out: Path, config: Config | None = None) -> Path:
    """Pack the page, the tables and the figures of a run into one file.

    The archive holds what the page needs (thumbnails, not the full-size pictures), the
    suite and the environment, under names this program chose.

    Returns
    -------
    pathlib.Path
        ``out/<run>.zip``.
    """
    page = render(run, out)
    folder = render_figures(run, out)
    top = _stem(run.path.name, set())
    target = out / f"{top}.zip"
    with (
        replacing(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.write(page, f"{top}/report/index.html")
        for file in sorted((out / "thumbs").glob("*.webp")):
            # Pictures are compressed already.
            name = f"{top}/report/thumbs/{file.name}"
            archive.write(file, name, compress_type=zipfile.ZIP_STORED)
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{top}/figures/{file.name}")
        for name, text in table_files(run).items():
            archive.writestr(f"{top}/tables/{name}", text)
        for name in ("suite.toml", "environment.json"):
            if (run.path / name).is_file():
                archive.write(run.path / name, f"{top}/{name}")
    return target


def _stem(text: str, taken: set[str]) -> str:
    """Return a file name made of any text: letters, digits and dashes, unique among `taken`."""
    stem = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "figure"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name
