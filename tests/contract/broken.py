"""Plugins that break one promise each, to see that the kit notices."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.api import BenchError, Budget, Config, Ended, Event, ImageItem, RunView, Task
from bench.training.loop import run_training
from bench.training.sampling import batch
from bench.training.seeding import generator, normal_per_seed


class Sound:
    """A multimodal method that keeps every promise."""

    def __init__(self, config: Config, ctx: Any) -> None:
        self.ctx = ctx

    def translate(
        self, images: torch.Tensor, direction: Any, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        shift = normal_per_seed(seeds, (3, 1, 1)) * 0.1
        return (images[:, None] + shift).clamp(0, 1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        if state:
            raise BenchError("another model's state")


class LooksAtNeighbours(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return super().translate(images * images.mean(), direction, samples=samples, seeds=seeds)


class ForgetsSeeds(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return (images[:, None] + torch.rand(samples, 3, 1, 1) * 0.1).clamp(0, 1)


class IgnoresSeeds(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return images[:, None].expand(-1, samples, -1, -1, -1)


class CountsSamples(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        steps = torch.arange(samples).view(1, -1, 1, 1, 1) * 0.1
        return (images[:, None] * 0.5 + steps).clamp(0, 1)


class LeavesRange(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return super().translate(images, direction, samples=samples, seeds=seeds) * 2 - 1


class GivesNaN(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        out = super().translate(images, direction, samples=samples, seeds=seeds)
        out[0, 0, 0, 0, 0] = float("nan")
        return out


class WrongShape(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return super().translate(images, direction, samples=samples, seeds=seeds)[:, 0]


class ChangesInput(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        images.mul_(0.5)
        return super().translate(images, direction, samples=samples, seeds=seeds)


class WrongDtype(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return super().translate(images, direction, samples=samples, seeds=seeds).double()


class CarriesGradients(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return super().translate(images, direction, samples=samples, seeds=seeds).requires_grad_()


class MissesADirection(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        strength = {"a2b": 1.0}[direction.key]
        return super().translate(images * strength, direction, samples=samples, seeds=seeds)


class NeedsAGPU(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return super().translate(images.cuda(), direction, samples=samples, seeds=seeds).cpu()


class WantsSquares(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        images = (images + images.transpose(-1, -2)) / 2
        return super().translate(images, direction, samples=samples, seeds=seeds)


class SeedsTorch(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        out = []
        for image, row in zip(images, seeds.tolist(), strict=True):
            for seed in row:
                torch.manual_seed(seed)
                out.append((image + torch.randn(3, 1, 1) * 0.1).clamp(0, 1))
        return torch.stack(out).unflatten(0, seeds.shape)


class SeedsPython(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        random.seed(0)
        return super().translate(images, direction, samples=samples, seeds=seeds)


class DrawsFromNumPy(Sound):
    def __init__(self, config: Config, ctx: Any) -> None:
        super().__init__(config, ctx)
        np.random.permutation(5)  # noqa: NPY002


class ChangesTheDefaultDtype(Sound):
    def __init__(self, config: Config, ctx: Any) -> None:
        super().__init__(config, ctx)
        torch.set_default_dtype(torch.float64)


class ChangesDeterminism(Sound):
    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        torch.use_deterministic_algorithms(True)
        return super().translate(images, direction, samples=samples, seeds=seeds)


class ChangesCudnn(Sound):
    def __init__(self, config: Config, ctx: Any) -> None:
        super().__init__(config, ctx)
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark


class HalfCoded(Sound):
    def encode(self, images: torch.Tensor, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
        return images, images.mean((2, 3))


class Coded(HalfCoded):
    """A method with codes that keeps every promise."""

    def decode(self, content: torch.Tensor, style: torch.Tensor, domain: str) -> torch.Tensor:
        return (content + style[:, :, None, None] * 0.1).clamp(0, 1)

    def sample_styles(self, seeds: torch.Tensor) -> torch.Tensor:
        return normal_per_seed(seeds, (3,))


class OtherCodes(Coded):
    def sample_styles(self, seeds: torch.Tensor) -> torch.Tensor:
        return normal_per_seed(seeds, (4,))


class ForgetsCodes(Coded):
    def sample_styles(self, seeds: torch.Tensor) -> torch.Tensor:
        return torch.randn(*seeds.shape, 3)


class DecodesToSigned(Coded):
    def decode(self, content: torch.Tensor, style: torch.Tensor, domain: str) -> torch.Tensor:
        return super().decode(content, style, domain) * 2 - 1


class WithoutState:
    def __init__(self, config: Config, ctx: Any) -> None:
        pass

    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        return images[:, None].expand(-1, samples, -1, -1, -1)


class _Trainer:
    def __init__(self, method: Any, data: Any) -> None:
        self.method, self.data = method, data
        self.modules = {"net": method.net}
        self.optimizers = {"net": torch.optim.Adam(method.net.parameters(), lr=0.01)}

    def step(self, iteration: int, total: int | None) -> dict[str, torch.Tensor]:
        a = batch(self.data, "a", seed=self.method.ctx.seed, step=iteration)
        noise = self.method.noise(iteration) * 0.1
        loss = (self.method.net(a + noise) ** 2).mean()
        self.optimizers["net"].zero_grad()
        torch.autograd.backward(loss)
        self.optimizers["net"].step()
        return {"loss": loss.detach()}

    def extra_state(self) -> dict[str, Any]:
        return {}

    def load_extra_state(self, state: Any) -> None:
        pass


class Trained:
    """A trained, deterministic method that keeps every promise."""

    def __init__(self, config: Config, ctx: Any) -> None:
        self.ctx = ctx
        self.net = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.normal_(self.net.weight, generator=generator(ctx.seed, "w"))

    @classmethod
    def from_weights(cls, path: Any, ctx: Any, **config: Any) -> Any:
        from bench.storage.weights import read_state

        method = cls(Config(**config), ctx)
        method.load_state_dict(read_state(path))
        return method

    def noise(self, iteration: int) -> torch.Tensor:
        return torch.rand(1, generator=generator(self.ctx.seed, iteration))

    def fit(self, data: Any, budget: Any) -> None:
        run_training(_Trainer(self, data), budget, self.ctx)

    def translate(
        self, images: torch.Tensor, direction: Any, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        out = torch.stack([self.net(image[None])[0] for image in images]).sigmoid()
        return out[:, None].expand(-1, samples, -1, -1, -1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.net.state_dict()

    def load_state_dict(self, state: Any) -> None:
        try:
            self.net.load_state_dict(dict(state))
        except RuntimeError as error:
            raise BenchError("another model's state") from error


class DrawsFromGlobalState(Trained):
    """Resumed training draws other noise: the position of the generator is not kept."""

    def __init__(self, config: Config, ctx: Any) -> None:
        super().__init__(config, ctx)
        self.rng = torch.Generator().manual_seed(ctx.seed)

    def noise(self, iteration: int) -> torch.Tensor:
        return torch.rand(1, generator=self.rng)


class KeepsNoCheckpoint(Trained):
    def fit(self, data: Any, budget: Any) -> None:
        run_training(_Trainer(self, data), budget, replace(self.ctx, work_dir=None))


class LosesItsState(Trained):
    def load_state_dict(self, state: Any) -> None:
        if "weight" not in state:
            raise BenchError("another model's state")


class TakesAnyState(Trained):
    def load_state_dict(self, state: Any) -> None:
        self.net.load_state_dict(dict(state), strict=False)


class OtherWeights(Trained):
    @classmethod
    def from_weights(cls, path: Any, ctx: Any, **config: Any) -> Any:
        return cls(Config(), ctx)


class SwallowsOptions(Trained):
    @classmethod
    def from_weights(cls, path: Any, ctx: Any, **config: Any) -> Any:
        return super().from_weights(path, ctx)


class CountsInTranslate(Trained):
    """Its norm counts on while it translates: nobody called eval()."""

    def __init__(self, config: Config, ctx: Any) -> None:
        super().__init__(config, ctx)
        self.norm = nn.BatchNorm2d(3, affine=False)

    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        self.norm(images)
        return super().translate(images, direction, samples=samples, seeds=seeds)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {**self.net.state_dict(), "mean": self.norm.running_mean}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict({key: state[key] for key in state if key != "mean"})


class HidesState(Trained):
    """What it translates with is not all in its state."""

    def fit(self, data: Any, budget: Any) -> None:
        super().fit(data, budget)
        self.shift = 0.1

    def translate(self, images, direction, *, samples, seeds):  # type: ignore[no-untyped-def]
        out = super().translate(images, direction, samples=samples, seeds=seeds)
        return (out + getattr(self, "shift", 0.0)).clamp(0, 1)


class SharesMemory(Trained):
    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"weight": self.net.weight, "again": self.net.weight}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict({key: state[key] for key in state if key != "again"})


class ChangesTrainingImages(Trained):
    def fit(self, data: Any, budget: Any) -> None:
        data.b.zero_()
        super().fit(data, budget)


class PeeksAtTestImages(Trained):
    def fit(self, data: Any, budget: Any) -> None:
        from PIL import Image

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "testA.png"
            Image.new("RGB", (8, 8)).save(file)
            Image.open(file).load()
        super().fit(data, budget)


class IgnoresTheSeed(Trained):
    def __init__(self, config: Config, ctx: Any) -> None:
        super().__init__(config, ctx)
        self.net.reset_parameters()


class Unrepeatable(Trained):
    def noise(self, iteration: int) -> torch.Tensor:
        return torch.rand(1)


class TrainsNothing(Trained):
    def fit(self, data: Any, budget: Any) -> None:
        other = type(self)(Config(), self.ctx)
        run_training(_Trainer(other, data), budget, self.ctx)


class TrainsTwiceAsLong(Trained):
    def fit(self, data: Any, budget: Any) -> None:
        if budget.iterations:
            budget = Budget(iterations=2 * budget.iterations)
        super().fit(data, budget)


class CannotBeStopped(Trained):
    def fit(self, data: Any, budget: Any) -> None:
        try:
            super().fit(data, budget)
        except BaseException:
            super().fit(data, budget)


class OwnLoop(Trained):
    """A plain for-loop with a checkpoint of its own, that keeps every promise."""

    def fit(self, data: Any, budget: Any) -> None:
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        total = budget.iterations or 10
        checkpoint = self.ctx.work_dir / "state.pt" if self.ctx.work_dir else None
        first = 0
        if checkpoint is not None and checkpoint.exists():
            first = self.resume(torch.load(checkpoint, weights_only=True), optimizer)
        for iteration in range(first, total):
            x = data.a[iteration % len(data.a)].float() / 255
            loss = (self.net(x[None] + self.noise(iteration) * 0.1) ** 2).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            if checkpoint is not None:
                self.keep(checkpoint, iteration + 1, optimizer)
            self.report(iteration + 1, total)

    def keep(self, path: Path, done: int, optimizer: torch.optim.Optimizer) -> None:
        state = {"done": done, "net": self.net.state_dict(), "adam": optimizer.state_dict()}
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def resume(self, state: Any, optimizer: torch.optim.Optimizer) -> int:
        self.net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["adam"])
        return int(state["done"])

    def report(self, done: int, total: int) -> None:
        self.ctx.emit(Event("progress", "fit", done=done, total=total, unit="it"))


class NoSeconds(OwnLoop):
    def fit(self, data: Any, budget: Any) -> None:
        if budget.seconds is None:
            super().fit(data, budget)


class ForgetsItsOptimizer(OwnLoop):
    def resume(self, state: Any, optimizer: torch.optim.Optimizer) -> int:
        self.net.load_state_dict(state["net"])
        return int(state["done"])


class TrainsOn(OwnLoop):
    """Begins the last iteration again where training has ended."""

    def resume(self, state: Any, optimizer: torch.optim.Optimizer) -> int:
        done = super().resume(state, optimizer)
        return done - 1 if done == 4 else done


class SaysNothing(OwnLoop):
    def report(self, done: int, total: int) -> None:
        pass


class NeedsAFolder(OwnLoop):
    def fit(self, data: Any, budget: Any) -> None:
        print(self.ctx.work_dir / "log.txt")
        super().fit(data, budget)


class NeedsIterations(OwnLoop):
    def fit(self, data: Any, budget: Any) -> None:
        for _ in range(budget.iterations):
            pass
        super().fit(data, budget)


class WritesElsewhere(Trained):
    def save_official(self, folder: Path) -> list[Path]:
        return [folder.parent / "weights.safetensors"]


class AnswersWithKeyError(Trained):
    def load_state_dict(self, state: Any) -> None:
        self.net.weight.data.copy_(state["weight"])


class Stripes:
    """A dataset that keeps every promise; the broken ones change one thing."""

    domains: tuple[str, str] = ("x", "y")
    paired = False
    calls = 0

    def __init__(self, config: Config) -> None:
        type(self).calls += 1

    def prepare(self, cache: Any, *, offline: bool, progress: Any) -> None:
        pass

    def split(self, split: str, domain: str) -> list[ImageItem]:
        import numpy as np

        def render(value: int) -> Any:
            return lambda: np.full((8, 8, 3), value, np.uint8)

        return [ImageItem(f"{split}{domain}{n}", f"{n:064x}", render=render(n)) for n in range(3)]

    def fingerprint(self) -> str:
        return "f" * 64

    def truth(self, item: ImageItem, direction: Any) -> tuple[ImageItem, ...]:
        return ()


class SameNames(Stripes):
    domains = ("x", "x")


class UnsafeIds(Stripes):
    def split(self, split: str, domain: str) -> list[ImageItem]:
        return [ImageItem("../../etc", "0" * 64, render=super().split(split, domain)[0].render)]


class EmptySplit(Stripes):
    def split(self, split: str, domain: str) -> list[ImageItem]:
        return [] if split == "test" else super().split(split, domain)


class ChangesItsMind(Stripes):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.number = type(self).calls

    def fingerprint(self) -> str:
        return f"{self.number:064x}"


class ShuffledSplit(Stripes):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.step = -1 if type(self).calls % 2 else 1

    def split(self, split: str, domain: str) -> list[ImageItem]:
        return super().split(split, domain)[:: self.step]


class FlickeringPictures(Stripes):
    def split(self, split: str, domain: str) -> list[ImageItem]:
        import numpy as np

        rng = np.random.default_rng()
        return [ImageItem("i", "0" * 64, render=lambda: rng.integers(0, 256, (8, 8, 3), np.uint8))]


class UndeclaredPairs(Stripes):
    paired = True


class Layered(Stripes):
    """A dataset with layers that keeps every promise."""

    classes: tuple[str, ...] = ("sky", "land")

    def layers(self, item: ImageItem) -> dict[str, Any]:
        plane = np.zeros((8, 8), np.uint8)
        plane[4:] = 1
        return {"classes": plane, "depth": plane}


class SmallLayers(Layered):
    def layers(self, item: ImageItem) -> dict[str, Any]:
        return {name: plane[::2] for name, plane in super().layers(item).items()}


class NamelessClass(Layered):
    classes = ("sky",)


class NoDepth(Layered):
    def layers(self, item: ImageItem) -> dict[str, Any]:
        return {"classes": super().layers(item)["classes"]}


def sound_report(run: RunView, out: Path, config: Config) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    (out / "page.txt").write_text("a page")
    return out / "page.txt"


def writes_nothing(run: RunView, out: Path, config: Config) -> Path:
    return out / "page.txt"


def writes_elsewhere(run: RunView, out: Path, config: Config) -> Path:
    (run.path / "page.txt").write_text("a page")
    return run.path / "page.txt"


def changes_the_run(run: RunView, out: Path, config: Config) -> Path:
    (run.path / "environment.json").write_text("{}")
    return sound_report(run, out, config)


def changes_a_table(run: RunView, out: Path, config: Config) -> Path:
    run.measurements["value"] = 0.0
    return sound_report(run, out, config)


def leaves_temporary_files(run: RunView, out: Path, config: Config) -> Path:
    path = sound_report(run, out, config)
    (out / ".page.txt.123").touch()
    return path


def writes_once(run: RunView, out: Path, config: Config) -> Path:
    out.mkdir(parents=True)
    return sound_report(run, out, config)


def another_each_time(run: RunView, out: Path, config: Config) -> Path:
    path = sound_report(run, out, config)
    return path.rename(out / f"page{len(list(out.iterdir()))}.txt")


def without_options(run: RunView, out: Path) -> Path:
    return sound_report(run, out, Config())


class OneByOne:
    """A launcher that keeps every promise."""

    def __init__(self, config: Config, workers: int) -> None:
        self.waiting: list[Task] = []
        self.running: subprocess.Popen[bytes] | None = None

    def submit(self, task: Task) -> None:
        self.waiting.append(task)

    def environment(self, task: Task) -> dict[str, str]:
        return {**os.environ, **task.environment}

    def poll(self) -> list[Ended]:
        if self.running is not None and self.running.poll() is None:
            return []
        ended = [] if self.running is None else [Ended(self.waiting.pop(0).trial)]
        self.running = None
        if self.waiting:
            task = self.waiting[0]
            self.running = subprocess.Popen(
                task.command, env=self.environment(task), stderr=subprocess.DEVNULL
            )
        return ended

    def cancel(self) -> list[Ended]:
        if self.running is not None:
            self.running.terminate()
            self.running.wait()
        ended = [Ended(task.trial, "interrupted") for task in self.waiting]
        self.waiting, self.running = [], None
        return ended


class ForgetsEnvironment(OneByOne):
    def environment(self, task: Task) -> dict[str, str]:
        return dict(os.environ)


class HidesFailures(OneByOne):
    def poll(self) -> list[Ended]:
        failed = self.running is not None and self.running.poll() not in (None, 0)
        return [] if (ended := super().poll()) and failed else ended


class LeavesRunning(OneByOne):
    def cancel(self) -> list[Ended]:
        if self.running is not None:
            LEFT.append(self.running)
        return [Ended(task.trial, "interrupted") for task in self.waiting]


LEFT: list[subprocess.Popen[bytes]] = []
"""Processes that a test has to end."""


class CancelsSilently(OneByOne):
    def cancel(self) -> list[Ended]:
        super().cancel()
        return []
