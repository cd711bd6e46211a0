"""Discovery of plugins: each on its own, and a broken one is a row, never a crash."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import pluggy

from bench import hookspecs
from bench.api import (
    BenchError,
    Config,
    Context,
    DatasetSpec,
    ExtractorSpec,
    LauncherSpec,
    Method,
    MethodSpec,
    MetricSpec,
    ModelSpec,
    PretrainedMethod,
    ReportSpec,
)

GROUP = "bench"

Spec = TypeVar("Spec", MethodSpec, DatasetSpec, MetricSpec, ExtractorSpec, ReportSpec, LauncherSpec)


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that could not be loaded, or offers what cannot be used."""

    name: str
    origin: str
    reason: str


@dataclass
class Registry:
    """What all plugins offer together, by kind and name."""

    methods: dict[str, MethodSpec] = field(default_factory=dict)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    metrics: dict[str, MetricSpec] = field(default_factory=dict)
    extractors: dict[str, ExtractorSpec] = field(default_factory=dict)
    reports: dict[str, ReportSpec] = field(default_factory=dict)
    launchers: dict[str, LauncherSpec] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    """By ``method@name``."""
    broken: list[BrokenPlugin] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    givers: dict[tuple[str, str], str] = field(default_factory=dict)
    """Names of the plugins, by the kind and the name of what they offer."""

    def method(self, name: str) -> MethodSpec:
        """The method of that name; raises `BenchError` with near misses."""
        return self._pick(self.methods, name, "method")

    def dataset(self, name: str) -> DatasetSpec:
        """The dataset of that name; raises `BenchError` with near misses."""
        return self._pick(self.datasets, name, "dataset")

    def metric(self, name: str) -> MetricSpec:
        """The metric of that name; raises `BenchError` with near misses."""
        return self._pick(self.metrics, name, "metric")

    def extractor(self, name: str) -> ExtractorSpec:
        """The extractor of that name; raises `BenchError` with near misses."""
        return self._pick(self.extractors, name, "extractor")

    def report(self, name: str) -> ReportSpec:
        """The report of that name; raises `BenchError` with near misses."""
        return self._pick(self.reports, name, "report")

    def launcher(self, name: str) -> LauncherSpec:
        """The launcher of that name; raises `BenchError` with near misses."""
        return self._pick(self.launchers, name, "launcher")

    def model(self, title: str) -> ModelSpec:
        """The trained model called ``method@name``; raises `BenchError` with what there is."""
        method, _, name = title.partition("@")
        self.method(method)
        if title not in self.models:
            mine = [spec.name for spec in self.models.values() if spec.method == method]
            raise BenchError(unknown(f"trained model of {method}", name, mine))
        return self.models[title]

    def measured(self, names: Sequence[str] | None) -> list[MetricSpec]:
        """Return the metrics of these names in the order of registration; None: the default."""
        return [
            spec
            for name, spec in self.metrics.items()
            if (spec.default if names is None else name in names)
        ]

    def needed(
        self, method: str, dataset: str, metrics: Sequence[str] | None, options: Iterable[str]
    ) -> tuple[str, ...]:
        """Return the names of the plugins without which a trial cannot run.

        Parameters
        ----------
        method, dataset, metrics
            What it consists of; `metrics` as for :meth:`measured`.
        options
            The metrics and extractors that options are given for.
        """
        measured = self.measured(metrics)
        names = {name for spec in measured for name in (spec.name, *spec.extractors)}
        parts = [("bench_methods", method), ("bench_datasets", dataset)]
        parts += product(("bench_metrics", "bench_extractors"), names.union(options))
        return tuple(sorted({self.givers[part] for part in parts if part in self.givers}))

    def _pick(self, known: Mapping[str, Spec], name: str, kind: str) -> Spec:
        if name in known:
            return known[name]
        for broken in self.broken:
            if broken.name == name:
                raise BenchError(f"{kind} {name!r} is broken: {broken.reason}")
        lost = "".join(f"; plugin {one.name} is broken: {one.reason}" for one in self.broken)
        raise BenchError(unknown(kind, name, known) + lost)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One line that says a name is unknown, what is near, and what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"{kind} {name!r} is unknown{hint} (there are: {', '.join(names) or 'none'})"


def _reason(error: BaseException) -> str:
    """An exception in one line."""
    text = str(error).strip().splitlines()
    if isinstance(error, BenchError):
        return text[0]
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _load_file(path: Path) -> ModuleType:
    """A one-file plugin, importable afterwards by its stem (for ``"stem:Class"``)."""
    if not path.is_file():
        raise BenchError("the file does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BenchError("it is not a Python file")
    if path.stem in sys.modules and getattr(sys.modules[path.stem], "__file__", "") != str(path):
        raise BenchError(f"rename it, a module {path.stem!r} exists already")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _checked(hook: str, kind: type, specs: Iterable[Any]) -> Iterator[Any]:
    for spec in specs:
        if not isinstance(spec, kind):
            raise TypeError(f"{hook} gave a {type(spec).__name__}")
        yield spec


def _collect(registry: Registry, manager: pluggy.PluginManager) -> None:
    """Ask every plugin for its specs; the first to use a name keeps it."""
    hooks: list[tuple[pluggy.HookCaller, dict[str, Any], type]] = [
        (manager.hook.bench_methods, registry.methods, MethodSpec),
        (manager.hook.bench_datasets, registry.datasets, DatasetSpec),
        (manager.hook.bench_metrics, registry.metrics, MetricSpec),
        (manager.hook.bench_extractors, registry.extractors, ExtractorSpec),
        (manager.hook.bench_reports, registry.reports, ReportSpec),
        (manager.hook.bench_launchers, registry.launchers, LauncherSpec),
        (manager.hook.bench_models, registry.models, ModelSpec),
    ]
    for hook, known, kind in hooks:
        # One call for each plugin, not one for all: what one of them raises harms no other.
        for implementation in hook.get_hookimpls():
            try:
                for spec in _checked(
                    hook.name, kind, cast("Iterable[Any]", implementation.function())
                ):
                    name = spec.title if kind is ModelSpec else spec.name
                    if name in known:
                        raise BenchError(f"{name!r} is already offered by another plugin")
                    known[name] = spec
                    registry.givers[hook.name, name] = implementation.plugin_name
            except (Exception, SystemExit) as error:
                origin = getattr(implementation.plugin, "__file__", None) or "?"
                broken = BrokenPlugin(implementation.plugin_name, origin, _reason(error))
                registry.broken.append(broken)


def load_plugins(
    files: Sequence[Path] = (),
    only: Sequence[str] | None = None,
    begin: Callable[[str], None] = lambda name: None,
) -> Registry:
    """Load every entry point of the group ``bench``, and the given one-file plugins.

    Each is loaded in a try of its own: what fails is listed in ``Registry.broken``.

    Parameters
    ----------
    files
        One-file plugins; each is named by its stem.
    only
        Names of those that are wanted, of both kinds; None: all.
    begin
        Takes the name of a plugin before its code runs, which may never return.

    Raises
    ------
    BenchError
        When one of `files` (which the user named) cannot be loaded.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    registry = Registry(files=tuple(dict.fromkeys(file.resolve() for file in files)))

    def register(name: str, origin: str, load: Callable[[], Any]) -> None:
        if only is not None and name not in only:
            return
        begin(name)
        try:
            # What a plugin prints as it is imported is not what a command says.
            with redirect_stdout(sys.stderr):
                manager.register(load(), name=name)
        except (Exception, SystemExit) as error:
            registry.broken.append(BrokenPlugin(name, origin, _reason(error)))

    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.name):
        register(entry.name, entry.value, entry.load)
    for file in registry.files:
        register(file.stem, str(file), partial(_load_file, file))
        if registry.broken and registry.broken[-1].origin == str(file):
            raise BenchError(f"plugin {file}: {registry.broken[-1].reason}")
        plugin = manager.get_plugin(file.stem)
        if plugin is not None and not manager.get_hookcallers(plugin):
            raise BenchError(
                f"plugin {file} offers nothing: write a function bench_methods (or another hook "
                "of bench.hookspecs) and put @hookimpl above it"
            )
    _collect(registry, manager)
    for broken in registry.broken:
        if Path(broken.origin) in registry.files:
            raise BenchError(f"plugin {broken.origin}: {broken.reason}")
    return registry


def resolve(implementation: str) -> Any:
    """Import what a spec names as ``"module:attribute"``.

    Raises
    ------
    BenchError
        When it cannot be imported.
    """
    module_name, _, attribute = implementation.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        raise BenchError(f"{implementation} cannot be imported: {_reason(error)}") from error


def make_config(kind: str, name: str, model: type[Config], values: Mapping[str, Any]) -> Config:
    """Validate a plugin's configuration.

    Raises
    ------
    BenchError
        One line: which key of which plugin is wrong, and how.
    """
    with _explained(f"{kind} {name}", model):
        return model(**values)


def load_weights(
    spec: MethodSpec, label: str, path: Path, ctx: Context, config: Mapping[str, Any]
) -> Method:
    """The method made from a file of weights.

    Raises
    ------
    BenchError
        When the method reads no weights, when they do not fit, or as :func:`make_config`.
    """
    model: object = resolve(spec.implementation)
    if not (isinstance(model, type) and issubclass(model, PretrainedMethod)):
        raise BenchError(f"{spec.name} reads no file of weights: it has no from_weights(path, ctx)")
    with _explained(f"method {label}", spec.config):
        return model.from_weights(path, ctx, **config)


def make_method(
    spec: MethodSpec,
    label: str,
    config: Mapping[str, Any],
    ctx: Context,
    weights: str | Path | None = None,
) -> Method:
    """The method made from a file of weights, or anew.

    Raises
    ------
    BenchError
        As :func:`load_weights` and :func:`make_config`, and when what was made is no method.
    """
    made: object
    if weights is not None:
        made = load_weights(spec, label, Path(weights), ctx, config)
    else:
        configured = make_config("method", label, spec.config, config)
        made = resolve(spec.implementation)(configured, ctx)
    if not isinstance(made, Method):
        raise BenchError(
            f"{spec.name} is declared a method, but {type(made).__name__} has not all of "
            "translate, state_dict and load_state_dict"
        )
    return made


@contextmanager
def _explained(where: str, model: type[Config]) -> Iterator[None]:
    """What pydantic says of a wrong configuration, in one line."""
    from pydantic import ValidationError

    try:
        yield
    except ValidationError as error:
        raise BenchError(explain_validation(where, error, model.model_fields)) from None


def explain_validation(where: str, error: Any, fields: Iterable[str]) -> str:
    """The first problem of a pydantic error, in one line."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] == "extra_forbidden":
        return f"{where}: {unknown('option', key, fields)}"
    got = repr(first.get("input"))
    shown = f" (got {got[:60]})" if first["type"] != "missing" else ""
    more = f" — and {len(error.errors()) - 1} more" if len(error.errors()) > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {key}: {message}{shown}{more}"
