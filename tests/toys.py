"""Toy plugins and pictures for tests of the harness: real runs in seconds.

The plugins are one-file plugins, written where a test wants them and given to the command
with ``--plugin``, as a user would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

TOY = '''
"""A trained toy method and cheap metrics, with hooks to make every stage slow."""

import os
import time

import torch
from torch import nn

from bench.api import Config, Measurement, MethodSpec, MetricSpec, hookimpl
from bench.training.loop import run_training
from bench.training.sampling import batch
from bench.training.seeding import generator, normal_per_seed


class ToyConfig(Config):
    width: int = 4
    rate: float = 0.01


def pause(stage):
    """Wait as long as the test asks for this stage; has no influence on results."""
    time.sleep(float(os.environ.get(f"TOY_{stage.upper()}", "0")))


class Trainer:
    def __init__(self, config, ctx, net, data):
        self.ctx, self.data = ctx, data
        self.modules = {"net": net}
        self.optimizers = {"net": torch.optim.Adam(net.parameters(), lr=config.rate)}

    def step(self, iteration, total):
        pause("fit")
        a = batch(self.data, "a", seed=self.ctx.seed, step=iteration, crop=16)
        b = batch(self.data, "b", seed=self.ctx.seed, step=iteration, crop=16)
        loss = (self.modules["net"](a) - b).abs().mean()
        self.optimizers["net"].zero_grad()
        torch.autograd.backward(loss)
        self.optimizers["net"].step()
        return {"l1": loss.detach()}

    def extra_state(self):
        return {}

    def load_extra_state(self, state):
        pass


class Toy:
    """Two convolutions and a colour shift for each seed."""

    def __init__(self, config, ctx):
        self.config, self.ctx = config, ctx
        self.net = nn.Sequential(
            nn.Conv2d(3, config.width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.width, 3, 3, padding=1),
        )
        for p in self.net.parameters():
            p.data.normal_(0, 0.2, generator=generator(ctx.seed, "toy", tuple(p.shape)))

    def fit(self, data, budget):
        run_training(Trainer(self.config, self.ctx, self.net, data), budget, self.ctx,
                     checkpoint_seconds=0.0, weights=self.state_dict)

    @torch.no_grad()
    def translate(self, images, direction, *, samples, seeds):
        pause("translate")
        base = torch.stack([self.net(x[None] * 2 - 1)[0] for x in images])
        shifts = normal_per_seed(seeds, (3, 1, 1)) * 0.1
        return ((base[:, None] + shifts + 1) / 2).clamp(0, 1)

    def state_dict(self):
        return self.net.state_dict()

    def load_state_dict(self, state):
        self.net.load_state_dict(dict(state))


class Fixed:
    """An untrained, deterministic method: the negative."""

    def __init__(self, config, ctx):
        self.ctx = ctx

    def translate(self, images, direction, *, samples, seeds):
        return (1 - images)[:, None].expand(-1, samples, -1, -1, -1)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def brightness(context):
    """Mean of all outputs, and of each."""
    pause("score")
    values = [
        (key, k, float(picture.load().mean()) / 255)
        for key, samples in context.outputs.items()
        for k, picture in enumerate(samples)
    ]
    mean = sum(value for *_, value in values) / len(values)
    return [context.measurement("brightness", mean, n=len(values), per_sample=values)]


@hookimpl
def bench_methods():
    return [
        MethodSpec("toy", "a toy", "toy_plugin:Toy", config=ToyConfig, trained=True,
                   multimodal=True, budgets={"demo": "20it", "quick": "20it", "paper": "20it"}),
        MethodSpec("negative", "the negative", "toy_plugin:Fixed"),
    ]


@hookimpl
def bench_metrics():
    return [MetricSpec("brightness", "mean grey level", "toy_plugin:brightness", "content")]
'''


def make_folder(root: Path, count: int = 3, size: int = 32, parts: Mapping[str, int] = {}) -> Path:
    """A folder of tiny pictures: trainA, trainB, testA, testB."""
    for index, part in enumerate(("trainA", "trainB", "testA", "testB")):
        folder = root / part
        folder.mkdir(parents=True)
        rng = np.random.default_rng(index)
        for number in range(parts.get(part, count)):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"p{number}.png")
    return root


def write_toy(folder: Path) -> Path:
    """The toy plugin as a file."""
    path = folder / "toy_plugin.py"
    path.write_text(TOY, "utf-8")
    return path


def heed_interrupts() -> None:
    """For a child: a test run in the background may ignore Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(cache: Path | None = None, **extra: str) -> dict[str, str]:
    """The environment of a run: one thread, plain text, the test's own cache."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200", **extra}
    if cache is not None:
        env["BENCH_CACHE"] = str(cache)
    return env


def bench(
    *args: str | Path, cwd: Path, cache: Path | None = None, timeout: float = 120, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run the real command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, args)],
        cwd=cwd,
        env=environment(cache, **extra),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
