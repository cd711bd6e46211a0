"""A training that was stopped and resumed ends bit for bit where an uninterrupted one does."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.api import Budget, Context, TrainData
from bench.training.loop import run_training
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT
from bench_munit.trainer import MUNITTrainer

ROOT = Path(__file__).parents[2]
CONFIG = MUNITConfig(
    gen_dim=2,
    mlp_dim=4,
    n_res=1,
    content_jitter=0.5,
    dis_dim=2,
    dis_num_scales=1,
    crop_size=16,
    lr=1e-3,
    ema=0.9,
)
TOTAL = 30


class Killed(BaseException):
    """Stands for the end of the process."""


def trainer_in(folder):
    ctx = Context(device=torch.device("cpu"), work_dir=folder, seed=7)
    method = MUNIT(CONFIG, ctx)
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8, generator=draws) for _ in "ab")
    gens = [method._generator(d) for d in "ab"]
    return MUNITTrainer(CONFIG, ctx, *gens, TrainData(a, b, ("a", "b"))), ctx


def state_of(trainer):
    state = {f"{n}.{k}": v for n, m in trainer.modules.items() for k, v in m.state_dict().items()}
    for name, optimizer in trainer.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            state |= {f"{name}.{index}.{k}": v for k, v in entries.items()}
    return state


def same(one, two):
    assert one.keys() == two.keys()
    assert [k for k in one if not torch.equal(one[k], two[k])] == []


def test_killed_at_20_random_points(tmp_path):
    whole, ctx = trainer_in(tmp_path / "whole")
    run_training(whole, Budget(iterations=TOTAL), ctx)

    rng = random.Random(3)
    kills = sorted(rng.sample(range(1, TOTAL), 20))
    for kill in [*kills, None]:
        trainer, ctx = trainer_in(tmp_path / "killed")
        step = trainer.step

        def dying(iteration, total, kill=kill, step=step):
            losses = step(iteration, total)
            if iteration == kill:  # the step was made, and is lost
                raise Killed
            return losses

        trainer.step = dying
        try:
            # Now and then no checkpoint is written, and more than one iteration is lost.
            seconds = 0.0 if rng.random() < 0.7 else 1e9
            run_training(trainer, Budget(iterations=TOTAL), ctx, checkpoint_seconds=seconds)
        except Killed:
            assert kill is not None
    same(state_of(whole), state_of(trainer))
    curves = [(tmp_path / name / "losses.jsonl").read_text() for name in ("whole", "killed")]
    assert curves[0] == curves[1]


PROGRAM = """
import sys
from pathlib import Path
import torch
from tests.methods.test_munit_resume import *
torch.set_num_threads(1)
trainer, ctx = trainer_in(Path(sys.argv[1]))
run_training(trainer, Budget(iterations=150), ctx, checkpoint_seconds=0.0)
torch.save(state_of(trainer), sys.argv[2])
"""


@pytest.mark.slow
def test_sigkill(tmp_path):
    """The operating system ends the process in the middle of whatever it does."""

    def start(folder, result):
        command = [sys.executable, "-c", PROGRAM, str(folder), str(result)]
        return subprocess.Popen(command, cwd=ROOT)

    assert start(tmp_path / "whole", tmp_path / "whole.pt").wait(300) == 0
    folder, rng = tmp_path / "killed", random.Random(0)
    killed = 0
    for _ in range(3):
        process = start(folder, tmp_path / "killed.pt")
        deadline = time.monotonic() + 120
        seen = (folder / "last.pt").stat().st_mtime_ns if (folder / "last.pt").exists() else 0
        while time.monotonic() < deadline and process.poll() is None:
            path = folder / "last.pt"
            if path.exists() and path.stat().st_mtime_ns != seen:
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.7))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(60) == -signal.SIGKILL
    assert killed >= 1
    assert start(folder, tmp_path / "killed.pt").wait(300) == 0
    whole, resumed = (
        torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "killed.pt")
    )
    same(whole, resumed)
