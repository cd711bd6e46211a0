"""Caches that were moved, exchanged or damaged: computed anew, never believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.storage.arrays import ArrayCache
from bench.storage.cache import Cache, key_of


def filled(cache: Cache, kind: str, key: str, text: str) -> Path:
    with cache.put(kind, key) as building:
        (building / "scores.json").write_text(text)
    entry = cache.get(kind, key)
    assert entry is not None
    return entry


def test_exchanged_entries_are_not_believed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    one, two = key_of(trial=1), key_of(trial=2)
    a, b = filled(cache, "score", one, "1"), filled(cache, "score", two, "2")
    a.rename(tmp_path / "aside")
    b.rename(a)
    b.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "aside").rename(b)
    assert cache.get("score", one) is None and cache.get("score", two) is None


def test_an_entry_of_another_stage_is_not_believed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    key = key_of(trial=1)
    entry = filled(cache, "score", key, "1")
    other = tmp_path / "stages" / "time" / key[:2] / key
    other.parent.mkdir(parents=True)
    entry.rename(other)
    assert cache.get("time", key) is None


@pytest.mark.parametrize("manifest", ["[]", "{}", "null", '{"entry": 1}', "{"])
def test_an_odd_manifest_costs_time_only(tmp_path: Path, manifest: str) -> None:
    cache = Cache(tmp_path)
    key = key_of(trial=1)
    entry = filled(cache, "score", key, "1")
    (entry / "MANIFEST.json").write_text(manifest)
    assert cache.get("score", key) is None and not entry.exists()
    assert json.loads((filled(cache, "score", key, "1") / "scores.json").read_text()) == 1


ROW = np.arange(6, dtype=np.float32)


def kept(tmp_path: Path) -> tuple[ArrayCache, Path]:
    cache = ArrayCache(tmp_path)
    cache.put({"picture": ROW})
    assert np.array_equal(cache.get("picture"), ROW)
    (file,) = tmp_path.glob("*/*.bin")
    return cache, file


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    cache, file = kept(tmp_path)
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            file.write_bytes(damaged)
            found = cache.get("picture")
            assert found is None or np.array_equal(found, ROW)


def test_another_array_under_the_right_key_is_not_believed(tmp_path: Path) -> None:
    cache, file = kept(tmp_path)
    for value in (ROW[::-1], ROW.reshape(2, 3), ROW[:5], ROW.astype(np.float64)):
        seal = file.read_bytes()[:32]
        with file.open("wb") as out:
            out.write(seal)
            np.save(out, value)
        assert cache.get("picture") is None
    np.save(file.with_suffix(""), ROW)
    file.with_suffix(".npy").rename(file)
    assert cache.get("picture") is None
