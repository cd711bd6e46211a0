"""Options that several verbs share, and how they become a suite."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.api import BenchError
from bench.plugins import unknown
from bench.suite.presets import PHOTOGRAPHS
from bench.suite.schema import Suite, make_suite, read_suite

SuiteFile = Annotated[
    Path | None, typer.Argument(help="A suite in TOML; options given beside it win.")
]
Methods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        "-m",
        help="Names, joined with commas; METHOD@MODEL loads a trained model; outputs:FOLDER or "
        "outputs:LABEL=FOLDER for pictures made elsewhere.",
        metavar="A,B",
    ),
]
DatasetNames = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Names, joined with commas.", metavar="A,B"),
]
DataRoots = Annotated[
    list[str] | None,
    typer.Option(
        "--data-root",
        help="Its folder, with trainA, trainB, testA and testB; NAME=FOLDER for one of several "
        "datasets.",
        metavar="FOLDER",
    ),
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Its folder, with trainA, trainB, testA and testB.")
]
Directions = Annotated[
    str | None, typer.Option(help="a2b, b2a or by name, joined with commas.", metavar="A2B,B2A")
]
PresetName = Annotated[
    str | None, typer.Option(help="demo (minutes), quick (small) or paper (as published).")
]
BudgetText = Annotated[
    str | None, typer.Option(help="Training budget of each trained method.", metavar="90s|5000it")
]
ScoreAt = Annotated[
    str | None,
    typer.Option(
        help="Score trainings at these iterations, too: the learning curve.",
        metavar="1000it,4000it",
    ),
]
Train = Annotated[
    bool, typer.Option("--train", help="Train methods, where a trained model is named, too.")
]
Size = Annotated[int | None, typer.Option(help="Side of the images in pixels.")]
Samples = Annotated[int | None, typer.Option(help="Outputs per input of multimodal methods.")]
Seeds = Annotated[
    str | None, typer.Option(help="Training seeds: a number each, joined with commas.")
]
Metrics = Annotated[str | None, typer.Option(help="Names, joined with commas.", metavar="A,B")]
TestLimit = Annotated[int | None, typer.Option(help="At most this many test inputs a direction.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
PrecisionName = Annotated[str | None, typer.Option(help="auto, fp32, tf32 or bf16.")]
WeightsDir = Annotated[Path | None, typer.Option(help="Folder with official pretrained weights.")]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Score outputs:FOLDER although pictures are missing or at fault."
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Download nothing.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds after which a trial is killed.")]
Workers = Annotated[int | None, typer.Option(help="Trials that run at the same time.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="An option of a method, of the dataset (dataset.KEY=VALUE), or of a metric, "
        "extractor, launcher or report, by its name; may be repeated.",
        metavar="NAME.KEY=VALUE",
    ),
]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A one-file plugin; may be repeated.")
]


def split(text: str | None) -> list[str] | None:
    """Names joined with commas."""
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str | None, option: str) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise BenchError(f"{option} {text!r}: write whole numbers joined with commas") from None


def _value(text: str) -> Any:
    """A value as TOML would read it, else the text itself."""
    import tomllib

    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def settings_of(settings: list[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a mapping."""
    values = {}
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not (equals and key.strip()):
            raise BenchError(f"--set {setting!r}: write KEY=VALUE")
        values[key.strip()] = _value(text.strip())
    return values


_KINDS = {
    "metric": "metric_options",
    "extractor": "extractors",
    "launcher": "launchers",
    "report": "reports",
}
"""Kinds of plugins that a suite has options of by name, and where it keeps them."""


def _with_settings(suite: Suite, settings: list[str]) -> dict[str, Any]:
    """Return a suite's values with options of its methods, datasets and plugins of other kinds.

    Raises
    ------
    BenchError
        When a text is no setting, or its name is that of nothing, or of several things.
    """
    from bench.plugins import load_plugins

    registry = load_plugins(suite.plugins)
    values = suite.model_dump(mode="json", exclude_none=True)
    methods: dict[str, list[dict[str, Any]]] = {}
    for entry, part in zip(suite.methods, values["methods"], strict=True):
        methods.setdefault(entry.title, []).append(part)
    datasets = {e.title: [p] for e, p in zip(suite.datasets, values["datasets"], strict=True)}
    if len(datasets) == 1:
        datasets.setdefault("dataset", next(iter(datasets.values())))
    known: dict[str, dict[str, Any]] = {kind: getattr(registry, f"{kind}s") for kind in _KINDS}
    for setting in settings:
        path, equals, text = setting.partition("=")
        title, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise BenchError(f"--set {setting!r}: write NAME.KEY=VALUE")
        kinds = [kind for kind, specs in known.items() if title in specs]
        kinds += [
            kind for kind, parts in (("method", methods), ("dataset", datasets)) if title in parts
        ]
        if not kinds:
            others = [name for specs in known.values() for name in specs]
            parts = {*methods, *datasets, *get_close_matches(title, others)}
            raise BenchError(f"--set {setting!r}: {unknown('part of the suite', title, parts)}")
        if len(kinds) > 1:
            raise BenchError(
                f"--set {setting!r}: {title} is a {' and a '.join(sorted(kinds))}: give the method "
                "or dataset a label, or write the option in a suite file"
            )
        if (kept := _KINDS.get(kinds[0])) is not None:
            options = [values.setdefault(kept, {}).setdefault(title, {})]
        else:
            found = methods.get(title) or datasets[title]
            options = [part.setdefault("config", {}) for part in found]
        for option in options:
            option[key] = _value(text.strip())
    return values


def _place(values: dict[str, Any], roots: list[str]) -> None:
    """Give datasets their folders: ``FOLDER`` for a single one, else ``NAME=FOLDER``.

    Raises
    ------
    BenchError
        When it is not clear which dataset a folder is for.
    """
    key = "datasets" if "datasets" in values else "dataset"
    entries = values.get("datasets", [values.get("dataset", PHOTOGRAPHS)])
    if not isinstance(entries, list):
        return  # validation will say what is wrong, here and below
    entries = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
    if not all(isinstance(entry, dict) for entry in entries):
        return
    by_title = {str(entry.get("label") or entry.get("name")): entry for entry in entries}
    if len(by_title) < len(entries):
        return
    for text in roots:
        title, equals, folder = text.partition("=")
        if equals and title in by_title:
            by_title[title]["root"] = folder
        elif len(entries) == 1:
            entries[0]["root"] = text
        else:
            raise BenchError(
                f"--data-root {text!r}: there are several datasets, write NAME=FOLDER with one of "
                f"{', '.join(by_title)}"
            )
    values[key] = entries if key == "datasets" else entries[0]


def build_suite(
    file: Path | None,
    *,
    settings: list[str] | None = None,
    methods: str | list[dict[str, Any]] | None = None,
    dataset: str | None = None,
    data_root: Path | list[str] | None = None,
    directions: str | None = None,
    seeds: str | None = None,
    metrics: str | None = None,
    score_at: str | None = None,
    train: bool = False,
    offline: bool = False,
    allow_missing: bool = False,
    plugins: list[Path] | None = None,
    **scalars: Any,
) -> Suite:
    """A suite file and options, merged and validated; options win.

    Raises
    ------
    BenchError
        One line on the first thing that is wrong.
    """
    where = str(file) if file is not None else "options"
    values = read_suite(file) if file is not None else {}
    lists = {
        "methods": split(methods) if isinstance(methods, str) else methods,
        "directions": split(directions),
        "seeds": _numbers(seeds, "--seeds"),
        "metrics": split(metrics),
        "score_at": split(score_at),
    }
    flags = {"train": train, "offline": offline, "allow_missing": allow_missing}
    values |= {key: value for key, value in {**scalars, **lists}.items() if value is not None}
    values |= {key: True for key, on in flags.items() if on}
    if plugins:
        values["plugins"] = [*values.get("plugins", ()), *(str(p.resolve()) for p in plugins)]
    if dataset is not None:
        values.pop("dataset", None)
        values["datasets"] = split(dataset)
    if data_root is not None:
        # A folder alone means real photographs, whatever the preset would take.
        _place(values, data_root if isinstance(data_root, list) else [str(data_root)])
    suite = make_suite(values, where)
    given = {key for key in ("budget", "precision") if scalars.get(key) is not None}
    if given:
        # Every method's; a model without a budget of its own is loaded and not trained on.
        entries = [
            e.model_copy(update={key: getattr(e, key) and getattr(suite, key) for key in given})
            for e in suite.methods
        ]
        suite = suite.model_copy(update={"methods": tuple(entries)})
    if settings:
        suite = make_suite(_with_settings(suite, settings), where)
    return suite
