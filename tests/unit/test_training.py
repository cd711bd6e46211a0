"""The shared loop: resuming, guards, budgets; batches and seeds as pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.api import BenchError, Budget, Context, Diverged, Event, TrainData
from bench.training import loop
from bench.training.capture import CapturedStep, prepare_optimizer
from bench.training.loop import linear_decay, run_training, set_learning_rate, step_decay
from bench.training.pool import ImagePool
from bench.training.sampling import Batches, augment, batch, batch_indices
from bench.training.seeding import derive_seed, generator, normal_per_seed

CPU = torch.device("cpu")


class Line:
    """Fits a line; every draw comes from the step's number."""

    def __init__(self, fault: Callable[[int], float] = lambda step: 0.0) -> None:
        self.net = nn.Linear(2, 1)
        nn.init.constant_(self.net.weight, 0.5)
        nn.init.constant_(self.net.bias, 0.0)
        self.modules: Mapping[str, nn.Module] = {"net": self.net}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "net": torch.optim.Adam(self.net.parameters(), lr=0.05)
        }
        self.fault = fault
        self.seen: list[tuple[int, int | None]] = []

    def step(self, iteration: int, total: int | None) -> Mapping[str, torch.Tensor]:
        self.seen.append((iteration, total))
        x = torch.randn(4, 2, generator=generator(3, iteration))
        loss = ((self.net(x) - x.sum(1, keepdim=True)) ** 2).mean() + self.fault(iteration)
        self.optimizers["net"].zero_grad()
        torch.autograd.backward(loss)
        self.optimizers["net"].step()
        return {"loss": loss.detach()}

    def extra_state(self) -> dict[str, Any]:
        return {"steps": len(self.seen)}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self.restored = state["steps"]


def _weights(trainer: Line) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.net.parameters()])


def _curve(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "losses.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("stop", [1, 7, 12, 29])
def test_stopped_anywhere_it_ends_the_same(tmp_path: Path, stop: int) -> None:
    whole = Line()
    run_training(whole, Budget(iterations=30), Context(CPU, work_dir=tmp_path / "whole"))

    def die(step: int) -> float:
        if step == stop:
            raise KeyboardInterrupt
        return 0.0

    ctx = Context(CPU, work_dir=tmp_path / "part")
    with pytest.raises(KeyboardInterrupt):
        run_training(Line(die), Budget(iterations=30), ctx, checkpoint_seconds=-1)
    resumed = Line()
    assert run_training(resumed, Budget(iterations=30), ctx) == 30
    assert resumed.seen[0] == (stop, 30) and resumed.restored == stop
    assert torch.equal(_weights(whole), _weights(resumed))
    assert _curve(tmp_path / "whole") == _curve(tmp_path / "part")


def test_a_finished_training_trains_no_further(tmp_path: Path) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    first = Line()
    run_training(first, Budget(iterations=5), ctx)
    again = Line()
    assert run_training(again, Budget(iterations=5), ctx) == 5
    assert again.seen == [] and torch.equal(_weights(first), _weights(again))


def test_nan_loss_stops_with_the_last_good_checkpoint(tmp_path: Path) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    with pytest.raises(Diverged, match="loss loss is not finite at iteration 6"):
        run_training(
            Line(lambda step: float("nan") if step >= 6 else 0.0),
            Budget(iterations=30),
            ctx,
            checkpoint_seconds=-1,
        )
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["iteration"] == 6
    assert all(tensor.isfinite().all() for tensor in state["modules"]["net"].values())
    resumed = Line()
    run_training(resumed, Budget(iterations=30), ctx)
    assert resumed.seen[0][0] == 6


def test_broken_weights_never_replace_a_good_checkpoint(tmp_path: Path) -> None:
    trainer = Line()

    def spoil(step: int) -> float:
        if step == 8:
            trainer.net.weight.data.fill_(float("inf"))
        return 0.0

    trainer.fault = spoil
    with pytest.raises(Diverged):
        run_training(
            trainer,
            Budget(iterations=30),
            Context(CPU, work_dir=tmp_path),
            checkpoint_seconds=-1,
        )
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in state["modules"]["net"].values())


def test_broken_weights_are_not_saved_when_the_pace_is_known(tmp_path: Path) -> None:
    trainer = Line()

    def spoil(step: int) -> float:
        if step == 9:  # the last of those that measure the pace
            trainer.net.weight.data.fill_(float("nan"))
        return 0.0

    trainer.fault = spoil
    with pytest.raises(Diverged):
        run_training(trainer, Budget(seconds=60), Context(CPU, work_dir=tmp_path))
    assert not (tmp_path / "last.pt").exists()


def test_seconds_add_up_over_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_training(
            _stopping(monkeypatch, 0.5, 4), Budget(iterations=10), ctx, checkpoint_seconds=-1
        )
    assert loop.seconds_spent(tmp_path) == 2.0
    run_training(_timed(monkeypatch, 0.5), Budget(iterations=10), ctx)
    assert loop.seconds_spent(tmp_path) == 5.0
    assert loop.seconds_spent(tmp_path / "nowhere") is None


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "other model", "list"])
def test_a_checkpoint_that_cannot_be_read_is_one_line(tmp_path: Path, damage: str) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    run_training(Line(), Budget(iterations=3), ctx)
    file = tmp_path / "last.pt"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    elif damage == "text":
        file.write_text("nothing", "utf-8")
    elif damage == "pickle":
        file.write_bytes(b"\x80\x04cos\nsystem\n.")
    elif damage == "list":
        torch.save([1], file)
    trainer = Line()
    if damage == "other model":
        trainer.modules = {"net": nn.Linear(5, 1)}
    with pytest.raises(BenchError, match=r"last\.pt cannot be resumed from") as error:
        run_training(trainer, Budget(iterations=3), ctx)
    assert "\n" not in str(error.value)
    if damage == "other model":
        assert "net: 'weight' has shape (1, 2) where the network has (1, 5)" in str(error.value)


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\n", b"[1]\nnull\n", b'{"iteration": "x"}\n', b'{"it']
)
def test_a_damaged_curve_stops_no_training(tmp_path: Path, damage: bytes) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    run_training(Line(), Budget(iterations=3), ctx)
    before = _curve(tmp_path)
    with (tmp_path / "losses.jsonl").open("ab") as file:
        file.write(damage)
    assert run_training(Line(), Budget(iterations=5), ctx) == 5
    assert _curve(tmp_path)[:3] == before and len(_curve(tmp_path)) == 5


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    run_training(Line(), Budget(iterations=3), ctx)
    before = (tmp_path / "last.pt").read_bytes()
    with (
        mock.patch.object(loop.os, "fsync", side_effect=OSError(28, "No space left")),
        pytest.raises(OSError, match="No space"),
    ):
        run_training(Line(), Budget(iterations=6), ctx, checkpoint_seconds=-1)
    assert (tmp_path / "last.pt").read_bytes() == before


class _Clock:
    """Time that passes only as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _timed(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Line:
    clock = _Clock()
    monkeypatch.setattr(loop.time, "monotonic", clock)
    trainer = Line()

    def tick(step: int) -> float:
        clock.now += seconds
        return 0.0

    trainer.fault = tick
    return trainer


def test_seconds_become_iterations_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Context(CPU, work_dir=tmp_path)
    trainer = _timed(monkeypatch, 0.5)
    assert run_training(trainer, Budget(seconds=20), ctx) == 40
    assert [total for _, total in trainer.seen] == [None] * 10 + [40] * 30
    # Resumed on a machine ten times as slow, it ends where it would have ended.
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["total"] == 40
    (tmp_path / "last.pt").unlink()
    ctx = Context(CPU, work_dir=tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run_training(_stopping(monkeypatch, 0.5, 20), Budget(seconds=20), ctx)
    assert run_training(_timed(monkeypatch, 5.0), Budget(seconds=20), ctx) == 40


def _stopping(monkeypatch: pytest.MonkeyPatch, seconds: float, stop: int) -> Line:
    trainer = _timed(monkeypatch, seconds)
    tick = trainer.fault

    def die(step: int) -> float:
        if step == stop:
            raise KeyboardInterrupt
        return tick(step)

    trainer.fault = die
    return trainer


def test_slow_steps_do_not_outrun_a_short_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _timed(monkeypatch, 60.0)
    assert run_training(trainer, Budget(seconds=90), Context(CPU)) == 3


class _Captured(Line):
    """Slow at first, then a capture, then fast; time passes as it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(self._tick)
        self.clock = _Clock()
        monkeypatch.setattr(loop.time, "monotonic", self.clock)
        self.closed = 0

    def _tick(self, step: int) -> float:
        self.clock.now += 0.025 if step < 3 else 0.6 + 0.012 if step == 3 else 0.012
        self.steps = step + 1
        return 0.0

    steps = 0

    @property
    def settled(self) -> bool:
        return self.steps > 3

    def close(self) -> None:
        self.closed += 1


def test_the_pace_is_that_of_the_graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A minute at 12 ms, less what came before: not the pace of a capture and seven replays."""
    trainer = _Captured(monkeypatch)
    done = run_training(trainer, Budget(seconds=60), Context(CPU, work_dir=tmp_path))
    assert done == 4 + round((60 - 3 * 0.025 - 0.612) / 0.012) == 4947
    assert trainer.clock.now == pytest.approx(60, abs=0.02)
    known = [step for step, total in trainer.seen if total is not None]
    assert known[0] >= 4 + 2.0 / 0.012  # measured over two seconds at least
    assert known[0] <= 4 + 2.5 / 0.012
    # Reading losses waits for a GPU: it is seldom done while the pace is measured.
    logged = [line["iteration"] for line in _curve(tmp_path)]
    assert len([i for i in logged if i < known[0]]) < 25
    assert 180 < len(logged) < 280


def test_a_trainer_is_closed_however_training_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _Captured(monkeypatch)
    run_training(trainer, Budget(iterations=3), Context(CPU))
    assert trainer.closed == 1
    trainer.fault = lambda step: float("nan")
    with pytest.raises(Diverged):
        run_training(trainer, Budget(iterations=3), Context(CPU))
    assert trainer.closed == 2


def test_a_budget_that_a_capture_outlasts_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _Captured(monkeypatch)
    assert run_training(trainer, Budget(seconds=0.05), Context(CPU)) == 2


def test_time_of_earlier_attempts_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the pace was known, a training goes on with what is left of its budget."""
    ctx = Context(CPU, work_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stopping = _stopping(monkeypatch, 0.5, 5)
        run_training(stopping, Budget(seconds=20), ctx, checkpoint_seconds=-1)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["total"] is None
    assert run_training(_timed(monkeypatch, 0.5), Budget(seconds=20), ctx) == 40


@pytest.mark.parametrize(("cost", "expected"), [(0.1, 30.0), (4.0, 200.0)])
def test_writing_checkpoints_takes_a_fiftieth_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float, expected: float
) -> None:
    trainer = _timed(monkeypatch, 1.0)
    clock, saved = loop.time.monotonic, []
    assert isinstance(clock, _Clock)

    def slow(*args: Any) -> None:
        saved.append(clock.now)
        clock.now += cost

    monkeypatch.setattr(loop, "save_checkpoint", slow)
    run_training(trainer, Budget(iterations=1000), Context(CPU, work_dir=tmp_path))
    gaps = [later - sooner - cost for sooner, later in pairwise(saved[:-1])]
    assert gaps and all(expected <= gap <= expected + 2 for gap in gaps)
    monkeypatch.setattr(loop, "save_checkpoint", lambda *args: saved.append(-1.0))
    run_training(
        trainer, Budget(iterations=20), Context(CPU, work_dir=tmp_path), checkpoint_seconds=-1
    )
    assert saved.count(-1.0) == 20  # one asked for is written, whatever it costs


def test_progress_reaches_the_end() -> None:
    events: list[Event] = []
    run_training(Line(), Budget(iterations=25), Context(CPU, emit=events.append))
    assert (events[-1].done, events[-1].total, events[-1].unit) == (25, 25, "it")
    assert events[-1].values.keys() == {"loss"}


def test_a_context_may_ask_for_a_checkpoint_after_every_iteration(tmp_path: Path) -> None:
    """And each is reported: what stops at one of them loses one iteration at most."""
    seen = []

    def emit(event: Event) -> None:
        kept = tmp_path / "last.pt"
        seen.append((event.done, torch.load(kept)["iteration"] if kept.exists() else 0))

    ctx = Context(CPU, work_dir=tmp_path, checkpoint_seconds=0.0, emit=emit)
    run_training(Line(), Budget(iterations=3), ctx)
    assert seen == [(1, 0), (2, 1), (3, 2)]


def test_schedules() -> None:
    assert [linear_decay(i, 10) for i in (0, 4, 5)] == [1.0, 1.0, 1.0]
    rates = [linear_decay(i, 10) for i in range(5, 10)]
    assert all(0 < later < sooner for sooner, later in pairwise(rates))
    assert [step_decay(i, 100, steps=4) for i in (0, 24, 25, 50, 99)] == [1, 1, 0.5, 0.25, 0.125]
    assert linear_decay(7, None) == step_decay(7, None, steps=3) == 1.0


def test_set_learning_rate_fills_tensors_in_place() -> None:
    p = nn.Parameter(torch.zeros(1))
    plain = torch.optim.SGD([p], lr=0.1)
    set_learning_rate(plain, 0.5)
    assert plain.param_groups[0]["lr"] == 0.5
    rate = torch.tensor(0.1)
    tensor = torch.optim.Adam([p], lr=rate, foreach=False, capturable=False)
    tensor.param_groups[0]["lr"] = rate
    set_learning_rate(tensor, 0.5)
    assert tensor.param_groups[0]["lr"] is rate and float(rate) == 0.5


# ---------------------------------------------------------------- seeds and batches


@given(st.lists(st.one_of(st.integers(), st.text(max_size=8)), max_size=4))
def test_seeds_are_pure_and_in_range(parts: list[object]) -> None:
    assert derive_seed(*parts) == derive_seed(*parts)
    assert 0 <= derive_seed(*parts) < 2**63
    assert derive_seed(*parts) != derive_seed(*parts, "more")


def test_seeds_do_not_confuse_parts() -> None:
    assert len({derive_seed("ab", "c"), derive_seed("a", "bc"), derive_seed("abc")}) == 3
    assert derive_seed(1) != derive_seed("1")


def test_normal_per_seed_is_per_seed() -> None:
    seeds = torch.tensor([[1, 2], [3, 1]])
    draws = normal_per_seed(seeds, (5,))
    assert draws.shape == (2, 2, 5)
    assert torch.equal(draws[0, 0], draws[1, 1])
    assert not torch.equal(draws[0, 0], draws[0, 1])
    many = normal_per_seed(torch.arange(400), (50,))
    assert abs(float(many.mean())) < 0.03 and abs(float(many.std()) - 1) < 0.02


@settings(max_examples=50)
@given(st.integers(0, 2**40), st.integers(1, 9), st.integers(1, 7), st.integers(0, 5))
def test_every_epoch_sees_every_image_once(seed: int, n: int, size: int, epoch: int) -> None:
    steps = range((epoch + 1) * n // size + 2)
    seen = torch.cat([batch_indices(seed, "a", step, size, n) for step in steps]).tolist()
    assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_epochs_differ_and_domains_too() -> None:
    def order(domain: str, epoch: int) -> list[int]:
        return [int(batch_indices(1, domain, 20 * epoch + i, 1, 20)) for i in range(20)]

    assert order("a", 0) != order("a", 1) != order("b", 1)


def test_batches_are_pure_functions_of_the_step() -> None:
    data = TrainData(
        torch.randint(0, 256, (5, 3, 20, 24), dtype=torch.uint8),
        torch.randint(0, 256, (4, 3, 20, 24), dtype=torch.uint8),
        ("a", "b"),
    )
    late = batch(data, "a", seed=1, step=9, batch_size=2, crop=16)
    for step in range(3):
        batch(data, "a", seed=1, step=step, batch_size=2, crop=16)
    assert torch.equal(late, batch(data, "a", seed=1, step=9, batch_size=2, crop=16))
    assert late.shape == (2, 3, 16, 16) and float(late.min()) >= -1 and float(late.max()) <= 1
    assert not torch.equal(late, batch(data, "a", seed=2, step=9, batch_size=2, crop=16))


def test_pairs_stay_pairs() -> None:
    images = torch.randint(0, 256, (6, 3, 20, 20), dtype=torch.uint8)
    data = TrainData(images, 255 - images, ("a", "b"), paired=True)
    for step in range(6):
        a = batch(data, "a", seed=1, step=step, batch_size=2, crop=8, load=12)
        b = batch(data, "b", seed=1, step=step, batch_size=2, crop=8, load=12)
        torch.testing.assert_close(a, -b, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("load", "crop"), [(None, None), (None, 16), (28, 16), (20, None)])
@pytest.mark.parametrize("paired", [False, True])
def test_batches_are_the_same_wherever_images_lie(
    load: int | None, crop: int | None, paired: bool
) -> None:
    images = torch.randint(0, 256, (5, 3, 20, 24), dtype=torch.uint8)
    data = TrainData(images, 255 - images, ("a", "b"), paired)
    how = {"seed": 3, "batch_size": 2, "crop": crop, "load": load}
    for domain in ("a", "b"):
        kept, sent = (Batches(data, domain, CPU, resident=here, **how) for here in (True, False))
        for step in (4, 0, 1, 9):
            expected = batch(data, domain, step=step, **how)
            assert torch.equal(kept.batch(step), expected)
            assert torch.equal(sent.batch(step), expected)
            chosen, _ = sent.inputs(step)
            assert chosen.dtype == torch.uint8 and chosen.shape == (2, 3, 20, 24)


def test_what_is_cut_is_what_slices_give() -> None:
    """The places of a batch are looked up; the plain way slices, image by image."""
    images = torch.randint(0, 256, (4, 3, 20, 24), dtype=torch.uint8)
    for step in range(8):
        rng = generator(5, "augment", "a", step)
        plain = []
        for image in images.float().div(127.5).sub(1.0):
            flip, top, left = torch.rand(3, generator=rng).tolist()
            y, x = int(top * 5), int(left * 9)
            cut = image[:, y : y + 16, x : x + 16]
            plain.append(cut.flip(-1) if flip < 0.5 else cut)
        out = augment(images, seed=5, domain="a", step=step, crop=16, load=None)
        assert torch.equal(out, torch.stack(plain))


def test_augment_crops_and_flips_every_place() -> None:
    # The column's number is the pixel's value: a crop says where it was taken.
    image = torch.arange(10, dtype=torch.uint8).expand(1, 3, 10, 10)
    lefts, flips = set(), set()
    for step in range(200):
        out = augment(image, seed=0, domain="a", step=step, crop=8, load=None)[0, 0, 0]
        columns = out.add(1).mul(127.5).round().int().tolist()
        flips.add(columns[0] > columns[-1])
        lefts.add(min(columns))
        assert sorted(columns) == list(range(min(columns), min(columns) + 8))
    assert lefts == {0, 1, 2} and flips == {True, False}


def test_crop_that_does_not_fit_is_refused() -> None:
    image = torch.zeros((1, 3, 20, 24), dtype=torch.uint8)
    with pytest.raises(BenchError, match=r"a crop of 32 does not fit .* 24x20"):
        augment(image, seed=0, domain="a", step=0, crop=32, load=None)
    with pytest.raises(BenchError, match="16x16"):
        augment(image, seed=0, domain="a", step=0, crop=20, load=16)
    assert augment(image, seed=0, domain="a", step=0, crop=32, load=40).shape[-1] == 32


# ---------------------------------------------------------------- pool, capture


def test_pool_stores_then_swaps_half() -> None:
    pool = ImagePool(5, seed=1, name="a")
    swaps = 0
    for step in range(200):
        image = torch.full((1, 1, 1, 1), float(step))
        out = pool.query(image, pool.decide(step, 1))
        if step < 5:
            assert torch.equal(out, image)
        else:
            swaps += int(not torch.equal(out, image))
            assert float(out) <= step
    assert 70 < swaps < 130


def test_pool_resumes_from_its_images() -> None:
    def run(pool: ImagePool, steps: range) -> list[float]:
        images = (torch.full((1, 1, 1, 1), float(step)) for step in steps)
        return [
            float(pool.query(image, pool.decide(step, 1)))
            for image, step in zip(images, steps, strict=True)
        ]

    whole = run(ImagePool(4, 1, "a"), range(40))
    first = ImagePool(4, 1, "a")
    part = run(first, range(17))
    second = ImagePool(4, 1, "a")
    second.load_state({k: v.clone() for k, v in first.state().items()}, CPU)
    assert part + run(second, range(17, 40)) == whole


def test_pool_of_none_passes_through() -> None:
    pool = ImagePool(0, 1, "a")
    image = torch.rand(2, 3, 4, 4)
    assert pool.query(image, pool.decide(0, 2)) is image and pool.state() == {}


def test_captured_step_runs_plainly_on_a_cpu() -> None:
    calls: list[torch.Tensor] = []

    def step(x: torch.Tensor) -> Mapping[str, torch.Tensor]:
        calls.append(x)
        return {"loss": x.sum()}

    captured = CapturedStep(step, CPU)
    for number in range(5):
        assert float(captured(torch.full((2,), float(number)))["loss"]) == 2 * number
    assert len(calls) == 5 and not captured.captured


def test_prepared_optimizer_steps_alike() -> None:
    results = []
    for prepare in (False, True):
        net = nn.Linear(3, 1)
        nn.init.constant_(net.weight, 0.3)
        nn.init.constant_(net.bias, 0.0)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.5, 0.999))
        if prepare:
            prepare_optimizer(optimizer, CPU)
        for step in range(5):
            loss = (net(torch.randn(4, 3, generator=generator(step))) ** 2).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        results.append(net.weight.detach().clone())
    torch.testing.assert_close(*results)
