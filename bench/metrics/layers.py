"""Season and content region by region, where a dataset knows what each pixel shows.

Everything is relative: 0 and 1 are what no translation at all and a true look score, or
what chance and a true look score. So a number means the same at every size and difficulty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from bench.api import Measurement, MetricContext, NotMeasurable, Picture
from bench.stats import NOT_NEGATIVE, Floats, bootstrap_mean

Pixels = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

LEAST_SHARE = 0.005
"""Regions below this share of the picture are too small to judge."""
JUMP = 0.3
"""Neighbours whose log depths differ by this are an edge; so are places, in order."""
CELLS = 16
"""Places along one side in which depth is read."""
_LEAST = 8


@dataclass(frozen=True)
class Ground:
    """One input's layers, at the size of its pictures.

    Parameters
    ----------
    classes
        uint8 ``(H, W)``.
    depth
        Logarithm of the depth, ``(H, W)``.
    names
        Of the classes.
    """

    classes: npt.NDArray[np.uint8]
    depth: Floats
    names: tuple[str, ...]

    @property
    def sky(self) -> Bool:
        """Where the sky is."""
        return np.asarray(self.classes == self.names.index("sky"))


def _grounds(context: MetricContext) -> dict[str, Ground]:
    """The layers of every input that has truths."""

    def make() -> dict[str, Ground]:
        found = {}
        for key, layers in context.layers.items():
            if context.truths.get(key):
                planes = layers()
                size = context.inputs[key].load().shape[:2]
                depth = np.log(np.maximum(_fit(planes["depth"], size), 1).astype(np.float64))
                found[key] = Ground(_fit(planes["classes"], size), depth, context.classes)  # type: ignore[arg-type]
        return {key: found[key] for key in context.ids if key in found}

    made = context.once("layers/grounds", make)
    if not made:
        raise NotMeasurable(f"{context.name} needs layers and truths of one input at least")
    return made


def _fit(plane: npt.NDArray[np.generic], size: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """A plane of labels at another size: the nearest label."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, plane.shape, strict=True))
    return plane[np.ix_(rows, columns)]


def _each(samples: Sequence[Picture], judge: Callable[[Pixels], float]) -> Floats:
    """One value for each sample; equal pictures are judged once."""
    done: dict[str, float] = {}
    for sample in samples:
        if sample.digest not in done:
            done[sample.digest] = judge(sample.load())
    return np.array([done[sample.digest] for sample in samples])


# ------------------------------------------------------------------------- the season


def palette(pixels: Pixels, mask: Bool) -> Floats:
    """Mean and spread of the colours of a region, six numbers in [0, 1]."""
    inside = pixels[mask] / 255.0
    return np.concatenate([inside.mean(0), inside.std(0)])


def season_error(context: MetricContext) -> Iterator[Measurement]:
    """``season_error``, and the same for each class: colours to the nearest true look's.

    In units of what the inputs themselves score: 1 is doing nothing, 0 a true look. The
    nearest look is taken in each region by itself.
    """
    left: dict[str, dict[str, Floats]] = {}
    begun: dict[str, dict[str, float]] = {}
    for key, ground in _grounds(context).items():
        truths = [true.load() for true in context.truths[key]]
        source = context.inputs[key].load()
        for index, name in enumerate(ground.names):
            mask = np.asarray(ground.classes == index)
            if mask.mean() < LEAST_SHARE:
                continue
            true = np.stack([palette(pixels, mask) for pixels in truths])

            def away(pixels: Pixels, mask: Bool = mask, true: Floats = true) -> float:
                return float(np.linalg.norm(palette(pixels, mask) - true, axis=1).min())

            left.setdefault(name, {})[key] = _each(context.outputs[key], away)
            begun.setdefault(name, {})[key] = away(source)
    yield from _relative(context, "season_error", left, begun)


def _relative(
    context: MetricContext,
    metric: str,
    left: Mapping[str, Mapping[str, Floats]],
    begun: Mapping[str, Mapping[str, float]],
) -> Iterator[Measurement]:
    """Over all regions together, then for each; a region that no season changes is left out."""
    keys = sorted({key for found in left.values() for key in found})
    together = {
        key: np.sum([found[key] for found in left.values() if key in found], axis=0) for key in keys
    }
    unit = float(np.mean([sum(found.get(key, 0.0) for found in begun.values()) for key in keys]))
    for name, values, scale in (
        (metric, together, unit),
        *(
            (f"{metric}_{region}", left[region], float(np.mean(list(begun[region].values()))))
            for region in left
        ),
    ):
        if scale > 0:
            rows = [row / scale for row in values.values()]
            yield context.measurement(
                name,
                bootstrap_mean([float(row.mean()) for row in rows], within=NOT_NEGATIVE),
                n=len(rows),
                per_sample=context.per_sample(rows, list(values)) if name == metric else (),
            )


# ------------------------------------------------------------------------ the skyline


@dataclass(frozen=True)
class Skyline:
    """Where the land meets the sky: the columns, and the first row that is land in each."""

    columns: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    size: int

    @classmethod
    def of(cls, ground: Ground) -> Skyline:
        """From the classes; columns whose skyline is at the rim are left out."""
        land = ~ground.sky
        height = len(land)
        rows = np.where(land.any(0), land.argmax(0), 0)
        margin = 2 + cls.band(height)
        columns = np.flatnonzero((rows >= margin) & (rows <= height - margin))
        return cls(columns, rows[columns], height)

    @staticmethod
    def band(height: int) -> int:
        """Rows above and below that are compared."""
        return max(2, height // 32)

    @property
    def reach(self) -> int:
        """How far from the true row another one is looked for."""
        return max(4, self.size // 8)

    @property
    def near(self) -> int:
        """How far from the true row counts as found."""
        return max(1, self.size // 64)

    @property
    def chance(self) -> float:
        """How often a picture of something else has it there."""
        return (2 * self.near + 1) / (2 * self.reach + 1)

    def shown(self, pixels: Pixels) -> Bool:
        """For each column, whether the strongest step from above to below is at the skyline."""
        smooth = ndimage.uniform_filter1d(pixels / 255.0, 3, axis=1, mode="nearest")
        total = np.concatenate([np.zeros_like(smooth[:1]), smooth.cumsum(0)])
        band = self.band(self.size)
        step = np.zeros(smooth.shape[:2])
        middle = total[band:-band]
        change = (total[2 * band :] - middle) - (middle - total[: -2 * band])
        step[band : band + len(change)] = np.sqrt((change[: self.size - band] ** 2).sum(-1))
        near = self.rows[:, None] + np.arange(-self.reach, self.reach + 1)
        inside = (near >= band) & (near <= self.size - band)
        seen = np.where(inside, step[near.clip(0, self.size - 1), self.columns[:, None]], -1.0)
        return np.asarray(np.abs(seen.argmax(1) - self.reach) <= self.near)


def skyline(context: MetricContext) -> Iterator[Measurement]:
    """``skyline_kept``: share of the skyline that outputs show, where most true looks do.

    1 as in true looks on average, 0 by chance.
    """
    found, true = {}, []
    for key, ground in _grounds(context).items():
        line, truths = Skyline.of(ground), context.truths[key]
        visible = np.mean([line.shown(one.load()) for one in truths], axis=0) > 0.5
        if not visible.any():
            continue

        def kept(pixels: Pixels, line: Skyline = line, visible: Bool = visible) -> float:
            return float(line.shown(pixels)[visible].mean()) - line.chance

        found[key] = _each(context.outputs[key], kept)
        true.append(_each(truths, kept).mean())
    yield _of_truth(context, "skyline_kept", found, true)


def _of_truth(
    context: MetricContext, metric: str, found: Mapping[str, Floats], true: Sequence[float]
) -> Measurement:
    """Rows by input, in units of what true looks score on average."""
    if not found:
        raise NotMeasurable(f"{metric}: the true looks do not show it")
    unit = max(float(np.mean(true)), 1e-6)
    rows = [row / unit for row in found.values()]
    return context.measurement(
        metric,
        bootstrap_mean([float(row.mean()) for row in rows]),
        n=len(rows),
        per_sample=context.per_sample(rows, list(found)),
    )


# -------------------------------------------------------------------------- the edges


def outlines(ground: Ground) -> Bool:
    """Where one thing ends and another begins: the class changes or the depth jumps."""
    edge = np.zeros(ground.classes.shape, bool)
    for axis in (0, 1):
        changes = (np.diff(ground.classes.astype(np.int16), axis=axis) != 0) | (
            np.abs(np.diff(ground.depth, axis=axis)) > JUMP
        )
        edge[: changes.shape[0], : changes.shape[1]] |= changes
    return edge


def gradient(pixels: Pixels) -> Floats:
    """How much each pixel differs from its right and lower neighbours, ``(H, W)``."""
    x = pixels / 255.0
    squared = np.zeros(x.shape[:2])
    for axis in (0, 1):
        steps = (np.diff(x, axis=axis) ** 2).sum(-1)
        squared[: steps.shape[0], : steps.shape[1]] += steps
    return np.asarray(np.sqrt(squared))


def rowwise_auc(values: Floats, positive: Bool) -> float:
    """How often a positive place of a row has the larger value than another of that row.

    One half by chance: what all pictures share from top to bottom counts for nothing.
    Rows of one kind say nothing; one half too where all are.
    """
    ranks = stats.rankdata(values, axis=1)
    n = positive.sum(1)
    pairs = n * (positive.shape[1] - n)
    if not pairs.any():
        return 0.5
    wins = (ranks * positive).sum(1) - n * (n + 1) / 2
    return float(wins[pairs > 0].sum() / pairs.sum())


def edges(context: MetricContext) -> Iterator[Measurement]:
    """``edges_kept``: how clearly the outlines of the scene are edges of the outputs.

    1 as in true looks on average, 0 by chance; above 1 where they are clearer than that.
    """
    found, true = {}, []
    for key, ground in _grounds(context).items():
        outline = outlines(ground)

        def clear(pixels: Pixels, outline: Bool = outline) -> float:
            return rowwise_auc(gradient(pixels), outline) - 0.5

        found[key] = _each(context.outputs[key], clear)
        true.append(_each(context.truths[key], clear).mean())
    yield _of_truth(context, "edges_kept", found, true)


# -------------------------------------------------------------------------- the depth


def cells(pixels: Pixels) -> Floats:
    """What each place looks like, among its neighbours and against its row: ``(C, C, F)``."""
    side = len(pixels) // CELLS
    cut = pixels[: side * CELLS, : side * CELLS]
    blocks = (cut / 255.0).reshape(CELLS, side, CELLS, side, 3)
    edge = gradient(cut).reshape(CELLS, side, CELLS, side).mean((1, 3))[..., None]
    own = np.concatenate([blocks.mean((1, 3)), blocks.std((1, 3)), edge], -1)
    padded = np.pad(own, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = [
        own,
        *(ndimage.uniform_filter(own, (n, n, 1), mode="nearest") for n in (3, 5)),
        padded[:-2, 1:-1],
        padded[2:, 1:-1],
        padded[1:-1, :-2],
        padded[1:-1, 2:],
    ]
    seen = np.concatenate(around, -1)
    return np.concatenate([seen, seen - seen.mean(1, keepdims=True)], -1)


def _depth_of_cells(ground: Ground) -> Floats:
    """Median log depth of each place ``(C, C)``; not a number where the sky is."""
    side = len(ground.depth) // CELLS

    def blocks(plane: npt.NDArray[np.generic]) -> Floats:
        cut = plane[: side * CELLS, : side * CELLS].astype(np.float64)
        cut = cut.reshape(CELLS, side, CELLS, side).transpose(0, 2, 1, 3)
        return cut.reshape(CELLS, CELLS, -1)

    depth = np.median(blocks(ground.depth), -1)
    sky = blocks(ground.sky).mean(-1) > 0.3
    return np.where(sky, np.nan, depth)


def order_kept(seen: Floats, depth: Floats) -> tuple[int, int]:
    """Pairs of places of one row that are seen in the right order, and all such pairs.

    Parameters
    ----------
    seen, depth
        ``(C, C)``; places that are not finite in `depth` do not count, nor do pairs that
        are closer than `JUMP`.
    """
    farther = depth[:, :, None] - depth[:, None, :] > JUMP
    right = farther & (seen[:, :, None] > seen[:, None, :])
    return int(right.sum()), int(farther.sum())


def depth_order(context: MetricContext) -> Iterator[Measurement]:
    """``depth_order_kept``: whether what is farther than usual at its place looks farther.

    A ridge regression learns from the true looks and the inputs of one half of the inputs
    how deep a place looks, and reads the outputs of the other half. Only departures from
    the mean depth of a place count: what all scenes share counts for nothing. 1 as
    in true looks, 0 by chance.
    """
    grounds = _grounds(context)
    if len(grounds) < _LEAST or len(next(iter(grounds.values())).depth) < CELLS:
        raise NotMeasurable(f"{context.name} needs {_LEAST} inputs of {CELLS} pixels a side")
    depths = np.stack([_depth_of_cells(ground) for ground in grounds.values()])
    known = np.isfinite(depths)
    usual = np.where(known, depths, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    unusual = depths - usual
    keys = list(grounds)
    readers = [
        _depth_reader(
            [
                (unusual[at], pixels)
                for at in range(1 - half, len(keys), 2)
                for pixels in (
                    *(true.load() for true in context.truths[keys[at]]),
                    context.inputs[keys[at]].load(),
                )
            ]
        )
        for half in (0, 1)
    ]
    found, true = {}, []
    for at, key in enumerate(keys):

        def kept(pixels: Pixels, at: int = at) -> float:
            right, pairs = order_kept(readers[at % 2](pixels), unusual[at])
            return right / pairs - 0.5 if pairs else np.nan

        values = _each(context.outputs[key], kept)
        if np.isfinite(values).all():
            found[key] = values
            true.append(_each(context.truths[key], kept).mean())
    yield _of_truth(context, "depth_order_kept", found, true)


def _depth_reader(pictures: Sequence[tuple[Floats, Pixels]]) -> Callable[[Pixels], Floats]:
    """Ridge regression from what places look like to how unusually deep they are."""
    parts = [(cells(pixels), depth) for depth, pixels in pictures]
    x = np.concatenate([seen[np.isfinite(depth)] for seen, depth in parts])
    y = np.concatenate([depth[np.isfinite(depth)] for _, depth in parts])
    mean, scale, centre = x.mean(0), x.std(0) + 1e-6, y.mean()
    x = (x - mean) / scale
    weights = np.linalg.solve(x.T @ x + 0.003 * len(x) * np.eye(x.shape[1]), x.T @ (y - centre))
    return lambda pixels: np.asarray((cells(pixels) - mean) / scale @ weights + centre)
