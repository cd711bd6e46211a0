"""The one place where what a trial gave becomes rows of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from itertools import product
from typing import TYPE_CHECKING, Any

from bench.api import Direction, Measurement, TrialResult
from bench.storage.rows import CurveRow, MeasurementRow, SampleRow, TimingRow

if TYPE_CHECKING:
    from bench.execution.stages.fit import Fitted
    from bench.execution.stages.score import Scored
    from bench.execution.stages.time import Timed
    from bench.execution.stages.translate import Translated
    from bench.execution.workspace import Workspace
    from bench.training.loop import Kept

Row = dict[str, Any]


def measurement_row(base: Row, measurement: Measurement) -> Row:
    """Return the row of a measurement; its values of single outputs are rows of ``samples``.

    Parameters
    ----------
    base
        The columns that say which trial and direction it is of.
    """
    names = [part.name for part in fields(measurement) if part.name != "per_sample"]
    values = {name: getattr(measurement, name) for name in names}
    values["resampled"] = list(measurement.resampled) or None
    return asdict(MeasurementRow(**base, **values))


def trial_result(
    workspace: Workspace,
    fitted: Fitted,
    translated: Translated,
    scored: Scored,
    timed: Timed,
    seconds: Mapping[str, float],
    curve: Iterable[tuple[Kept, Scored]] = (),
) -> TrialResult:
    """Return all that a trial which ended well has to say.

    Parameters
    ----------
    seconds
        What each stage took now.
    curve
        Scores on the way, and where they are of.
    """
    cached = {
        "fit": fitted.cached,
        "translate": translated.cached,
        "score": scored.cached,
        "time": timed.cached,
    }
    facts: Row = {
        "device": str(workspace.ctx.device),
        "precision": workspace.ctx.precision,
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "cached": "+".join(name for name, known in cached.items() if known),
    }
    if fitted.seconds is not None:
        facts["fit_seconds"] = fitted.seconds
        facts["iterations"] = fitted.iterations
        facts["parameters"] = fitted.parameters
        facts["fit_peak_memory_mb"] = fitted.peak_memory_mb
    if timed.peak_memory_mb is not None:
        facts["peak_memory_mb"] = timed.peak_memory_mb
    reason = workspace.precomputed.remark if workspace.spec.precomputed else ""
    result = TrialResult("ok", reason, facts)
    bases = {direction: _base(workspace, direction) for direction in workspace.directions}
    for found in (scored.measurements, timed.measurements):
        for direction, measurements in found.items():
            result.measurements += [measurement_row(bases[direction], one) for one in measurements]
    for direction, base in bases.items():
        if fitted.peak_memory_mb is not None:
            peak = fitted.peak_memory_mb
            memory = Measurement("fit_memory", "resource", peak, "MB", higher_is_better=False, n=1)
            result.measurements.append(measurement_row(base, memory))
        result.samples += _sample_rows(workspace, direction, base, scored)
    for direction, timings in timed.timings.items():
        result.timings += [asdict(TimingRow(**bases[direction], **asdict(one))) for one in timings]
    for kept, then in curve:
        place: Row = {"iteration": kept.iteration, "seconds": kept.seconds, "cores": kept.cores}
        for direction, base in bases.items():
            rows = (measurement_row(base, one) for one in then.measurements[direction])
            result.curves += [asdict(CurveRow(**row, **place)) for row in rows]
    return result


def _base(workspace: Workspace, direction: Direction) -> Row:
    job = workspace.job
    return {
        "trial": job.trial,
        "method": job.method,
        "label": job.label,
        "dataset": job.dataset_label,
        "direction": direction.name,
        "seed": job.seed,
    }


def _sample_rows(
    workspace: Workspace, direction: Direction, base: Row, scored: Scored
) -> Iterator[Row]:
    """Every value of every output, and every output that has no value."""
    run, outputs = workspace.run, workspace.outputs(direction)
    inputs, samples = workspace.beside("inputs", direction), workspace.job.samples

    def row(input_id: str, k: int, **value: Any) -> Row:
        made = SampleRow(
            **base,
            input_id=input_id,
            sample=k,
            path=(outputs / input_id / f"{k}.png").relative_to(run).as_posix(),
            input_path=(inputs / f"{input_id}.png").relative_to(run).as_posix(),
            **value,
        )
        return asdict(made)

    seen: set[tuple[str, int]] = set()
    for measurement in scored.measurements[direction]:
        for input_id, k, value in measurement.per_sample:
            if k < samples:  # beyond that it is the same picture again, see Job.repeats
                seen.add((input_id, k))
                yield row(input_id, k, metric=measurement.metric, value=value)
    for item, k in product(workspace.inputs(direction), range(samples)):
        if (item.id, k) not in seen:
            yield row(item.id, k)
