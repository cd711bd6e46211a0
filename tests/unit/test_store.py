"""The cache and run folders: whole or not at all, found by content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import BenchError
from bench.storage.cache import MANIFEST, Cache, canonical, key_of, link_tree
from bench.storage.files import check_writable, link_or_copy, read_json_lines, write_atomic
from bench.storage.locks import locked


def _filled(root: Path) -> tuple[Cache, Path]:
    cache = Cache(root)
    with cache.put("fit", "k" * 64) as building:
        (building / "a.bin").write_bytes(b"first")
        (building / "sub").mkdir()
        (building / "sub" / "b.bin").write_bytes(b"second")
    entry = cache.get("fit", "k" * 64)
    assert entry is not None
    return cache, entry


def test_an_entry_appears_whole_and_is_found(tmp_path: Path) -> None:
    cache, entry = _filled(tmp_path)
    assert (entry / "sub" / "b.bin").read_bytes() == b"second"
    assert cache.get("fit", "x" * 64) is None
    assert cache.get("translate", "k" * 64) is None


@pytest.mark.parametrize("damage", ["flip", "missing", "extra", "swap", "manifest", "empty"])
def test_a_damaged_entry_is_removed(tmp_path: Path, damage: str) -> None:
    cache, entry = _filled(tmp_path)
    first, second = entry / "a.bin", entry / "sub" / "b.bin"
    if damage == "flip":
        first.write_bytes(b"First")
    elif damage == "missing":
        second.unlink()
    elif damage == "extra":
        (entry / "c.bin").write_bytes(b"third")
    elif damage == "swap":
        first.write_bytes(b"second")
        second.write_bytes(b"first")
    elif damage == "manifest":
        (entry / MANIFEST).write_text("{", "utf-8")
    else:
        (entry / MANIFEST).write_text("{}", "utf-8")
    assert cache.get("fit", "k" * 64) is None
    assert not entry.exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_stage_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(error), cache.put("fit", "k" * 64) as building:
        (building / "half").write_bytes(b"x")
        raise error
    assert cache.get("fit", "k" * 64) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_first_of_two_keeps_the_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.put("fit", "k" * 64) as building:
        (building / "a.bin").write_bytes(b"mine")
        entry = tmp_path / "stages" / "fit" / "kk" / ("k" * 64)
        entry.mkdir()
        (entry / "a.bin").write_bytes(b"theirs")
    assert (entry / "a.bin").read_bytes() == b"theirs"


PUT_MANY = """
import sys
from pathlib import Path
from bench.storage.cache import Cache

cache = Cache(Path(sys.argv[1]))
for key in range(30):
    with cache.put("fit", f"{key:064}") as building:
        (building / "a.bin").write_bytes(b"%d" % key)
"""


def test_processes_write_one_cache(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUT_MANY, str(tmp_path)]
    workers = [subprocess.Popen(command) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0, 0]
    cache = Cache(tmp_path)
    for key in range(30):
        entry = cache.get("fit", f"{key:064}")
        assert entry is not None and (entry / "a.bin").read_bytes() == b"%d" % key
    assert not list(tmp_path.rglob(".*"))


def test_write_atomic_keeps_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text("utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_links_fall_back_to_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    link_or_copy(source, tmp_path / "deep" / "linked")
    link_or_copy(source, tmp_path / "deep" / "linked")  # onto itself: no temporary stays
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["linked"]
    assert (tmp_path / "deep" / "linked").stat().st_ino == source.stat().st_ino

    def refuse(*args: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(source, tmp_path / "copied")
    assert (tmp_path / "copied").read_bytes() == b"x"
    assert (tmp_path / "copied").stat().st_ino != source.stat().st_ino


def test_link_tree_leaves_the_manifest(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path / "cache")
    link_tree(entry, tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert found == {"a.bin", "sub/b.bin"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_canonical_does_not_depend_on_order(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(turned)


def test_keys_differ_when_any_part_does() -> None:
    parts = {"stage": "fit", "seed": 0, "config": {"a": 1}}
    keys = {
        key_of(**parts),
        key_of(**{**parts, "seed": 1}),
        key_of(**{**parts, "config": {"a": 1.5}}),
        key_of(**parts, extra=None),
    }
    assert len(keys) == 4
    assert all(len(key) == 64 for key in keys)


def test_locked_is_exclusive(tmp_path: Path) -> None:
    with (
        locked(tmp_path, wait=False),
        pytest.raises(BenchError, match="in use by another"),
        locked(tmp_path, wait=False),
    ):
        pass
    with locked(tmp_path, wait=False):
        pass


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match=r"cannot write to .*below: Not a directory; a hint"):
        check_writable(tmp_path / "file" / "below", "a hint")


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": 3', "utf-8")
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}]
