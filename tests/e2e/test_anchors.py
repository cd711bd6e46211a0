"""The baselines on real photographs: every metric must put them where they belong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.anchors import violations
from bench.api import Declared
from bench.execution.stages import time
from bench.execution.trial import run_trial
from bench.execution.workspace import Workspace
from bench.plugins import load_plugins
from bench.suite.plan import make_plan
from bench.suite.schema import make_suite

pytestmark = pytest.mark.slow

ANCHORS = (
    "identity",
    "real_target",
    "color_transfer",
    "nearest_target",
    "constant_target",
    "noise",
)
QUALITY = {"kid": 1, "fid": 1, "precision": -1, "density": -1, "coverage": -1}
"""Metrics of quality, and the sign that makes lower better.

Not among them: ``target_rate``, by which an untouched input may be as bad as noise;
``memorised``, which the real images here fail by being training images.
"""


@pytest.fixture(scope="module")
def measured(yosemite_root: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The measurements of all anchors in one direction; trials in one process, untimed."""
    suite = make_suite(
        {
            "preset": "quick",
            "methods": ANCHORS,
            "dataset": {
                "name": "yosemite",
                "root": str(yosemite_root),
                "config": {"train": 120, "test": 60},
            },
            "directions": ["summer2winter"],
            "size": 64,
            "samples": 2,
            "test_limit": 30,
            "offline": True,
        }
    )
    registry = load_plugins()
    root = tmp_path_factory.mktemp("anchors")
    decoded: dict = {}
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "run", lambda *_: time.Timed())
        for job in make_plan(suite, registry, root / "cache").jobs:
            workspace = Workspace(job, root / "run", registry, lambda _: None, decoded=decoded)
            rows += run_trial(workspace).measurements
    frame = pd.DataFrame(rows)
    return frame[frame["subset"] == "all"]


def _by_method(measured: pd.DataFrame, metric: str, column: str = "value") -> pd.Series:
    rows = measured[measured["metric"] == metric].set_index("method")
    assert set(rows.index) == set(ANCHORS), metric
    return rows[column].astype(float)


def test_no_rule_about_the_anchors_is_broken(measured: pd.DataFrame) -> None:
    declared = Declared.of(load_plugins().methods.values(), ())
    found, checked = violations(measured, declared.anchors)
    assert found == []
    assert checked >= 14


@pytest.mark.parametrize("metric", QUALITY)
def test_real_images_are_best_and_noise_is_worst(measured: pd.DataFrame, metric: str) -> None:
    sign = QUALITY[metric]
    values = _by_method(measured, metric) * sign
    assert values["noise"] == values.max() > values["real_target"]
    # So few photographs of two seasons differ by little: none may be better beyond the intervals.
    low, high = (_by_method(measured, metric, end) * sign for end in ("low", "high")[::sign])
    assert low["real_target"] <= high.min()


def test_kid_puts_real_images_before_all_that_are_none(measured: pd.DataFrame) -> None:
    values = _by_method(measured, "kid")
    # Nearest target images are real ones, too.
    assert values["real_target"] < values.drop(["real_target", "nearest_target"]).min()


def test_identity_keeps_content_best(measured: pd.DataFrame) -> None:
    for metric in ("lpips_input", "structure_distance"):
        values = _by_method(measured, metric)
        assert values["identity"] == 0.0 < values.drop("identity").min()


def test_one_picture_for_all_has_the_worst_recall_of_real_pictures(measured: pd.DataFrame) -> None:
    recall = _by_method(measured, "recall")
    assert recall["constant_target"] < recall.drop(["constant_target", "noise"]).min()


def test_copies_of_training_images_are_caught(measured: pd.DataFrame) -> None:
    copied = _by_method(measured, "memorised")
    assert copied["nearest_target"] == copied["constant_target"] == 1.0
    assert copied["identity"] < 0.5 and copied["noise"] == 0.0
