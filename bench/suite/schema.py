"""A suite: what to run, validated. TOML file, command line and Python share this schema."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from bench.api import BenchError, Budget, Precision
from bench.plugins import explain_validation, load_plugins
from bench.storage.models import open_model
from bench.suite.presets import PRESETS, Preset

Options = dict[str, dict[str, Any]]
"""Options of plugins of one kind, by name."""


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


# The suite is kept in the run folder and read from there when the run is resumed.
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Size = Annotated[int, Field(ge=16, le=4096)]
Wanted = Precision | Literal["auto"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class MethodEntry(_Strict):
    """One method of a suite.

    ``label`` names its rows where a suite runs one method several times; ``budget`` and
    ``config`` override the preset's, ``precision`` the suite's; ``model`` names a trained model to
    load instead of training (``name = "munit@seasons-64"`` says both), ``weights`` a file of
    trained weights, and beside a ``budget`` of its own either is where training begins; ``root``
    is the folder of a method that works on one.
    """

    name: str = Field(min_length=1)
    model: str = ""
    label: str = ""
    budget: str | None = None
    precision: Wanted | None = None
    weights: AbsolutePath | None = None
    root: AbsolutePath | None = None
    config: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _at(cls, values: Any) -> Any:
        """``name@model`` is both."""
        if not isinstance(values, Mapping) or "@" not in str(values.get("name")):
            return values
        name, _, model = str(values["name"]).partition("@")
        return {**values, "name": name, "model": model}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.model and self.weights:
            raise ValueError(f"{self.full_name} has its weights: it takes no other")
        return self

    @property
    def full_name(self) -> str:
        """``name``, or ``name@model``."""
        return f"{self.name}@{self.model}" if self.model else self.name

    @property
    def title(self) -> str:
        """The label, or the name where none is given."""
        return self.label or self.full_name

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: str | None) -> str | None:
        return _checked_budget(value)


class DatasetEntry(_Strict):
    """One dataset of a suite.

    ``label`` names it where a suite uses one dataset twice; ``root`` is a local folder;
    ``size`` the side of its pictures where it is not the suite's; ``config`` the plugin's own
    options.
    """

    name: str = Field(min_length=1)
    label: str = ""
    root: AbsolutePath | None = None
    size: Size | None = None
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """The label, or the name where none is given."""
        return self.label or self.name


class Prices(_Strict):
    """What a study costs to run: ``[rates]`` of a suite file, for ``bench plan --cost``.

    Parameters
    ----------
    cpu_hour
        Of a trial on a CPU, with all cores that it has.
    gpu_hour
        Of a GPU, and what it is built into.
    gb_month
        Of keeping 10⁹ bytes.
    currency
        What the prices are in.
    """

    cpu_hour: float | None = Field(default=None, ge=0)
    gpu_hour: float | None = Field(default=None, ge=0)
    gb_month: float = Field(default=0.0, ge=0)
    currency: str = Field(default="EUR", min_length=1, max_length=8)


Entry = TypeVar("Entry", MethodEntry, DatasetEntry)


class Suite(_Strict):
    """What to run.

    Parameters
    ----------
    preset
        ``demo`` (minutes, embedded data), ``quick`` (small, real photographs) or ``paper``
        (the published configurations). It sets whatever is not given.
    methods, datasets, directions, seeds
        The trials: every method on every dataset with every seed, both directions in one
        trial. ``dataset`` stands for a single one of ``datasets``. A trained model has the seed
        it was trained with; it runs on the dataset it was trained on, where that is among them.
    size
        Side in pixels of the squares that are translated and scored, where a dataset names no
        other. Where neither is given, trained models name dataset and size.
    samples
        Outputs per input for methods that can give several.
    budget
        Training budget for every trained method; else each method's own for the preset.
    score_at
        Budgets in iterations at which a training is scored, too, from the weights it has then.
    train
        Whether methods are trained where a model of theirs is named, in a preset say.
    metrics
        Names; None: every default metric that applies.
    metric_options, extractors, launchers, reports
        Options of plugins of these kinds, by name.
    test_limit
        At most this many test inputs per direction, spread evenly; None: all.
    device, precision
        ``auto`` takes a GPU where there is one, and TF32 on it.
    allow_missing
        Whether pictures made elsewhere are scored although some are missing or at fault.
    timeout
        Seconds after which a trial's process group is killed; None: never.
    workers
        Trials that run at the same time.
    rates
        What an hour and a gigabyte cost, for ``bench plan --cost``.
    weights_dir, offline
        Where official pretrained weights lie; whether downloads are forbidden.
    plugins
        One-file plugins to load.
    """

    name: str = "bench"
    preset: Preset = "demo"
    methods: tuple[MethodEntry, ...]
    datasets: tuple[DatasetEntry, ...]
    directions: tuple[str, ...] = Field(default=("a2b", "b2a"), min_length=1)
    size: Size = 256
    samples: int = Field(default=1, ge=1, le=1000)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    budget: str | None = None
    score_at: tuple[str, ...] = ()
    train: bool = False
    metrics: tuple[str, ...] | None = None
    metric_options: Options = Field(default_factory=dict)
    extractors: Options = Field(default_factory=dict)
    launchers: Options = Field(default_factory=dict)
    reports: Options = Field(default_factory=dict)
    test_limit: int | None = Field(default=None, ge=1)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Wanted = "auto"
    allow_missing: bool = False
    timeout: float | None = Field(default=None, gt=0)
    workers: int = Field(default=1, ge=1, le=256, strict=True)
    rates: Prices | None = None
    weights_dir: AbsolutePath | None = None
    offline: bool = False
    plugins: tuple[AbsolutePath, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_dataset(cls, values: Any) -> Any:
        """``dataset`` is a list of one; an alias that files, Python and version 0.1 use."""
        if not isinstance(values, Mapping) or "dataset" not in values:
            return values
        if "datasets" in values:
            raise ValueError("name either dataset or datasets, not both")
        rest = {key: value for key, value in values.items() if key != "dataset"}
        return rest | {"datasets": [values["dataset"]]}

    @field_validator("methods", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """A text stands for an entry; see :func:`method_entry`."""
        if isinstance(value, list | tuple):
            return [method_entry(item) if isinstance(item, str) else item for item in value]
        return value

    @field_validator("datasets", mode="before")
    @classmethod
    def _dataset_names(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"name": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("methods", "datasets")
    @classmethod
    def _unique(cls, value: tuple[Entry, ...]) -> tuple[Entry, ...]:
        if not value:
            raise ValueError("name one at least")
        # Models under one label are trainings of one thing: the plan sees that their seeds differ.
        titles = [(entry.title, getattr(entry, "model", "")) for entry in value]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"{title[0]} is named twice: give each its own label")
        return value

    @field_validator("score_at")
    @classmethod
    def _score_at(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not str(_checked_budget(text)).endswith("it"):
                raise ValueError(f"write iterations, as in 4000it, not {text}")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a seed is named twice")
        if min(value) < 0 or max(value) >= 2**63:
            raise ValueError("seeds are whole numbers from 0 to 2**63 - 1")
        return value

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: str | None) -> str | None:
        return _checked_budget(value)

    def points(self, budget: str) -> tuple[int, ...]:
        """Return the iterations after which a training within `budget` is scored as well."""
        end = Budget.parse(budget).iterations if budget else 0
        asked = {Budget.parse(text).iterations or 0 for text in self.score_at}
        return tuple(sorted(at for at in asked if end is None or at < end))


def _checked_budget(value: str | None) -> str | None:
    if value is not None:
        try:
            Budget.parse(value)
        except BenchError as error:
            raise ValueError(str(error)) from None
    return value


def method_entry(text: str) -> dict[str, Any]:
    """Read ``name``, ``name:folder`` or ``name:label=folder`` as the values of an entry.

    Without a label a folder is called by its last part.
    """
    name, _, rest = text.partition(":")
    if not rest:
        return {"name": text}
    label, equals, folder = rest.partition("=")
    if not equals or not label.strip() or any(c in label for c in "/\\"):
        label, folder = "", rest
    last = Path(folder).expanduser().absolute().name
    return {"name": name, "label": label.strip() or last, "root": folder}


def make_suite(values: Mapping[str, Any], where: str = "suite") -> Suite:
    """Fill in the preset and validate.

    Raises
    ------
    BenchError
        One line: which field is wrong, and how.
    """
    preset = values.get("preset", "demo")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise BenchError(f"{where}: preset {preset!r} is unknown (there are: {', '.join(PRESETS)})")
    merged = {**PRESETS[cast("Preset", preset)], **values}
    if "dataset" in values and "datasets" not in values:
        del merged["datasets"]
    try:
        suite = Suite.model_validate(merged)
    except ValidationError as error:
        said = explain_validation(where, error, (*Suite.model_fields, "dataset"))
        if "dataset" in values:  # which is not told of as the first of a list
            said = said.replace("datasets.0", "dataset")
        raise BenchError(said) from None
    if suite.train:
        trained: dict[str, MethodEntry] = {}
        for entry in suite.methods:
            plain = entry if entry.budget else entry.model_copy(update={"model": ""})
            trained.setdefault(plain.title, plain)
        return suite.model_copy(update={"methods": tuple(trained.values())})
    return _as_models_say(suite, values) if "methods" in values else suite


def _as_models_say(suite: Suite, given: Mapping[str, Any]) -> Suite:
    """Return the suite on the datasets and at the sizes of its trained models, where not given."""
    named = [entry.full_name for entry in suite.methods if entry.model and not entry.budget]
    if not named:
        return suite
    registry = load_plugins(suite.plugins)
    cards = [open_model(registry.model(title)).card for title in named]
    datasets = suite.datasets
    if "dataset" not in given and "datasets" not in given:
        names = dict.fromkeys(card.training.dataset for card in cards)
        datasets = tuple(DatasetEntry(name=name) for name in names)
    if "size" not in given:
        sizes = {card.training.dataset: card.size for card in reversed(cards)}
        datasets = tuple(
            data.model_copy(update={"size": data.size or sizes.get(data.name)}) for data in datasets
        )
    return suite.model_copy(update={"datasets": datasets})


def read_suite(path: Path) -> dict[str, Any]:
    """The values of a suite file, not yet validated; relative paths are read from its folder.

    Raises
    ------
    BenchError
        When the file is missing or no TOML.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BenchError(f"suite file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"suite file {path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"suite file {path} is not valid TOML: {error}") from None
    entries = values.get("methods")
    if isinstance(entries, list):
        entries = [method_entry(one) if isinstance(one, str) else one for one in entries]
        values["methods"] = entries
    _from_folder(path.parent, values, "weights_dir")
    datasets = values.get("datasets", [values.get("dataset")])
    for entry in datasets if isinstance(datasets, list) else []:
        _from_folder(path.parent, entry, "root")
    for entry in entries if isinstance(entries, list) else []:
        for key in ("weights", "root"):
            _from_folder(path.parent, entry, key)
    if isinstance(plugins := values.get("plugins"), list):
        values["plugins"] = [
            str(path.parent / Path(file).expanduser()) if isinstance(file, str) else file
            for file in plugins
        ]
    return values


def _from_folder(folder: Path, values: Any, key: str) -> None:
    """Read a relative path from `folder` on; what is no path is left to validation."""
    if isinstance(values, dict) and isinstance(values.get(key), str):
        values[key] = str(folder / Path(values[key]).expanduser())


def to_toml(suite: Suite) -> str:
    """The suite as TOML that :func:`read_suite` reads back to an equal one."""
    return tomli_w.dumps(_without_none(suite.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
