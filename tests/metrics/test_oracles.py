"""Methods whose faults are known beforehand, through the scoring of a run: each metric moves.

The oracles (``oracles.py``) are made from the renderer. ``always_same`` gives each scene its
paired winter, ``one_mode`` its overcast one, ``samples_truth`` draws from its true winters,
``fresh_truth`` renders new ones, ``other_scene`` renders the winter of another place,
``true_style`` is a trained MUNIT that is told the style of a true look.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.api import A2B
from bench.execution.stages import fit, translate
from bench.execution.stages.score import pictures
from bench.execution.workspace import Workspace
from bench.plugins import load_plugins
from bench.suite.plan import make_plan
from bench.suite.schema import make_suite
from tests.metrics.scoring import measure

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

ORACLES = ("always_same", "one_mode", "samples_truth", "fresh_truth", "other_scene")
MEASURED = {
    *("kid", "target_rate", "structure_distance", "lpips_input", "psnr", "ssim", "lpips_truth"),
    *("truth_coverage", "truth_precision", "truth_mode_error", "factor_error", "season_error"),
    *("skyline_kept", "edges_kept", "depth_order_kept"),
}

Numbers = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Numbers]:
    """Method to metric to value, of summer2winter."""
    root = tmp_path_factory.mktemp("oracles")
    registry = load_plugins([Path(__file__).with_name("oracles.py")])
    suite = make_suite(
        {
            "methods": [*ORACLES, "true_style", "munit@seasons-64", "identity", "noise"],
            "dataset": {
                "name": "seasons",
                "config": {"size": 64, "train": 64, "test": 20},
            },
            "size": 64,
            "samples": 8,
            "directions": ["a2b"],
            "device": "cpu",
        }
    )
    plan = make_plan(suite, registry, root / "cache")
    names = [name for name in registry.metrics if name in MEASURED]
    found: Numbers = {}
    for job in plan.jobs:
        workspace = Workspace(job, root / "run", registry, lambda event: None)
        translate.run(workspace, fit.run(workspace))
        data = pictures(workspace, workspace.directions[0])
        measured = measure(data, *names, registry=registry, cache=root / "features")
        found[job.label] = {name: one.value for name, one in measured.items()}
    assert workspace.directions[0].key == A2B.key
    yield found
    sys.modules.pop("oracles", None)


def test_everything_is_measured(numbers: Numbers) -> None:
    for method, values in numbers.items():
        assert values.keys() >= MEASURED, method


def test_one_true_winter_is_perfect_and_covers_little(numbers: Numbers) -> None:
    same = numbers["always_same"]
    for metric in ("psnr", "psnr_pair", "psnr_best_of_k"):
        assert same[metric] == 100.0
    for metric in ("ssim", "ssim_pair", "truth_precision"):
        assert same[metric] == pytest.approx(1.0)
    for metric in ("lpips_truth", "lpips_truth_pair", "season_error"):
        assert same[metric] == 0.0
    assert same["truth_coverage"] == 0.25
    assert numbers["samples_truth"]["truth_coverage"] > 0.75
    # Any true look is as near as the pair to some truth, and far from the pair.
    assert numbers["one_mode"]["lpips_truth"] == 0.0
    assert numbers["one_mode"]["lpips_truth_pair"] > 0.1
    assert numbers["one_mode"]["psnr_pair"] < 50.0


def test_samples_of_the_truth_are_near_and_cover_it(numbers: Numbers) -> None:
    known, fresh = numbers["samples_truth"], numbers["fresh_truth"]
    assert known["lpips_truth"] == 0.0
    assert known["truth_precision"] == pytest.approx(1.0)
    assert known["truth_coverage"] > 0.8
    for other in ("other_scene", "identity", "noise"):
        assert fresh["truth_coverage"] > 2 * numbers[other]["truth_coverage"]
        assert fresh["truth_precision"] > 2 * numbers[other]["truth_precision"]
        assert fresh["lpips_truth"] < 0.75 * numbers[other]["lpips_truth"]
        assert fresh["psnr"] > numbers[other]["psnr"] + 2.0
        assert fresh["ssim"] > numbers[other]["ssim"] + 0.04
    assert fresh["lpips_truth_best_of_k"] < 0.7 * fresh["lpips_truth"]
    # What the reach of a mode is chosen for: new looks of it pass, other places do not.
    assert fresh["truth_precision"] > 0.6
    assert numbers["other_scene"]["truth_precision"] < 0.3


def test_shares_of_modes_and_factors(numbers: Numbers) -> None:
    """One mode for all inputs is found by the shares; the pair's mode for each is not."""
    error = {method: values["truth_mode_error"] for method, values in numbers.items()}
    assert error["one_mode"] == pytest.approx(0.75)
    assert error["samples_truth"] < 0.15
    assert error["always_same"] < 0.35
    assert error["noise"] == pytest.approx(1.0)
    for method in ("always_same", "samples_truth", "fresh_truth"):
        assert numbers[method]["factor_error"] < 0.5 * numbers["one_mode"]["factor_error"]


def test_a_model_that_is_told_the_style_is_nearer_to_the_truth(numbers: Numbers) -> None:
    told, drawn = numbers["true_style"], numbers["munit@seasons-64"]
    assert told["season_error"] < 0.9 * drawn["season_error"]
    assert told["lpips_truth_best_of_k"] < drawn["lpips_truth_best_of_k"]


def test_another_scene_keeps_the_season_and_loses_the_content(numbers: Numbers) -> None:
    other, fresh, copy = (numbers[name] for name in ("other_scene", "fresh_truth", "identity"))
    assert other["target_rate"] > 0.95
    assert other["kid"] < 0.2 * copy["kid"]
    assert other["season_error"] < 0.7
    for metric in ("skyline_kept", "edges_kept", "depth_order_kept"):
        assert abs(other[metric]) < 0.3, metric
        assert fresh[metric] > 0.7, metric
    assert other["structure_distance"] > 1.3 * fresh["structure_distance"]
    assert other["lpips_truth"] > 1.3 * fresh["lpips_truth"]


def test_a_copy_keeps_the_content_and_fails_the_season(numbers: Numbers) -> None:
    copy, fresh = numbers["identity"], numbers["fresh_truth"]
    assert copy["season_error"] == pytest.approx(1.0)
    assert copy["target_rate"] < 0.1
    assert copy["kid"] > 5 * abs(fresh["kid"]) + 0.02
    assert copy["lpips_input"] == copy["structure_distance"] == 0.0
    assert copy["truth_precision"] == copy["truth_coverage"] == 0.0
    for metric in ("skyline_kept", "edges_kept", "depth_order_kept"):
        assert copy[metric] > 0.7, metric


def test_noise_is_good_at_nothing(numbers: Numbers) -> None:
    noise = numbers["noise"]
    for metric in ("skyline_kept", "edges_kept", "depth_order_kept"):
        assert abs(noise[metric]) < 0.2, metric
    assert noise["truth_precision"] == noise["truth_coverage"] == 0.0
    assert noise["season_error"] > 1.0
    assert all(np.isfinite(value) for value in noise.values())
