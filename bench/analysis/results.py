"""A finished run in Python: its tables, its verdict, its pictures and its plots."""

from __future__ import annotations

import html
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.columns import TableColumn, columns, leading, present
from bench.analysis.pictures import inside
from bench.analysis.summary import summary
from bench.analysis.text import clean_text, format_interval, format_number, join_names
from bench.analysis.validity import VERDICTS, open_run, reasons
from bench.api import BenchError, Direction, RunView
from bench.plugins import unknown

if TYPE_CHECKING:
    from bench.analysis.plots.plot import Plot
    from bench.data.translations import Translations

__all__ = ["Results", "open_results"]


class Results(RunView):
    """What :func:`bench.run` gives, and :func:`bench.open` of a run that was.

    The tables are attributes, as :class:`pandas.DataFrame`: ``trials``, ``measurements``,
    ``samples``, ``timings``, ``curves``, ``losses``, ``comparisons`` and ``checks``;
    :attr:`verdict` is ``valid``, ``remarks`` or ``invalid``. Plots are saved by
    ``results.plot_…().save("NAME.pdf")``, or ``.png`` or ``.svg``; ``dataset`` and ``direction``
    name one of several, else the first is shown.
    """

    @classmethod
    def of(cls, view: RunView) -> Results:
        """Return the same run with all that can be asked of it."""
        return cls(**{part.name: getattr(view, part.name) for part in fields(view)})

    def summary(self) -> pd.DataFrame:
        """Return one row for each label, dataset and direction, in the order of the trials.

        Beside every metric stand its ends ``_low`` and ``_high``, its ``_group`` (1: the best and
        what is tied with it), whether it is ``_best``, and its ``_gain`` on the untouched input.
        """
        return summary(self)

    def images(
        self, method: str, input: str, *, direction: str | None = None, dataset: str | None = None
    ) -> Translations:
        """Return what a method made of one input, as ``translate`` gives it.

        Parameters
        ----------
        method
            A label of the run; ``input`` gives the input itself.
        input
            Its id, as ``results.samples`` has it.

        Returns
        -------
        Translations
            float ``(1, samples, 3, H, W)`` in ``[0, 1]``, of the first training seed.

        Raises
        ------
        BenchError
            When there is no such method or input, or the pictures are gone.
        """
        import torch

        from bench.data.images import read_image, to_float
        from bench.data.translations import Translations

        rows = self._samples(dataset, direction)
        rows = rows[rows["input_id"] == _among("input", input, rows["input_id"])]
        if method == "input":
            paths = list(rows["input_path"][:1])
        else:
            rows = rows[rows["label"] == _among("method", method, rows["label"])]
            rows = rows[rows["seed"] == rows["seed"].min()].drop_duplicates("sample")
            paths = list(rows.sort_values("sample")["path"])
        for path in paths:
            if not inside(self.path, path):
                raise BenchError(f"{self.path / path} is gone")
        pixels = [torch.from_numpy(read_image(self.path / path)) for path in paths]
        return Translations.of(to_float(torch.stack(pixels).movedim(-1, 1))[None])

    def plot_tradeoff(
        self,
        x: str | None = None,
        y: str | None = None,
        *,
        direction: str | None = None,
        dataset: str | None = None,
    ) -> Plot:
        """Return a quality against another metric of which more is better, and the front.

        Parameters
        ----------
        x, y
            Columns of :meth:`summary`; else the leading diversity and the leading quality.
        """
        from bench.analysis.plots.plot import Plot
        from bench.analysis.plots.tradeoff import tradeoff

        rows, known = self._rows(dataset, direction)
        quality, other = _column(known, y, "quality"), _column(known, x, "diversity")
        if not other.higher_is_better:
            raise BenchError(f"{other.name}: take a metric of which more is better for x")
        log = other.kind == "throughput"
        made = tradeoff(rows, quality, other, log=log, labels=self._labels())
        if made is None:
            raise BenchError(f"no method has both {quality.name} and {other.name}")
        return Plot.of(made[0])

    def plot_intervals(
        self,
        metric: str | None = None,
        *,
        direction: str | None = None,
        dataset: str | None = None,
    ) -> Plot:
        """Return a metric of every method with its interval; else that of the leading quality."""
        from bench.analysis.plots.intervals import intervals
        from bench.analysis.plots.plot import Plot

        rows, known = self._rows(dataset, direction)
        return Plot.of(intervals(rows, _column(known, metric, "quality"), self._labels()))

    def plot_curves(
        self,
        metric: str | None = None,
        *,
        over: str = "iteration",
        direction: str | None = None,
        dataset: str | None = None,
    ) -> Plot:
        """Return a score of trainings on their way (``score_at`` of the suite).

        Parameters
        ----------
        metric
            A column of the summary by which methods are ranked; else the foremost one.
        over
            ``iteration`` or ``hours``.
        """
        from bench.analysis.plots.learning import AXES, curves, foremost
        from bench.analysis.plots.plot import Plot

        _among("axis", over, AXES)
        rows, known = self._rows(dataset, direction)
        points = self.curves[self.curves["dataset"].isin(rows["dataset"])]
        points = points[points["direction"].isin(rows["direction"])]
        measured = set(zip(points["metric"], points["subset"], strict=True))
        ranked = {
            column.name: column
            for column in (*foremost(known), *known)
            if column.higher_is_better is not None and (column.metric, column.subset) in measured
        }
        if not ranked:
            raise BenchError("no training was scored on its way: name iterations with score_at")
        column = ranked[_among("metric", metric or next(iter(ranked)), ranked)]
        made = curves(points, rows, [column], self._labels())
        return Plot.of(next(spec for _, _, axis, spec in made if axis == over))

    def plot_losses(self, method: str | None = None) -> Plot:
        """Return the losses of a training: of a label, else of the first that has any."""
        from bench.analysis.plots.learning import losses
        from bench.analysis.plots.plot import Plot

        labels = self.trials.set_index("trial")["label"]
        trained = {str(labels[trial]): trial for trial in reversed(self.losses["trial"].unique())}
        if not trained:
            raise BenchError("nothing was trained in this run")
        trial = trained[_among("training", method or list(trained)[-1], trained)]
        return Plot.of(losses(self.losses[self.losses["trial"] == trial]))

    def plot_sheet(
        self,
        *,
        inputs: int = 4,
        samples: int = 1,
        anchors: bool = False,
        direction: str | None = None,
        dataset: str | None = None,
    ) -> Plot:
        """Return inputs by methods; `inputs` rows, `samples` of each, baselines where wanted."""
        from bench.analysis.plots.sheet import sheet

        rows = self._samples(dataset, direction)
        return sheet(self, rows, inputs=inputs, samples=samples, anchors=anchors)

    def _labels(self) -> list[str]:
        return [str(label) for label in dict.fromkeys(self.summary()["label"])]

    def _rows(
        self, dataset: str | None, direction: str | None
    ) -> tuple[pd.DataFrame, list[TableColumn]]:
        """Return the summary of one direction of a dataset, and its columns."""
        rows = _one(self.summary(), dataset, direction)
        return rows, present(columns(self), rows)

    def _samples(self, dataset: str | None, direction: str | None) -> pd.DataFrame:
        if self.samples.empty:
            raise BenchError(f"{self.path} has no pictures")
        return _one(self.samples, dataset, direction)

    def __repr__(self) -> str:
        return f"<run {self.path}: {VERDICTS[self.verdict].lower()}, {len(self.trials)} trials>"

    def _repr_html_(self) -> str:
        """Return the verdict, what stands behind it, and the headline numbers."""
        rows = self.summary()
        known = [c for c in present(columns(self), rows) if c.headline and c.plain]
        table = rows[["dataset", "direction", "label"]].astype(str)
        for column in known:
            ends = rows[[column.name, f"{column.name}_low", f"{column.name}_high"]].astype(float)
            cells = [f"{format_number(v)} {format_interval(v, *e)}" for v, *e in ends.to_numpy()]
            table[f"{clean_text(column.title)} {column.arrow}"] = cells
        said = html.escape("; ".join([VERDICTS[self.verdict], *map(clean_text, reasons(self))]))
        place = html.escape(str(self.path))
        return f"<p><b>{said}</b></p>{table.to_html(index=False)}<small>{place}</small>"


def _among(kind: str, name: str, known: Any) -> str:
    names = list(dict.fromkeys(map(str, known)))
    if name not in names:
        raise BenchError(unknown(kind, name, names[:12]))
    return name


def _one(rows: pd.DataFrame, dataset: str | None, direction: str | None) -> pd.DataFrame:
    """Return the rows of one dataset and direction: those that are named, else the first."""
    for column, wanted in (("dataset", dataset), ("direction", direction)):
        names = [str(name) for name in dict.fromkeys(rows[column]) if name]
        if not names:
            raise BenchError("the run has measured nothing")
        if column == "direction" and wanted in ("a2b", "b2a"):
            first, _, second = names[0].partition("2")
            wanted = Direction.parse(wanted, (first, second)).name
        rows = rows[rows[column] == _among(column, wanted or names[0], names)]
    return rows


def _column(known: list[TableColumn], name: str | None, kind: Any) -> TableColumn:
    """Return a column by its name, else the leading one of a kind."""
    if name is not None:
        return {c.name: c for c in known}[_among("metric", name, [c.name for c in known])]
    if (found := leading(known, kind)) is None:
        have = join_names(c.name for c in known) or "nothing"
        raise BenchError(f"the run has no {kind} by which methods are ranked: name one of {have}")
    return found


def open_results(path: str | Path) -> Results:
    """Return a run that was made before, as :func:`bench.run` gave it.

    Raises
    ------
    BenchError
        When `path` is not the folder of a run that has tables.
    """
    return Results.of(open_run(Path(path)))
