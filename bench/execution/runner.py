"""One execution of a suite: a folder that fills with trials, tables and reports."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bench.analysis.results import Results
from bench.api import (
    BenchError,
    Declared,
    Event,
    Launcher,
    Resources,
    RunView,
    Task,
    TrialResult,
)
from bench.execution.contest import contest
from bench.execution.dispatch import Dispatch
from bench.execution.environment import describe_environment
from bench.execution.progress import make_listener
from bench.execution.stages.fit import WEIGHTS
from bench.execution.worker import JOB, RESULT, command_line
from bench.plugins import Registry, load_plugins, make_config, resolve
from bench.storage.cache import key_of
from bench.storage.declared import write_declared
from bench.storage.files import check_writable, write_atomic, write_json
from bench.storage.jobs import Job, write_plan
from bench.storage.locks import locked
from bench.storage.rows import TrialRow
from bench.storage.store import carried, named_store
from bench.storage.tables import SCHEMAS, VERSION, check_version, read_result, table, write_table
from bench.storage.upkeep import begin_run, end_run
from bench.storage.weights import cache_folder
from bench.suite.estimate import expected_seconds, remember_pace
from bench.suite.plan import Plan, make_plan
from bench.suite.presets import LAUNCHER
from bench.suite.schema import Suite, make_suite, read_suite, to_toml

DONE = "DONE"
TABLES_REST = 20
"""While trials end the tables are written anew after so many times what writing them took, and
once at the end: after each of a thousand trials it would take longer than the trials."""


class Listener(Protocol):
    """Who watches a run."""

    def planned(self, run: Path, jobs: Sequence[Job]) -> None:
        """The run begins; skipped jobs are among `jobs`."""
        ...

    def event(self, trial: str, event: Event) -> None:
        """Something happened in a trial."""
        ...

    def finished(self, job: Job, row: Mapping[str, Any]) -> None:
        """A trial ended; `row` has its status, its reason, and facts about it."""
        ...

    def leave(self, run: Path, count: int) -> bool:
        """The run was interrupted: whether `count` trials, which can, shall go on without it."""
        ...


class Silent:
    """A listener that shows nothing."""

    def planned(self, run: Path, jobs: Sequence[Job]) -> None:
        """Show nothing."""

    def event(self, trial: str, event: Event) -> None:
        """Show nothing."""

    def finished(self, job: Job, row: Mapping[str, Any]) -> None:
        """Show nothing."""

    def leave(self, run: Path, count: int) -> bool:
        """End them all."""
        return False


@dataclass(frozen=True)
class Execution:
    """How a run ended."""

    view: RunView
    report: Path | None
    problems: tuple[str, ...] = ()

    @property
    def failures(self) -> int:
        """Trials that should have run and did not end well."""
        return int((~self.view.trials["status"].isin(["ok", "skipped"])).sum())

    @property
    def sound(self) -> bool:
        """Whether every trial and report ended well and the run is not invalid."""
        return not (self.failures or self.problems or self.view.verdict == "invalid")


def new_run_folder(suite: Suite, runs: Path = Path("runs")) -> Path:
    """Make ``runs/<utc>-<hash8>``: sortable by time, recognisable by suite, nobody else's.

    Raises
    ------
    BenchError
        When `runs` cannot be written to.
    """
    check_writable(runs)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}-{key_of(suite=suite.model_dump(mode='json'))[:8]}"
    for number in itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def unfinished_run(runs: Path = Path("runs")) -> Path:
    """The newest run folder that has not ended.

    Raises
    ------
    BenchError
        When there is none.
    """
    folders = sorted(runs.glob("*/suite.toml"), reverse=True) if runs.is_dir() else []
    for suite in folders:
        if not (suite.parent / DONE).exists():
            return suite.parent
    raise BenchError(f"nothing to resume: {runs} has no unfinished run (name one with --out)")


class _Recorder:
    """Turns what workers report into files, as it comes."""

    def __init__(self, run: Path, plan: Plan, listener: Listener) -> None:
        self.run = run
        self.plan = plan
        self.listener = listener
        self.results: dict[str, TrialResult] = {}
        self.images = {data.label: sum(data.inputs.values()) for data in plan.datasets}
        self.log = (run / "events.jsonl").open("a", encoding="utf-8")
        self._due = 0.0

    def event(self, trial: str, event: Event, when: float) -> None:
        entry = {"time": round(when, 3), "trial": trial, **asdict(event)}
        self.log.write(json.dumps(entry) + "\n")
        self.log.flush()
        self.listener.event(trial, event)

    def result(self, job: Job, result: TrialResult) -> None:
        folder = self.run / "trials" / job.trial
        write_json(folder / RESULT, asdict(result))
        row = {"status": result.status, "reason": result.reason, **result.facts}
        if result.status == "ok":
            write_atomic(folder / DONE, job.fit_key + "\n")
            remember_pace(job, row, self.images[job.dataset_label], Path(job.cache))
        self.results[job.trial] = result
        said = f"{result.status} {result.reason}".strip()
        self.event(job.trial, Event("stage", "trial", said), time.time())
        self.listener.finished(job, row)
        if (begun := time.monotonic()) >= self._due:
            self.write_tables()
            now = time.monotonic()
            self._due = now + TABLES_REST * (now - begun)

    def write_tables(self) -> None:
        """The tables of trials from what is known so far; a trial not yet ended has no row."""
        rows: dict[str, list[Any]] = {name: [] for name in SCHEMAS}
        for job in self.plan.jobs:
            result = self.results.get(job.trial)
            if result is None:
                continue
            ended = {"status": result.status, "reason": result.reason}
            rows["trials"].append(TrialRow(**job.columns | result.facts | ended))
            for name in ("measurements", "samples", "timings", "curves"):
                rows[name] += getattr(result, name)
        for name, entries in rows.items():
            write_table(self.run, name, table(name, entries))


def _check_folder(out: Path, resume: bool) -> None:
    """Refuse a place that holds something else, before anything is done; writes nothing."""
    if out.exists() and not out.is_dir():
        raise BenchError(f"{out} is a file: choose another place with --out")
    # A run that was killed before it wrote its suite has left its lock, and half of the suite.
    if out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir()):
        if not (out / "suite.toml").exists():
            raise BenchError(f"{out} is not empty and no run: choose another place with --out")
        if not resume:
            raise BenchError(f"{out} holds a run already: add --resume, or choose another --out")
        check_version(out)


def _finished_before(run: Path, job: Job) -> TrialResult | None:
    """The stored result of a trial that ended well in an earlier attempt, if it can be read."""
    folder = run / "trials" / job.trial
    try:
        if Job.from_json((folder / JOB).read_text("utf-8")) != job:
            return None
        # Written last, and removed before a trial begins: it is of this very job.
        result = read_result(folder / RESULT)
    except (OSError, ValueError):
        return None
    rows = (*result.measurements, *result.samples, *result.timings)
    mine = all(row.get("trial") == job.trial for row in rows)  # not another trial's
    trained = result.facts.get("parameters") is not None
    whole = not trained or (folder / "checkpoints" / WEIGHTS).is_file()
    return result if result.status == "ok" and mine and whole else None


def _write_facts(run: Path, suite: Suite, plan: Plan, registry: Registry, launcher: str) -> None:
    """What the run is: its suite, plan, environment, and what its plugins declare."""
    write_atomic(run / "suite.toml", to_toml(suite))
    write_plan(run, plan.jobs)
    facts = {"schema_version": VERSION, "launcher": launcher}
    write_json(run / "environment.json", describe_environment() | facts)
    metrics = registry.measured(suite.metrics)
    write_declared(run, Declared.of(registry.methods.values(), metrics))


def _task(
    run: Path, suite: Suite, plan: Plan, recorder: _Recorder, elsewhere: bool, job: Job
) -> Task:
    """A trial as the launcher sees it."""
    from bench.devices import choose_device

    device = job.device if elsewhere else str(choose_device(job.device))
    images = recorder.images[job.dataset_label]
    return Task(
        trial=job.trial,
        label=job.label,
        folder=run / "trials" / job.trial,
        command=command_line(run, job.trial),
        environment=carried(),
        resources=Resources(
            gpus=int(device == "cuda"),  # cuda:1 is the user's own choice
            seconds=expected_seconds(job, images, Path(job.cache)),
        ),
        timeout=suite.timeout,
        key=key_of(job=job.to_json()),
    )


def execute(
    suite: Suite,
    *,
    registry: Registry | None = None,
    out: Path | None = None,
    resume: bool = False,
    fail_fast: bool = False,
    launcher: str = LAUNCHER,
    reports: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> Execution:
    """Run a suite: plan, trials, contest, reports.

    Parameters
    ----------
    suite
        What to run.
    out
        The run folder; None: a new one under ``runs/``.
    resume
        Go on with an unfinished run in `out`.
    fail_fast
        Begin no further trial once one has failed.
    launcher
        Where trials run.
    reports
        Those to write; None: the default ones.

    Raises
    ------
    BenchError
        When something is wrong before the first trial; nothing is half-written then.
    KeyboardInterrupt
        After partial results have been saved.
    """
    from bench.devices import choose_device

    registry = registry or load_plugins(suite.plugins)
    listener = listener or Silent()
    for name in reports or ():
        registry.report(name)
    launch = make_launcher(launcher, registry, suite)
    elsewhere = registry.launcher(launcher).elsewhere
    if out is not None:
        _check_folder(out, resume)
    cache = cache_folder().resolve()
    check_writable(cache, "name another place with the environment variable BENCH_CACHE")
    named_store()  # refused here, not by every trial
    if not elsewhere:
        choose_device(suite.device)
    plan = make_plan(
        suite, registry, cache, progress=lambda text: listener.event("", Event("log", "", text))
    )
    run = (out or new_run_folder(suite)).resolve()
    check_writable(run)
    with locked(run, wait=False):
        (run / DONE).unlink(missing_ok=True)
        _write_facts(run, suite, plan, registry, launcher)
        recorder = _Recorder(run, plan, listener)
        begin_run(cache, run, (job.fit_key for job in plan.jobs))
        listener.planned(run, plan.jobs)
        todo = _to_do(run, plan, recorder)
        trials = Dispatch(
            launch,
            partial(_task, run, suite, plan, recorder, elsewhere),
            on_event=recorder.event,
            on_result=recorder.result,
            leave=partial(listener.leave, run),
        )
        try:
            trials.run(todo, workers=suite.workers, fail_fast=fail_fast)
        finally:
            recorder.write_tables()
            recorder.log.close()
        view = contest(run)
        report, problems = render_reports(view, registry, reports)
        if bool(view.trials["status"].isin(["ok", "skipped"]).all()):
            write_atomic(run / DONE, "")
            end_run(cache, run)
        return Execution(view, report, problems)


def make_launcher(name: str, registry: Registry, suite: Suite) -> Launcher:
    """Return a launcher with the options that a suite gives it."""
    spec = registry.launcher(name)
    config = make_config("launcher", name, spec.config, suite.launchers.get(name, {}))
    made: Launcher = resolve(spec.implementation)(config, suite.workers)
    return made


def _to_do(run: Path, plan: Plan, recorder: _Recorder) -> list[Job]:
    """The jobs that are to run; skipped ones, and those that ended well before, are reported."""
    todo = []
    for job in plan.jobs:
        if job.skip:
            recorder.result(job, TrialResult("skipped", job.skip))
        elif (result := _finished_before(run, job)) is not None:
            recorder.result(job, result)
        else:
            todo.append(job)
    return todo


def render_reports(
    view: RunView, registry: Registry, only: Sequence[str] | None = None
) -> tuple[Path | None, tuple[str, ...]]:
    """Render the default reports (or `only` these); gives the page's path, and what failed.

    Their options are those of the run's suite. One broken report keeps no other from being
    written.
    """
    page: Path | None = None
    problems = []
    usual = [name for name, spec in registry.reports.items() if spec.default]
    for name in usual if only is None else only:
        spec = registry.report(name)
        out = view.path / "report"
        try:
            config = make_config("report", name, spec.config, _options(view, name))
            made = Path(resolve(spec.implementation)(view, out, config))
        except (Exception, SystemExit) as error:  # a plugin's fault must not cost the run
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            problems.append(f"report {name} failed: {type(error).__name__}: {reason}")
            continue
        if made.suffix == ".html":
            page = made
    return page, tuple(problems)


def _options(view: RunView, report: str) -> dict[str, Any]:
    """What a run's suite says of a report."""
    options = view.suite.get("reports", {})
    found = options.get(report, {}) if isinstance(options, dict) else {}
    return dict(found) if isinstance(found, dict) else {}


def run(
    suite: Suite | Mapping[str, Any] | str | Path,
    *,
    out: str | Path | None = None,
    quiet: bool = False,
    **options: Any,
) -> Results:
    """Run a suite from Python, and return what came of it.

    Parameters
    ----------
    suite
        A :class:`Suite`, its values, or the path of a TOML file.
    out
        The run folder; None: a new one under ``runs/``.
    quiet
        Show no progress; else bars in a terminal, a block in a notebook, lines elsewhere.
    **options
        Those of :func:`execute`.

    Raises
    ------
    BenchError
        When something is wrong before the first trial. A trial that fails is a row.
    """
    options["out"] = None if out is None else Path(out)
    if isinstance(suite, str | Path):
        suite = make_suite(read_suite(Path(suite)), str(suite))
    elif not isinstance(suite, Suite):
        suite = make_suite(suite)
    if quiet or options.get("listener"):
        return Results.of(execute(suite, **options).view)
    with make_listener() as listener:
        return Results.of(execute(suite, **options, listener=listener).view)
