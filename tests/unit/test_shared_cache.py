"""A cache that machines share: by a folder, and by an object store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from bench.api import BenchError
from bench.storage.arrays import ArrayCache
from bench.storage.cache import MANIFEST, Cache, key_of, object_name
from bench.storage.store import Store
from bench.storage.upkeep import begin_run, end_run, pull, push, removable, remove, usage

KEYS = [key_of(entry=number) for number in range(200)]

WORKER = """
import sys, time
from pathlib import Path
from bench.storage.cache import Cache, key_of

root, log, order = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
cache = Cache(root)
def note(*words):
    with log.open("a") as file:
        file.write(" ".join(map(str, words)) + "\\n")

for number in range(200)[::order]:
    key, asked = key_of(entry=number), time.time()
    if cache.get("fit", key) is not None:
        continue
    note("begun", number, asked)
    with cache.put("fit", key) as building:
        for part in range(3):
            (building / f"{part}.bin").write_bytes(b"%d" % number * 1000)
            time.sleep(0.02)
    note("there", number, time.time())
"""


def filled(root: Path, count: int = 3, kind: str = "fit", of: str = "f") -> Cache:
    cache = Cache(root, of)
    for key in KEYS[:count]:
        with cache.put(kind, key) as building:
            (building / "a.bin").write_bytes(key.encode() * 10)
    return cache


def test_killed_at_random_nothing_is_corrupt_nor_made_where_it_was(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    rng = np.random.default_rng(0)

    def start(order: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, str(root), str(log), str(order)])

    # Two machines: the one goes from the first to the last, the other back.
    workers, kills = {order: start(order) for order in (1, -1)}, 0
    while any(worker.poll() is None for worker in workers.values()):
        time.sleep(float(rng.uniform(0.02, 0.3)))
        order = int(rng.choice([1, -1]))
        if kills < 8 and log.exists() and workers[order].poll() is None:
            workers[order].send_signal(signal.SIGKILL)
            workers[order].wait()
            workers[order], kills = start(order), kills + 1
            time.sleep(0.2)
    assert kills == 8 and [worker.returncode for worker in workers.values()] == [0, 0]
    assert all(Cache(root).has("fit", key) for key in KEYS)
    assert all(Cache(root).get("fit", key) for key in KEYS), "an entry is corrupt"
    notes = [line.split() for line in log.read_text().splitlines()]
    there = {number: float(when) for what, number, when in reversed(notes) if what == "there"}
    late = [n for what, n, when in notes if what == "begun" and float(when) > there.get(n, 9e9)]
    assert not late, "made although it was there"


def test_a_good_entry_is_put_back_when_another_machine_was_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.storage import cache as module

    cache, seen = filled(tmp_path, 1), []
    sound = module._is_sound

    def damaged_at_first(kind: str, key: str, folder: Path) -> bool:
        seen.append(folder.name)
        return len(seen) > 1 and sound(kind, key, folder)

    monkeypatch.setattr(module, "_is_sound", damaged_at_first)
    entry = cache.get("fit", KEYS[0])
    assert entry is not None and (entry / "a.bin").exists()
    assert [path.name for path in entry.parent.iterdir()] == [KEYS[0]]


def test_names_of_what_is_half_written_hold_no_process_id(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.put("fit", KEYS[0]) as one, cache.put("fit", KEYS[0]) as two:
        assert one != two, "two machines may have the same process ids"
        (one / "a.bin").write_bytes(b"x")
        (two / "a.bin").write_bytes(b"x")
    assert cache.get("fit", KEYS[0]) is not None


# --------------------------------------------------------------------- store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/store")


def test_what_is_given_is_taken_on_an_empty_machine(tmp_path: Path, store: Store) -> None:
    said: list[str] = []
    mine = Cache(tmp_path / "one", "f", store=store, warn=said.append)
    with mine.put("fit", KEYS[0]) as building:
        (building / "sub").mkdir()
        (building / "sub" / "b.bin").write_bytes(b"content")
    other = Cache(tmp_path / "two", "f", store=store, warn=said.append)
    entry = other.get("fit", KEYS[0])
    assert entry is not None and (entry / "sub" / "b.bin").read_bytes() == b"content"
    assert entry.is_relative_to(tmp_path / "two") and not list(tmp_path.glob("two/**/.*"))
    assert other.get("fit", KEYS[1]) is None and not said


@pytest.mark.parametrize("damage", ["cut", "exchanged", "outside", "text"])
def test_what_is_not_what_it_says_is_not_taken(tmp_path: Path, store: Store, damage: str) -> None:
    push(filled(tmp_path / "one").root, store)
    objects = [tmp_path / "store" / object_name("fit", key) for key in KEYS[:2]]
    if damage == "cut":
        objects[0].write_bytes(objects[0].read_bytes()[:700])
    elif damage == "exchanged":
        shutil.copy(objects[1], objects[0])
    elif damage == "text":
        objects[0].write_bytes(b"no archive")
    else:
        (tmp_path / "bad").write_bytes(b"bad")
        with tarfile.open(objects[0], "w") as tar:
            tar.add(tmp_path / "bad", arcname="../../../../../../escaped")
    other = Cache(tmp_path / "two", store=store)
    assert other.get("fit", KEYS[0]) is None and other.get("fit", KEYS[1]) is not None
    assert not list(tmp_path.rglob("escaped")) and not list(tmp_path.glob("two/**/.*"))


def test_a_store_that_goes_away_is_told_of_once(tmp_path: Path, store: Store) -> None:
    said: list[str] = []
    cache = Cache(tmp_path / "one", store=store, warn=said.append)
    store._files = None  # every question fails from here on
    for key in KEYS[:3]:
        assert cache.get("fit", key) is None
        with cache.put("fit", key) as building:
            (building / "a.bin").write_bytes(b"x")
        assert cache.get("fit", key) is not None
    assert len(said) == 1 and said[0].startswith(f"the store file://{tmp_path}/store failed: ")
    assert said[0].endswith("; going on without it") and "\n" not in said[0]


def test_no_store_is_one_line() -> None:
    with pytest.raises(BenchError, match=r"^the store nowhere://x failed: [^\n]+$"):
        Store("nowhere://x")


def test_pushed_and_pulled_all_is_there_and_verified(tmp_path: Path, store: Store) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    cache = filled(one)
    row = np.arange(4, dtype=np.float32)
    ArrayCache(one / "features").put({"picture": row})
    entry = cache.get("fit", KEYS[2])
    assert entry is not None
    (entry / "a.bin").write_bytes(b"damaged")
    assert {part.name: part.count for part in push(one, store)} == {"features": 1, "fit": 2}
    assert push(one, store) == []
    (tmp_path / "store" / "stages" / "fit" / "no name of ours").write_bytes(b"x")
    assert {part.name: part.count for part in pull(two, store)} == {"features": 1, "fit": 2}
    assert pull(two, store) == []
    assert Cache(two).get("fit", KEYS[0]) is not None
    assert np.array_equal(ArrayCache(two / "features").get("picture"), row)


# -------------------------------------------------------------------- upkeep


def old(path: Path, days: float = 40) -> None:
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_clean_keeps_what_is_used_and_what_unfinished_runs_need(tmp_path: Path) -> None:
    cache = filled(tmp_path, 3)
    other = filled(tmp_path, 2, "score", of="g")
    ArrayCache(tmp_path / "features").put({"picture": np.ones(3, np.float32)})
    half = tmp_path / "stages" / "fit" / KEYS[0][:2] / f".{KEYS[0]}.killed"
    half.mkdir()
    for path in (*tmp_path.glob(f"stages/*/*/*/{MANIFEST}"), *tmp_path.glob("features/*/*"), half):
        old(path)
    assert cache.get("fit", KEYS[1]) is not None  # used today
    begin_run(tmp_path, tmp_path / "run", ["g"])
    parts = {part.name: part.count for part in removable(tmp_path, 30)}
    assert parts == {"fit": 2, "half-written": 1}
    end_run(tmp_path, tmp_path / "run")
    found = removable(tmp_path, 30)
    assert {part.name: part.count for part in found} == {
        "fit": 2, "score": 2, "features": 1, "half-written": 1
    }  # fmt: skip
    assert other.get("score", KEYS[0]) is not None, "showing removes nothing"
    remove(found)
    assert {part.name: part.count for part in usage(tmp_path)} == {"fit": 1, "features": 0}
    assert not list(tmp_path.rglob(".*"))


def test_features_of_an_earlier_version_may_go_and_are_not_pushed(
    tmp_path: Path, store: Store
) -> None:
    file = tmp_path / "features" / "ab" / "cdef.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    old(file)
    assert push(tmp_path, store) == []
    assert [(part.name, part.paths) for part in removable(tmp_path, 30)] == [("features", [file])]


def test_an_entry_of_an_earlier_version_stays_while_a_run_is_unfinished(tmp_path: Path) -> None:
    filled(tmp_path, 1, of="")
    old(next(tmp_path.glob(f"stages/*/*/*/{MANIFEST}")))
    begin_run(tmp_path, tmp_path / "run", ["g"])
    assert removable(tmp_path, 30) == []
    end_run(tmp_path, tmp_path / "run")
    assert [part.count for part in removable(tmp_path, 30)] == [1]
