"""Sample sheets and the best weights: what looks at a training must not change it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.api import A2B, BenchError, Budget, Config, Context, Event, TrainData
from bench.data.images import read_image
from bench.metrics.extractors.efficientnet import EfficientNetLite0
from bench.metrics.files import EFFICIENTNET
from bench.metrics.judge import Judge
from bench.metrics.kid import kernel, kid
from bench.storage import weights
from bench.training.loop import run_training
from bench.training.watch import BestWeights, SampleGrids, judged, spread, tile

CPU = torch.device("cpu")


class Counter:
    """A training whose one weight counts the iterations."""

    def __init__(self) -> None:
        self.net = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.net.weight)
        self.modules = {"net": self.net}
        self.optimizers = {"net": torch.optim.SGD(self.net.parameters(), lr=1.0)}

    def step(self, iteration, total):
        with torch.no_grad():
            self.net.weight += 1
        return {"loss": torch.tensor(0.0)}

    def extra_state(self):
        return {}

    def load_extra_state(self, state):
        pass


def at(trainer):
    return int(trainer.net.weight)


def test_spread_is_even_and_tile_keeps_pictures_where_they_are():
    assert spread(torch.arange(10), 4).tolist() == [0, 2, 5, 7]
    assert spread(torch.arange(3), 9).tolist() == [0, 1, 2]
    cells = [[torch.full((3, 4, 5), (3 * i + j) / 10) for j in range(3)] for i in range(2)]
    sheet = tile(cells)
    assert sheet.shape == (3, 10, 19)
    assert sheet[:, 6:, 7:12].unique().tolist() == pytest.approx([0.4])
    assert sheet[:, 4:6].unique().tolist() == [1.0]


@pytest.mark.parametrize(("every", "names"), [(4, [4, 8, 10]), (0, []), (100, [10])])
def test_sheets_are_written_when_due_and_at_the_end(tmp_path, every, names):
    trainer, events = Counter(), []
    ctx = Context(CPU, work_dir=tmp_path, emit=events.append)
    grids = SampleGrids(every, lambda i: torch.full((3, 4, 4), at(trainer) / 10), ctx)
    run_training(trainer, Budget(iterations=10), ctx, watchers=[grids])
    files = sorted((tmp_path / "samples").glob("*")) if names else []
    assert [f.name for f in files] == [f"{n:08d}.png" for n in names]
    assert [int(read_image(f)[0, 0, 0]) for f in files] == [round(25.5 * n) for n in names]
    assert [Path(e.path) for e in events if e.kind == "sample"] == files


def test_without_a_folder_nothing_is_drawn():
    def draw(iteration):
        raise AssertionError("drawn")

    ctx = Context(CPU)
    watchers = [SampleGrids(1, draw, ctx)]
    assert run_training(Counter(), Budget(iterations=3), ctx, watchers=watchers) == 3


def test_random_draws_of_a_sheet_stay_its_own(tmp_path):
    ctx = Context(CPU, work_dir=tmp_path)
    trainer = Counter()
    before = torch.get_rng_state()
    grids = SampleGrids(1, lambda i: torch.rand(3, 4, 4), ctx)
    run_training(trainer, Budget(iterations=3), ctx, watchers=[grids])
    assert torch.equal(torch.get_rng_state(), before)


def curve(folder):
    return [json.loads(line) for line in (folder / "quality.jsonl").read_text().splitlines()]


def best_of(trainer, ctx, values):
    return BestWeights(trainer.modules, lambda: values[at(trainer)], ctx)


@pytest.mark.parametrize("folder", [True, False])
def test_the_lowest_of_twenty_points_is_kept_and_of_equals_the_first(tmp_path, folder):
    ctx = Context(CPU, work_dir=tmp_path if folder else None)
    trainer = Counter()
    values = dict.fromkeys(range(101), 1.0) | {35: 0.25, 36: 0.0, 60: 0.25, 100: 0.5}
    best = best_of(trainer, ctx, values)
    run_training(trainer, Budget(iterations=100), ctx, watchers=[best])
    assert at(trainer) == 100
    best.restore()
    assert at(trainer) == 35
    if folder:
        assert [entry["iteration"] for entry in curve(tmp_path)] == list(range(5, 101, 5))
        assert torch.load(tmp_path / "last.pt")["iteration"] == 100
        assert torch.load(tmp_path / "best.pt")["iteration"] == 35


def test_fewer_iterations_than_points(tmp_path):
    trainer, ctx = Counter(), Context(CPU, work_dir=tmp_path)
    best = best_of(trainer, ctx, {1: 2.0, 2: 1.0, 3: 3.0})
    run_training(trainer, Budget(iterations=3), ctx, watchers=[best])
    best.restore()
    assert at(trainer) == 2 and len(curve(tmp_path)) == 3


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_anywhere_it_makes_the_same_choice(tmp_path):
    rng = random.Random(4)
    values = {n: rng.choice([0.1, 0.2, 0.3]) for n in range(61)}
    ctx = Context(CPU, work_dir=tmp_path / "whole")
    whole = Counter()
    expected = best_of(whole, ctx, values)
    run_training(whole, Budget(iterations=60), ctx, watchers=[expected])

    ctx = Context(CPU, work_dir=tmp_path / "killed")
    for kill in [*sorted(rng.sample(range(1, 60), 15)), None]:
        trainer = Counter()
        found = best_of(trainer, ctx, values)

        class Axe:
            def resume(self, iteration): ...

            def after(self, iteration, total, kill=kill):
                if iteration == kill:  # the value was measured; the checkpoint is not written
                    raise Killed

        pause = -1 if rng.random() < 0.5 else 1e9
        watchers = [found, Axe()]
        try:
            run_training(
                trainer, Budget(iterations=60), ctx, watchers=watchers, checkpoint_seconds=pause
            )
        except Killed:
            assert kill is not None
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert found.best["iteration"] == expected.best["iteration"]
    found.restore()
    assert at(trainer) == expected.best["iteration"]


def test_a_damaged_best_file_is_one_line(tmp_path):
    trainer, ctx = Counter(), Context(CPU, work_dir=tmp_path)
    values = dict.fromkeys(range(9), 1.0)
    run_training(trainer, Budget(iterations=4), ctx, watchers=[best_of(trainer, ctx, values)])
    (tmp_path / "best.pt").write_bytes(b"x")
    again = best_of(trainer, ctx, values)
    with pytest.raises(BenchError, match=r"best\.pt is damaged"):
        run_training(trainer, Budget(iterations=4), ctx, watchers=[again])


def pictures(n, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 18, 20), dtype=torch.uint8, generator=draws)


def test_judged_translates_training_images_always_alike():
    seen = []

    def judge(real):
        return lambda outputs: seen.append((real, outputs)) or float(len(seen))

    def translate(images, direction, *, samples, seeds):
        assert images.shape[-2:] == (16, 20) and samples == 1
        shade = float(seeds.sum() % 256) / 255
        return (images * 0 + shade)[:, None] if direction == A2B else images[:, None]

    data = TrainData(pictures(3), pictures(4, 1), ("a", "b"))
    quality = judged(translate, data, Context(CPU, judge=judge), multiple_of=4)
    assert [quality(), quality()] == [1.5, 3.5]
    (real_b, to_b), (real_a, to_a), (_, to_b_again), _ = seen
    assert torch.equal(real_b, data.b) and torch.equal(real_a, data.a)
    assert torch.equal(to_a, data.b[..., :16, :])
    assert torch.equal(to_b, to_b_again)
    assert len({int(image[0, 0, 0]) for image in to_b}) == 3, "each image has a style of its own"


def test_without_a_judge_keep_best_is_refused():
    data = TrainData(pictures(2), pictures(2), ("a", "b"))
    with pytest.raises(BenchError, match="keep=best needs a network"):
        judged(lambda *_: None, data, Context(CPU))


def test_the_judge_is_kid_with_the_embedded_network():
    path = weights.find(EFFICIENTNET, weights_dir=None, offline=True)
    if path is None:
        pytest.skip("EfficientNet-Lite0 is not installed (the extra `embedded`)")
    real, outputs = pictures(5, 1), pictures(4, 2) // 2
    network = EfficientNetLite0(Config(), [path], CPU)
    y, x = (network.features(images).double().numpy() for images in (real, outputs))
    expected = kid(*(kernel(p, 1280) for p in (x @ x.T, y @ y.T, x @ y.T)))
    judge = Judge(weights_dir=None, offline=True)(real)
    assert judge(outputs) == pytest.approx(expected, rel=1e-4)
    assert judge(real) < judge(outputs)


def test_events_of_watchers_survive_the_way_to_the_screen():
    event = Event("sample", "fit", "samples", path="x.png", values={"kid": 0.5})
    assert Event(**json.loads(json.dumps(event.__dict__))) == event
