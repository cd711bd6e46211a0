"""Trials as Ray tasks, on a Ray of this machine; skips where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.api import BenchError, Launcher
from bench.launchers.ray import RayConfig, RayLauncher
from tests import toys
from tests.e2e.conftest import Place, finished, make_place, measured  # noqa: F401
from tests.launchers.clusters import ray_of_this_machine
from tests.launchers.tiny import counted, result, starts, task, until, wait_until

ray = pytest.importorskip("ray", reason="Ray is not installed")

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Any]:
    with ray_of_this_machine() as made:
        yield made


def test_tasks_run_and_tell_their_end(tmp_path: Path) -> None:
    launcher = RayLauncher(RayConfig(), workers=2)
    assert isinstance(launcher, Launcher)
    tasks = [task(tmp_path, f"t{n}", 3) for n in range(4)]
    for one in (*tasks, task(tmp_path, "slow", 1000, timeout=1.0)):
        launcher.submit(one)
    ended = until(launcher, 5)
    assert all(ended[one.trial].status is None for one in tasks)
    assert [result(one) for one in tasks] == [{"status": "ok", "count": 3}] * 4
    assert ended["slow"].status == "timeout"


def test_cancelled_workers_end_politely(tmp_path: Path) -> None:
    launcher = RayLauncher(RayConfig(), workers=1)
    one = task(tmp_path, "running", 1000)
    launcher.submit(one)
    launcher.submit(task(tmp_path, "waiting", 1000))
    wait_until(lambda: counted(one) > 0)
    ended = {e.trial: e.status for e in launcher.cancel()}
    assert ended == dict.fromkeys(("running", "waiting"), "interrupted")
    assert result(one) == {"status": "interrupted"}, "the worker was not asked to end"


def test_a_lost_node_s_trial_goes_on_elsewhere(tmp_path: Path, cluster: Any) -> None:
    made, nodes = cluster
    launcher = RayLauncher(RayConfig(), workers=1)
    one = task(tmp_path, "moved", 60)
    launcher.submit(one)
    wait_until(lambda: counted(one) > 5)
    made.remove_node(next(node for node in nodes if _is_busy(node)), allow_graceful=False)
    ended = until(launcher, 1, seconds=120)
    assert ended["moved"].status is None and result(one) == {"status": "ok", "count": 60}
    assert len(starts(one)) == 2 and starts(one)[1] > 5


def _is_busy(node: Any) -> bool:
    free = ray._private.state.available_resources_per_node().get(node.node_id, {})
    return not free.get("CPU")


def test_the_same_tables_as_on_this_machine(
    tmp_path: Path,
    finished: Place,  # noqa: F811
) -> None:
    place = make_place(tmp_path)
    args = place.args("--out", "run", "--launcher", "ray", "--workers", "2")
    done = toys.bench(*args, cwd=tmp_path, cache=place.cache, timeout=400)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(measured(tmp_path / "run"), measured(finished.root / "run"))


def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    ray.shutdown()
    with pytest.raises(BenchError, match=r"^Ray at 127.0.0.1:1: [^\n]+$"):
        RayLauncher(RayConfig(address="127.0.0.1:1"), workers=1)
    with pytest.raises(BenchError, match="'nowhere' is not understood: write HOST:PORT"):
        RayLauncher(RayConfig(address="nowhere"), workers=1)
