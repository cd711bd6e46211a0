"""What a declaration must be, before anything it declares is imported."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Sequence

from bench.api import (
    BenchError,
    Budget,
    DatasetSpec,
    ExtractorSpec,
    LauncherSpec,
    MethodSpec,
    MetricSpec,
    ReportSpec,
)
from bench.plugins import make_config

AnySpec = MethodSpec | DatasetSpec | MetricSpec | ExtractorSpec | ReportSpec | LauncherSpec

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EXTRACTOR = re.compile(r"[a-z][a-z0-9._-]*")
_COLUMN = re.compile(r"[a-z][a-z0-9_]*(_\*)?")
_IMPLEMENTATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def must(condition: object, name: str, promise: str) -> None:
    """Raise `AssertionError` with one line when a promise is broken."""
    if not condition:
        raise AssertionError(f"{name}: {promise}")


def check_spec(spec: AnySpec) -> None:
    """A declaration is frozen and complete, and all it offers validates.

    Checked: name, summary and implementation have their forms; the configuration refuses
    unknown keys and can be built from its defaults and from every preset; budgets can be
    read; directions are known.
    """
    name = spec.name
    if isinstance(spec, ExtractorSpec):
        must(_EXTRACTOR.fullmatch(name), name, "a name is lower case: letters, digits, . _ -")
    else:
        must(_NAME.fullmatch(name), name, "a name is lower case: letters, digits, underscores")
    must(spec.summary.strip() and "\n" not in spec.summary, name, "the summary is one line")
    must(
        _IMPLEMENTATION.fullmatch(spec.implementation),
        name,
        f'implementation {spec.implementation!r} is not "module:attribute"',
    )
    try:
        spec.__setattr__("name", name)
    except dataclasses.FrozenInstanceError:
        pass
    else:
        raise AssertionError(f"{name}: the spec is not frozen")
    if isinstance(spec, MethodSpec | DatasetSpec):
        _check_config(spec)
    if isinstance(spec, MethodSpec):
        _check_method_spec(spec)
    if isinstance(spec, MetricSpec):
        _check_columns(spec)


def _check_config(spec: MethodSpec | DatasetSpec) -> None:
    for preset, values in {"defaults": {}, **spec.presets}.items():
        must(
            preset in ("defaults", "demo", "quick", "paper"),
            spec.name,
            f"preset {preset!r} does not exist",
        )
        try:
            config = make_config("plugin", spec.name, spec.config, values)
        except BenchError as error:
            raise AssertionError(f"{spec.name}: preset {preset} is refused: {error}") from error
        again = make_config("plugin", spec.name, spec.config, config.model_dump(mode="json"))
        must(again == config, spec.name, f"preset {preset} does not survive JSON")
    try:
        make_config("plugin", spec.name, spec.config, {"no_such_option": 1})
    except BenchError:
        return
    raise AssertionError(f"{spec.name}: the configuration accepts options it does not know")


def _check_columns(spec: MetricSpec) -> None:
    names = [column.name for column in spec.columns]
    must(len(set(names)) == len(names), spec.name, "two columns have one name")
    must(spec.name in names, spec.name, "no column has the metric's own name")
    must(
        not spec.gives or (spec.unit, spec.higher_is_better) == ("", None),
        spec.name,
        "unit and better side stand in its columns, where it declares some",
    )
    for column in spec.columns:
        where = f"{spec.name} ({column.name})"
        must(_COLUMN.fullmatch(column.name), where, "a name is lower case: letters, digits, _")
        must(len(column.short) <= 9, where, f"the heading {column.short!r} is over 9 characters")


def _check_method_spec(spec: MethodSpec) -> None:
    must(spec.directions, spec.name, "there is no direction")
    must(set(spec.directions) <= {"a2b", "b2a"}, spec.name, f"directions are {spec.directions}")
    must(spec.multiple_of >= 1, spec.name, "multiple_of is at least 1")
    must(bool(spec.budgets) == spec.trained, spec.name, "budgets belong to a trained method")
    for preset, text in spec.budgets.items():
        must(preset in ("demo", "quick", "paper"), spec.name, f"budget for unknown {preset!r}")
        Budget.parse(text)


def check_light(
    modules: Sequence[str], heavy: Sequence[str] = ("torch", "pandas", "numpy")
) -> None:
    """Importing the plugin modules (which hold the specs) imports none of the heavy ones.

    Runs one Python process.
    """
    code = (
        "import importlib, sys\n"
        f"for name in {list(modules)!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found = [heavy for heavy in {list(heavy)!r} if heavy in sys.modules]\n"
        "    if found:\n"
        "        sys.exit(f'{name}: importing it imports ' + ', '.join(found))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.strip().splitlines()[-1])
