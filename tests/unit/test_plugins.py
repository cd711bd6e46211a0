"""Discovery: broken plugins are rows; names, files and code hashes are looked after."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.api import BenchError, Config
from bench.plugins import load_plugins, make_config, resolve, unknown

METHOD = """
from bench.api import MethodSpec, hookimpl

@hookimpl
def bench_methods():
    return [MethodSpec("{name}", "a test", "{module}:Thing")]

class Thing:
    pass
"""


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("unit_"):
            del sys.modules[name]


def _file(folder: Path, module: str, source: str) -> Path:
    path = folder / f"{module}.py"
    path.write_text(source, "utf-8")
    return path


def test_a_file_is_a_plugin_and_importable(tmp_path: Path) -> None:
    path = _file(tmp_path, "unit_one", METHOD.format(name="mine", module="unit_one"))
    registry = load_plugins([path, path])
    assert registry.method("mine").summary == "a test"
    assert registry.files == (path,)
    assert resolve("unit_one:Thing").__name__ == "Thing"


def test_names_belong_to_the_first(tmp_path: Path) -> None:
    path = _file(tmp_path, "unit_two", METHOD.format(name="identity", module="unit_two"))
    with pytest.raises(BenchError, match="'identity' is already offered by another plugin"):
        load_plugins([path])


def test_module_names_do_not_clash(tmp_path: Path) -> None:
    path = _file(tmp_path, "json", METHOD.format(name="mine", module="json"))
    with pytest.raises(BenchError, match="rename it"):
        load_plugins([path])


def test_a_file_that_offers_nothing_is_said(tmp_path: Path) -> None:
    path = _file(tmp_path, "unit_idle", "def bench_methods():\n    return []\n")
    with pytest.raises(BenchError, match=r"unit_idle\.py offers nothing: .* @hookimpl"):
        load_plugins([path])


def test_what_a_hook_gives_is_checked(tmp_path: Path) -> None:
    source = "from bench.api import hookimpl\n@hookimpl\ndef bench_methods():\n    return ['x']\n"
    with pytest.raises(BenchError, match="bench_methods gave a str"):
        load_plugins([_file(tmp_path, "unit_three", source)])


def _entry(name: str, load: object) -> SimpleNamespace:
    return SimpleNamespace(name=name, value=f"pkg_{name}", load=load)


@pytest.mark.parametrize("error", [ImportError("no such thing"), SystemExit(3), ValueError("a\nb")])
def test_broken_entry_point_is_a_row(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import bench_baselines

    def fail() -> None:
        raise error

    entries = [_entry("baselines", lambda: bench_baselines), _entry("broken", fail)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    registry = load_plugins()
    assert "identity" in registry.methods
    (broken,) = registry.broken
    assert (broken.name, broken.origin) == ("broken", "pkg_broken")
    assert type(error).__name__ in broken.reason and "\n" not in broken.reason
    with pytest.raises(BenchError, match=f"is broken: {type(error).__name__}"):
        registry.method("broken")


def test_unknown_names_what_is_near() -> None:
    assert "did you mean 'munit'" in unknown("method", "munti", ["munit", "cyclegan"])
    assert "there are: none" in unknown("method", "x", [])
    with pytest.raises(BenchError, match="no_such_module:x cannot be imported"):
        resolve("no_such_module:x")
    with pytest.raises(BenchError, match="cannot be imported"):
        resolve("json:no_such_name")


class _Options(Config):
    width: int = 1
    depth: int = 2


def test_make_config_explains_in_one_line() -> None:
    assert make_config("method", "m", _Options, {"width": 3}) == _Options(width=3)
    with pytest.raises(BenchError, match=r"method m: option 'widht' .* 'width'"):
        make_config("method", "m", _Options, {"widht": 3})
    with pytest.raises(BenchError, match=r"width: .*'x'\) — and 1 more"):
        make_config("method", "m", _Options, {"width": "x", "depth": "y"})


def test_a_trial_loads_what_it_needs_alone(tmp_path: Path) -> None:
    files = [
        _file(tmp_path, f"unit_{name}", METHOD.format(name=name, module=f"unit_{name}"))
        for name in ("wanted", "other")
    ]
    needs = load_plugins(files).needed("wanted", "image_folder", ("kid",), ())
    assert needs == ("image_folder", "metrics", "unit_wanted")
    for name in ("unit_wanted", "unit_other"):
        del sys.modules[name]
    begun: list[str] = []
    registry = load_plugins(files, needs, begun.append)
    assert sorted(begun) == list(needs) and "unit_other" not in sys.modules
    assert list(registry.methods) == ["wanted"] and list(registry.datasets) == ["image_folder"]
