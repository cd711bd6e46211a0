"""What a declaration must be, before anything it declares is imported."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from bench.api import BenchError, Budget, DatasetSpec, ExtractorSpec, MethodSpec, MetricSpec
from bench.testing.promises import AnySpec, build, must

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EXTRACTOR = re.compile(r"[a-z][a-z0-9._-]*")
_COLUMN = re.compile(r"[a-z][a-z0-9_]*(_\*)?")
_IMPLEMENTATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_PRESETS = ("demo", "quick", "paper")


def check_spec(spec: AnySpec) -> None:
    """Check that a declaration is frozen and complete, and that all it offers validates.

    Checked: name, summary and implementation have their forms; the configuration refuses
    unknown keys and can be built from its defaults and from every preset; budgets can be
    read; directions are known; a baseline's rules and a metric's columns can be obeyed and
    shown.
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
        raise AssertionError(f"{name}: the spec is not frozen: build it from bench.api")
    _check_config(spec)
    if isinstance(spec, MethodSpec):
        _check_method_spec(spec)
    if isinstance(spec, MetricSpec):
        _check_columns(spec)


def _check_config(spec: AnySpec) -> None:
    presets = spec.presets if isinstance(spec, MethodSpec | DatasetSpec) else {}
    for preset in presets:
        _known(spec.name, preset, f"preset {preset!r} does not exist")
    for preset, values in {"defaults": {}, **presets}.items():
        config = build(spec, values, f"preset {preset}")
        again = build(spec, config.model_dump(mode="json"), f"preset {preset} as JSON")
        must(
            again == config,
            spec.name,
            f"preset {preset} does not survive JSON",
            "use numbers, texts, and lists and mappings of them",
        )
    try:
        spec.config(no_such_option=1)  # type: ignore[call-arg]  # it is meant to be refused
    except ValidationError:
        return
    raise AssertionError(
        f"{spec.name}: the configuration accepts options it does not know: leave extra as "
        "bench.api.Config has it"
    )


def _known(name: str, preset: str, promise: str) -> None:
    must(preset in _PRESETS, name, promise, f"choose from {', '.join(_PRESETS)}")


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
    name = spec.name
    must(spec.directions, name, "there is no direction", 'name "a2b", "b2a" or both')
    must(set(spec.directions) <= {"a2b", "b2a"}, name, f"directions are {spec.directions}")
    must(spec.multiple_of >= 1, name, "multiple_of is at least 1")
    must(bool(spec.budgets) == spec.trained, name, "budgets belong to a trained method")
    for preset, text in spec.budgets.items():
        _known(name, preset, f"budget for unknown {preset!r}")
        try:
            Budget.parse(text)
        except BenchError as error:
            raise AssertionError(f"{name}: {error}") from error
    for rule in spec.rules:
        must(spec.baseline, name, "rules belong to a baseline", "set baseline=True in its spec")
        must(
            (rule.relation == "equals") == isinstance(rule.other, int | float),
            name,
            f"the rule on {rule.metric} has {rule.relation} with {rule.other!r}",
            "equals takes a number, below and above the name of another baseline",
        )
        must(rule.because.strip(), name, f"the rule on {rule.metric} does not say why it holds")


def check_light(
    modules: Sequence[str], heavy: Sequence[str] = ("torch", "pandas", "numpy")
) -> None:
    """Check that importing plugin modules (which hold the specs) imports none of the heavy ones.

    Runs one Python process.
    """
    code = (
        "import importlib, sys\n"
        f"for name in {list(modules)!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found = [heavy for heavy in {list(heavy)!r} if heavy in sys.modules]\n"
        "    if found:\n"
        "        sys.exit(f'{name}: importing it imports ' + ', '.join(found)\n"
        "            + ': put the spec into a module of its own')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.strip().splitlines()[-1])
