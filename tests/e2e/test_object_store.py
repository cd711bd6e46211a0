"""Runs that share their stages through a store: a folder, and S3 by a server of this machine."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bench.storage.tables import read_run
from tests import toys
from tests.e2e.conftest import Place, measured
from tests.launchers.tiny import wait_until


@dataclass(frozen=True)
class There:
    """A store, the environment that reaches it, and how it goes away."""

    env: dict[str, str]
    go_away: Callable[[], None]


def folder(root: Path) -> There:
    store = root / "store"
    store.mkdir()

    def go_away() -> None:
        store.rename(root / "gone")
        store.write_text("no folder")

    return There({"BENCH_STORE": f"file://{store}"}, go_away)


def s3(root: Path) -> There:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    env = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "BENCH_STORE": f"s3://bench{port}/cache",  # the server's memory outlives a test
    }
    made = f"import s3fs; s3fs.S3FileSystem().mkdir('bench{port}')"
    subprocess.run([sys.executable, "-c", made], env={**os.environ, **env}, check=True)
    return There(env, functools.cache(started.stop))  # once


@pytest.fixture(params=[folder, s3], ids=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[There]:
    there: There = request.param(tmp_path)
    yield there
    if request.param is s3:
        there.go_away()


@pytest.mark.slow
def test_an_empty_machine_takes_everything_from_it(place: Place, store: There) -> None:
    args = place.args("--out", "first")
    done = toys.bench(*args, cwd=place.root, cache=place.cache, **store.env)
    assert done.returncode == 0 and "going on without" not in done.stdout + done.stderr
    again = toys.bench(
        *place.args("--out", "second"), cwd=place.root, cache=place.root / "empty", **store.env
    )
    assert again.returncode == 0, again.stderr
    trials = read_run(place.root / "second").trials.set_index("label")
    assert trials.loc["toy", "cached"] == "fit+translate+score+time"
    assert trials.loc["negative", "cached"] == "translate+score+time"
    pd.testing.assert_frame_equal(
        measured(place.root / "second", timed=True), measured(place.root / "first", timed=True)
    )
    pulled = toys.bench("cache", "pull", cwd=place.root, cache=place.root / "third", **store.env)
    assert pulled.returncode == 0 and pulled.stdout.splitlines()[-1].startswith("pulled")
    files = [
        {file.relative_to(cache) for file in cache.glob("stages/*/*/*/*")}
        for cache in (place.cache, place.root / "third")
    ]
    assert files[0] == files[1] != set()


@pytest.mark.slow
def test_it_goes_away_in_the_middle(place: Place, store: There) -> None:
    args = place.args("--out", "run", "--seeds", "0,1,2", methods="toy")
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, args)],
        cwd=place.root,
        env=toys.environment(place.cache, TOY_FIT="0.05", **store.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: any(place.root.glob("run/trials/*-s1-*/events.jsonl")))
    store.go_away()
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    lines = [line for line in said.splitlines() if store.env["BENCH_STORE"] in line]
    assert len(lines) == 1 and lines[0].endswith("; going on without it"), said
    assert "Traceback" not in said
    trials = read_run(place.root / "run").trials
    assert list(trials["status"]) == ["ok"] * 3


@pytest.mark.slow
def test_a_store_of_no_kind_is_one_line_before_anything_is_done(place: Place) -> None:
    args = place.args("--out", "run")
    done = toys.bench(*args, cwd=place.root, cache=place.cache, BENCH_STORE="nowhere://x")
    assert done.returncode == 2 and not (place.root / "run").exists()
    assert done.stderr.startswith("bench: the store nowhere://x failed: ")
    assert len(done.stderr.splitlines()) == 1
