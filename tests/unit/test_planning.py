"""What a study will cost before it has run: counts, rates, forecasts, prices, and its order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.api import A2B, BenchError
from bench.cli.plan import _show_study
from bench.execution import forecast as forecasts
from bench.execution.forecast import START, Forecast, Study, _makespan, _timing, forecast
from bench.execution.stages.time import PACES
from bench.plugins import load_plugins
from bench.suite.counting import Counted, Work, count_method, count_network
from bench.suite.estimate import STAGES, Range, expected_seconds, remember_pace
from bench.suite.plan import Plan, make_plan
from bench.suite.probe import Rates, probe
from bench.suite.schema import Prices, make_suite
from tests import toys
from tests.gate.costs import CONTEXT, cost
from tests.trainers import SIDE, method_of, trainer_of

RATES = Rates(Range(1e9, 4e9), Range(1e10, 4e10), Range(1e5, 2e5))
REGISTRY = load_plugins()
_CYCLEGAN = {"ngf": 4, "n_blocks": 1, "ndf": 4, "load": 68, "crop": SIDE, "pool_size": 2}


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "probe", lambda *_: RATES)
    monkeypatch.setattr(forecasts._Teller, "start", Range(1.0, 1.0))


def _plan(tmp_path: Path, **suite: Any) -> Plan:
    root = toys.make_folder(tmp_path / "data", count=2)
    usual: dict[str, Any] = {
        "dataset": {"name": "image_folder", "root": str(root)},
        "size": SIDE,
        "budget": "10it",
        "offline": True,
        "device": "cpu",
        "metrics": ["lpips_input"],
    }
    return make_plan(make_suite(usual | suite), REGISTRY, tmp_path / "cache")


def _tiny(**config: Any) -> Mapping[str, Any]:
    return {"name": "cyclegan", "config": _CYCLEGAN | config}


def test_counts_are_those_of_a_real_step(tmp_path: Path) -> None:
    job = _plan(tmp_path, methods=[_tiny()]).jobs[0]
    found = count_method(job, REGISTRY.method("cyclegan"), trains=True)
    trainer, _ = trainer_of("cyclegan", CONTEXT, small=False, **job.config)
    for step in range(2):
        trainer.step(step, 100)
    assert found.step.flops == cost(lambda: trainer.step(2, 100))["flops"]
    method, seeds = (
        method_of("cyclegan", CONTEXT, small=False, **job.config),
        torch.zeros(1, 1, dtype=torch.int64),
    )
    pixels = torch.zeros(1, 3, SIDE, SIDE)
    real = cost(lambda: method.translate(pixels, A2B, samples=1, seeds=seeds))
    assert found.output.flops == real["flops"]
    assert found.weights == sum(x.nbytes for x in method.state_dict().values())


def test_counting_leaves_no_trace(tmp_path: Path) -> None:
    from bench.nn import winograd

    tile, fused, state = winograd.best_tile, torch.backends.mkldnn.enabled, torch.get_rng_state()
    job = _plan(tmp_path, methods=["identity"]).jobs[0]
    assert count_method(job, REGISTRY.method("identity"), trains=False).output.flops == 0
    assert winograd.best_tile is tile and torch.backends.mkldnn.enabled == fused
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_of_a_metric_is_counted() -> None:
    from bench.metrics.networks import choose

    network = choose(("efficientnet-lite0",), REGISTRY.extractors, weights_dir=None, offline=True)
    # Tan & Le's Lite0 has 407 million multiplications and additions, each of them two operations.
    assert count_network(network, 64).flops == pytest.approx(2 * 407e6, rel=0.1)


def test_work_takes_no_less_than_its_dearest_part_and_no_more_than_all() -> None:
    work = Work(flops=8e9, bytes=4e10, operators=2e5)
    assert RATES.seconds(work) == Range(2.0, 8 + 4 + 2)
    found = probe(torch.device("cpu"), "fp32")
    for rate in (found.flops, found.bytes, found.operators):
        assert 0 < rate.low < rate.high


def test_a_forecast_counts_what_was_never_measured(tmp_path: Path) -> None:
    plan, cache = _plan(tmp_path, methods=[_tiny()]), tmp_path / "cache"
    (one,) = forecast(plan, REGISTRY, cache, 1).trials.values()
    assert one.counted == set(STAGES) and one.source == "counted"
    counted = count_method(plan.jobs[0], REGISTRY.method("cyclegan"), trains=True)
    assert one.stages["fit"] == RATES.seconds(counted.step * 10)
    assert one.stages["translate"] == RATES.seconds(counted.output * 4)  # two inputs each way
    assert one.stages[START] == Range(1.0, 1.0) and one.disk.low < one.disk.high
    assert len(list((cache / "counts").iterdir())) == 1  # not counted again


def test_measured_paces_come_first(tmp_path: Path) -> None:
    plan, cache = _plan(tmp_path, methods=[_tiny()], seeds=[0, 1]), tmp_path / "cache"
    row = {"cached": "", "iterations": 5, "fit_seconds": 5.0, "translate_seconds": 4.0}
    remember_pace(plan.jobs[0], row, 4, cache)
    remember_pace(plan.jobs[0], {**row, "fit_seconds": 15.0}, 4, cache)
    study = forecast(plan, REGISTRY, cache, 2)
    one = study.trials[plan.jobs[1].trial]
    assert one.stages["fit"] == Range(10.0, 30.0) and one.stages["translate"] == Range(4.0, 4.0)
    assert one.counted == {"score", "time"} and one.source == "measured and counted"
    assert study.dominant == "fit" and study.elapsed.high < study.work.high
    assert expected_seconds(plan.jobs[0], 4, cache) is None
    remember_pace(plan.jobs[0], {"score_seconds": 8.0, "time_seconds": 2.0}, 4, cache)
    study = forecast(plan, REGISTRY, cache, 2)
    assert study.rates is None and {t.source for t in study.known} == {"measured"}
    assert expected_seconds(plan.jobs[0], 4, cache) == pytest.approx((10 * 30) ** 0.5 + 4 + 8 + 2)


def test_what_cannot_be_counted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Counted:
        raise NotImplementedError("no kernel\nfor it")

    monkeypatch.setattr(forecasts, "count_method", fails)
    plan = _plan(tmp_path, methods=[_tiny(), "identity"])
    study = forecast(plan, REGISTRY, tmp_path / "cache", 1)
    assert all("NotImplementedError: no kernel" in one.source for one in study.trials.values())
    assert study.known == []


def test_a_device_that_is_not_here_is_named_before_anything_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(forecasts, "count_method", None)
    plan = _plan(tmp_path, methods=["identity"], device="cuda")
    (one,) = forecast(plan, REGISTRY, tmp_path / "cache", 1).trials.values()
    assert "device cuda is not there" in one.source


def test_timing_ends_when_its_seconds_are_spent() -> None:
    pace = PACES["cpu"]
    assert _timing(0.01, pace, 4) == pytest.approx(10 * 0.05 + 0.07)
    assert _timing(10.0, pace, 4) == pytest.approx(3 * 10 + 4 * 10)  # three rounds at least


def _study(seconds: float, *, gpu: bool) -> Study:
    stages = {START: Range(), **dict.fromkeys(STAGES, Range()), "fit": Range(seconds, 2 * seconds)}
    return Study({"t": Forecast(stages, frozenset(["fit"]), Range(1e9, 2e9))}, 1, gpu, RATES)


def test_money(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    study, prices = _study(3600.0, gpu=True), Prices(gpu_hour=2.5, gb_month=0.5, currency="CHF")
    assert study.cost(prices) == Range(2.5 + 0.5, 5.0 + 1.0)
    with pytest.raises(BenchError, match="--cost needs cpu_hour under"):
        _study(1.0, gpu=False).cost(prices)
    _show_study(Console(width=300), study, prices)
    said = capsys.readouterr().out
    assert "most of it is fit" in said and "cost: 3 to 6 CHF with a month of its disk" in said
    assert "1 to 2 h GPU time" in said and "1 to 2 GB of disk" in said
    assert "1 by counted operations at the pace of this device, probed at 1 to 4 GFLOP/s" in said


@pytest.mark.parametrize(("prices", "says"), [({"gpu_our": 1}, "gpu_our"), ({"cpu_hour": -1}, "0")])
def test_prices_that_are_wrong(prices: dict[str, Any], says: str) -> None:
    with pytest.raises(BenchError, match=says):
        make_suite({"preset": "demo", "rates": prices})


def test_a_budget_cut_short_still_compares_all_methods(tmp_path: Path) -> None:
    """Seed by seed: after any trial no method is more than one ahead of another."""
    methods = ["noise", "identity", "color_transfer"]
    root = toys.make_folder(tmp_path / "b", count=1)
    datasets = [
        {"name": "image_folder", "label": label, "root": str(root)} for label in ("one", "two")
    ]
    suite = make_suite({"methods": methods, "datasets": datasets, "seeds": [4, 0, 2], "size": 32})
    jobs = make_plan(suite, REGISTRY, tmp_path / "cache").jobs
    assert len(jobs) == 18
    for end in range(1, len(jobs) + 1):
        done = Counter(job.label for job in jobs[:end])
        counts = [done[name] for name in methods]
        assert max(counts) - min(counts) <= 1
    assert [job.seed for job in jobs] == [4] * 6 + [0] * 6 + [2] * 6


def test_the_last_of_several_at_a_time() -> None:
    assert _makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert _makespan([1.0, 1.0, 3.0], 2) == 4.0
