"""Two processes that train together do what one does with both their batches in one."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch

from bench.api import BenchError, Budget, Context, Diverged, TrainData
from bench.training import parallel
from bench.training.sampling import batch
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT
from bench_munit.trainer import MUNITTrainer, draw_styles
from tests.ranks import broken, states_of_ranks

TINY = {"gen_dim": 2, "mlp_dim": 4, "n_res": 1, "dis_dim": 2, "dis_num_scales": 1, "crop_size": 16}
CPU = torch.device("cpu")


@pytest.fixture
def _fabric():
    pytest.importorskip("lightning_fabric", reason="the extra `parallel` is not installed")


def pictures():
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 256, (7, 3, 20, 20), dtype=torch.uint8, generator=draws) for _ in "ab")
    return TrainData(a, b, ("a", "b"))


def make(ctx=None, **config):
    return MUNIT(MUNITConfig(**{**TINY, **config}), ctx or Context(CPU, seed=5))


class Both(MUNITTrainer):
    """One process that sees in one batch what two ranks see in two."""

    def images(self, domain, iteration):
        steps = (2 * iteration, 2 * iteration + 1)
        return torch.cat(
            [batch(self.data, domain, seed=5, step=step, crop=self.crop) for step in steps]
        )

    def step(self, iteration, total):
        self.set_rate(self.config.lr)
        pairs = [draw_styles(self.config, 5, 2 * iteration + rank) for rank in (0, 1)]
        styles = [torch.cat(codes) for codes in zip(*pairs, strict=True)]
        return self.run(self.images("a", iteration), self.images("b", iteration), *styles)


@pytest.mark.slow
@pytest.mark.usefixtures("_fabric")
def test_two_ranks_are_one_process_with_both_batches():
    steps = 4
    alone = make(gamma=1.0)
    start = {name: value.clone() for name, value in alone.state_dict().items()}
    gens = [alone._generator(domain) for domain in "ab"]
    trainer = Both(alone.config, alone.ctx, *gens, pictures())
    for iteration in range(steps):
        trainer.step(iteration, steps)
    found = parallel.spawn(
        2, alone.ctx, states_of_ranks, alone.config, pictures(), Budget(iterations=steps)
    )
    moved = 0.0
    for name, value in alone.state_dict().items():
        assert torch.equal(found[f"0.{name}"], found[f"1.{name}"]), name
        if re.search(r"(enc_content|dec\.model\.0).*\.bias", name):
            continue  # a norm takes it away: its gradient is rounding, which Adam makes large
        torch.testing.assert_close(found[f"0.{name}"], value, rtol=0, atol=1e-6)
        moved = max(moved, float((value - start[name]).abs().max()))
    assert moved > 3e-4, "four steps of rate 1e-4 move a weight by more than the tolerance"


@pytest.mark.slow
@pytest.mark.usefixtures("_fabric")
def test_fit_on_two_devices_reports_once_and_resumes(tmp_path):
    def fit(folder, iterations):
        events = []
        ctx = Context(CPU, seed=5, work_dir=folder, emit=events.append)
        method = make(ctx, devices=2, sample_every=2)
        method.fit(pictures(), Budget(iterations=iterations))
        return method.state_dict(), events

    whole, events = fit(tmp_path / "whole", 4)
    assert [event.done for event in events if event.kind == "progress"][-1] == 4
    assert sum(event.kind == "sample" for event in events) == 2
    lines = (tmp_path / "whole" / "losses.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [0, 1, 2, 3]
    last = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
    assert last["iteration"] == 4
    name = "enc_content.model.0.conv.weight"
    assert torch.equal(last["modules"]["gen_a"][name], whole[f"a.{name}"])
    # A finished training is taken from its folder.
    again, _ = fit(tmp_path / "whole", 4)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.slow
@pytest.mark.usefixtures("_fabric")
def test_a_budget_in_seconds_ends_on_all_ranks_alike(tmp_path):
    ctx = Context(CPU, seed=5, work_dir=tmp_path)
    found = parallel.spawn(2, ctx, states_of_ranks, make().config, pictures(), Budget(seconds=0.5))
    names = [name.removeprefix("0.") for name in found if name.startswith("0.")]
    assert names and all(torch.equal(found[f"0.{n}"], found[f"1.{n}"]) for n in names)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["total"] >= 3


@pytest.mark.slow
@pytest.mark.usefixtures("_fabric")
def test_a_problem_of_one_rank_ends_all_and_keeps_its_words():
    with pytest.raises(Diverged, match=r"^loss gen is not finite$"):
        parallel.spawn(2, Context(CPU), broken, None)


def test_without_fabric_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(BenchError, match=r"pip install 'translation-bench\[parallel\]'") as error:
        make(devices=2).fit(pictures(), Budget(iterations=1))
    assert "\n" not in str(error.value)


def test_alone_every_step_draws_for_itself():
    assert parallel.world() == 1 and parallel.rank() == 0
    assert [parallel.draw_step(step) for step in range(3)] == [0, 1, 2]
    assert parallel.agree(0.25) == 0.25
