"""Single trees: a small library of crowns, drawn once, and where they stand in a scene.

Each tree is a picture with several planes: what covers, what is leaf, what is lit, what
holds snow. A broadleaf tree has two of them, in leaf and bare, over the same branches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench_seasons.noise import F32, hash32, smoothstep, unit
from bench_seasons.scene import Geometry, Scene, centre, ground_height

HEIGHT, WIDTH = 256, 192
LEVELS = 7
CONIFERS, BROADLEAFS = 6, 6

COVER, WOOD, LIT, SIDE, SNOW = range(5)
"""Planes of a sprite: opacity; share that is bark; light from above; which side it
faces, -1 to 1; where snow holds."""


@dataclass(frozen=True)
class Sprite:
    """One tree in halving sizes, each ``(5, H, W)``; `aspect` is width over height."""

    levels: tuple[F32, ...]
    aspect: float

    def at_least(self, height: int) -> F32:
        """The smallest size not below `height` pixels."""
        for level in reversed(self.levels):
            if level.shape[1] >= height:
                return level
        return self.levels[0]


def _halve(planes: F32) -> F32:
    """Half the size; the planes are weighted by opacity, so edges do not bleed."""
    cover = np.maximum(planes[:1], 1e-4)
    weighted = np.concatenate([cover, planes[1:] * cover])
    small = (
        weighted[:, ::2, ::2]
        + weighted[:, 1::2, ::2]
        + weighted[:, ::2, 1::2]
        + weighted[:, 1::2, 1::2]
    ) * np.float32(0.25)
    return np.concatenate([small[:1], small[1:] / small[:1]])


def _sprite(planes: F32, aspect: float) -> Sprite:
    levels = [planes.astype(np.float32)]
    while len(levels) < LEVELS and levels[-1].shape[1] > 4:
        levels.append(_halve(levels[-1]))
    return Sprite(tuple(levels), aspect)


def _lattice(seed: int, cells_x: int, cells_y: int) -> F32:
    """Value noise over the sprite's frame, in [0, 1]."""
    table = unit(hash32(np.arange((cells_x + 1) * (cells_y + 1), dtype=np.uint32), seed))
    table = table.reshape(cells_y + 1, cells_x + 1)
    y = np.linspace(0, cells_y, HEIGHT, endpoint=False, dtype=np.float32)
    x = np.linspace(0, cells_x, WIDTH, endpoint=False, dtype=np.float32)
    iy, ix = y.astype(np.int32), x.astype(np.int32)
    ty, tx = (y - iy)[:, None], (x - ix)[None, :]
    top = table[iy][:, ix] + tx * (table[iy][:, ix + 1] - table[iy][:, ix])
    low = table[iy + 1][:, ix] + tx * (table[iy + 1][:, ix + 1] - table[iy + 1][:, ix])
    return np.asarray(top + ty * (low - top))


def _conifer(number: int) -> Sprite:
    """A spruce: whorls of drooping boughs, the upper in front of the lower."""
    rng = np.random.Generator(np.random.Philox(key=[4711, number]))
    u = ((np.arange(WIDTH, dtype=np.float32) + 0.5) / WIDTH * 2 - 1)[None, :]
    q = ((np.arange(HEIGHT, dtype=np.float32) + 0.5) / HEIGHT)[:, None]
    fine, coarse = _lattice(50 + number, 48, 64), _lattice(70 + number, 20, 26)
    planes = np.zeros((5, HEIGHT, WIDTH), np.float32)
    trunk = np.abs(u) < 0.050 * q
    planes[COVER][trunk] = 1.0
    planes[WOOD][trunk] = 1.0
    planes[LIT][trunk] = 0.4
    count = 13 + int(rng.random() * 6)
    slim = 0.75 + 0.25 * float(rng.random())
    for k in reversed(range(count)):
        at = 0.015 + 0.83 * ((k + 0.35 * float(rng.random())) / count)
        for hand in (-1.0, 1.0):
            grown = 0.72 + 0.45 * float(rng.random())
            reach = min(1.0, (0.05 + 0.95 * at) * slim * grown)
            out = u * hand
            s = np.clip(out / reach, 0.0, 1.0)
            droop = (0.055 + 0.075 * at) * s * (1.35 - 0.55 * s)
            top = at + droop - 0.028 * (1 - s) + 0.012 * (coarse - 0.5)
            thick = (0.022 + 0.075 * at) * (1.0 - s * s) + 0.010
            hang = thick * (0.55 + 0.9 * fine)
            t = (q - top) / hang
            bough = (
                (t > 0.0)
                & (t < 1.0)
                & (out > -0.06 * min(1.0, 0.1 + 2.0 * at))
                & (out < reach * (0.86 + 0.28 * fine))
            )
            planes[COVER][bough] = 1.0
            planes[WOOD][bough] = 0.0
            light = np.broadcast_to(1.0 - 0.80 * t + 0.45 * (fine - 0.5), bough.shape)
            planes[LIT][bough] = np.clip(light, 0.05, 1.2)[bough]
            facing = np.broadcast_to(u * 0.9 + hand * 0.15, bough.shape)
            planes[SIDE][bough] = np.clip(facing, -1, 1)[bough]
            load = smoothstep(0.62, 0.25, t + 0.5 * (coarse - 0.5))
            planes[SNOW][bough] = np.broadcast_to(load, bough.shape)[bough]
    return _sprite(planes, 0.46)


def _grow(
    rng: np.random.Generator,
    x: float,
    y: float,
    dx: float,
    dy: float,
    length: float,
    thick: float,
    level: int,
    out: list[tuple[float, float, float, float, float, int]],
) -> None:
    """Branches as segments (from, to, thickness, level), by recursion; y grows upwards."""
    ex, ey = x + dx * length, y + dy * length
    out.append((x, y, ex, ey, thick, level))
    if level == 6:
        return
    forks = 3 if level in (1, 2) else 2
    for fork in range(forks):
        lean = (fork - (forks - 1) / 2) * (0.85 if forks == 2 else 0.62)
        lean += 0.55 * (float(rng.random()) - 0.5)
        nx, ny = dx + dy * lean, dy - dx * lean + 0.10
        norm = 1.0 / math.sqrt(nx * nx + ny * ny)
        shorter = 0.70 + 0.16 * float(rng.random())
        _grow(rng, ex, ey, nx * norm, ny * norm, length * shorter, thick * 0.66, level + 1, out)


def _broadleaf(number: int) -> tuple[Sprite, Sprite]:
    """One broadleaf tree in leaf, and bare."""
    rng = np.random.Generator(np.random.Philox(key=[1789, number]))
    segments: list[tuple[float, float, float, float, float, int]] = []
    _grow(rng, 0.0, 0.0, 0.0, 1.0, 0.13, 0.017, 0, segments)
    aspect = 0.80
    tall = max(s[3] for s in segments) + 0.05
    wide = max(abs(s[2]) for s in segments) + 0.06
    scale_y, scale_x = 0.98 / tall, 0.94 * aspect / 2 / wide
    # Frame coordinates in units of the height: x around 0, y from the top down.
    gx = ((np.arange(WIDTH, dtype=np.float32) + 0.5) / WIDTH - 0.5) * aspect
    gy = (np.arange(HEIGHT, dtype=np.float32) + 0.5) / HEIGHT
    bare = np.zeros((5, HEIGHT, WIDTH), np.float32)
    bare[WOOD] = 1.0

    def window(x: float, y: float, r: float) -> tuple[slice, slice]:
        x0, x1 = np.searchsorted(gx, [x - r, x + r])
        y0, y1 = np.searchsorted(gy, [y - r, y + r])
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))

    for ax, ay, bx, by, thick, _ in segments:
        ax, bx, ay, by = ax * scale_x, bx * scale_x, 1 - ay * scale_y, 1 - by * scale_y
        half = max(thick, 0.0028)
        lx, ly = bx - ax, by - ay
        long = lx * lx + ly * ly + 1e-9
        rows, cols = window((ax + bx) / 2, (ay + by) / 2, math.sqrt(long) / 2 + half + 0.01)
        px, py = gx[None, cols] - ax, gy[rows, None] - ay
        t = np.clip((px * lx + py * ly) * (1 / long), 0.0, 1.0)
        ox, oy = px - t * lx, py - t * ly
        near = np.sqrt(ox * ox + oy * oy)
        cover = np.clip((half - near) * (1 / 0.004) + 0.5, 0.0, 1.0)
        keep = cover > bare[COVER][rows, cols]
        bare[COVER][rows, cols] = np.maximum(bare[COVER][rows, cols], cover)
        bare[SIDE][rows, cols] = np.where(keep, ox / half, bare[SIDE][rows, cols])
        bare[LIT][rows, cols] = np.where(keep, 0.75, bare[LIT][rows, cols])
        flat = abs(lx) / (abs(lx) + abs(ly) + 1e-6)
        load = smoothstep(0.25, -0.6, oy / half) * min(1.0, 0.35 + flat)
        bare[SNOW][rows, cols] = np.where(keep, load, bare[SNOW][rows, cols])
    leafy = bare.copy()
    fine = _lattice(300 + number, 64, 85)
    # Clumps from the back (low and wide) to the front (high), so that each one's lit top
    # stands before the shaded foot of the one above it.
    tips = [(bx * scale_x, 1 - by * scale_y) for _, _, bx, by, _, level in segments if level >= 3]
    order = sorted(tips, key=lambda tip: tip[1])
    for x, y in order:
        r = 0.040 + 0.030 * float(rng.random())
        rows, cols = window(x, y, r * 1.35)
        dx, dy = (gx[None, cols] - x) / r, (gy[rows, None] - y) / (r * 0.85)
        d = dx * dx + dy * dy + (fine[rows, cols] - 0.5) * 1.5
        leaf = d < 1.0
        lit = np.clip(
            0.62 - 0.36 * dy + (fine[rows, cols] - 0.5) * 0.9 - (y - 0.45) * 0.35, 0.08, 1.2
        )
        face = np.broadcast_to(np.clip(dx * 0.5 + x / aspect * 1.5, -1, 1), leaf.shape)
        for plane, value in ((COVER, 1.0), (WOOD, 0.0), (LIT, lit), (SIDE, face), (SNOW, 0.0)):
            leafy[plane][rows, cols] = np.where(leaf, value, leafy[plane][rows, cols])
    return _sprite(leafy, aspect), _sprite(bare, aspect)


@lru_cache(maxsize=1)
def library() -> tuple[list[Sprite], list[Sprite], list[Sprite]]:
    """Conifers; broadleaf trees in leaf; the same broadleaf trees bare."""
    conifers = [_conifer(number) for number in range(CONIFERS)]
    pairs = [_broadleaf(number) for number in range(BROADLEAFS)]
    return conifers, [leafy for leafy, _ in pairs], [bare for _, bare in pairs]


@dataclass(frozen=True)
class Tree:
    """One tree in a scene: foot (metres), height, which crown, and a shade of its own."""

    x: float
    y: float
    z: float
    height: float
    broad: bool
    crown: int
    flip: bool
    shade: float


def plant(scene: Scene) -> list[Tree]:
    """The single trees of a scene, from far to near.

    A few frame the view at its sides, more stand in groups behind them. Where a tree would
    stand in water or on a steep slope, none does.
    """
    tan_half = scene.tan_half
    rng = np.random.Generator(np.random.Philox(key=[scene.seed ^ 0x7EE5, scene.index]))
    r = rng.random((96, 8))
    side = 1.0 if r[0, 7] < 0.5 else -1.0
    wooded = int(7 + 10 * scene.trees)
    spots: list[tuple[float, float, float]] = []
    for k in range(wooded):
        z = 30.0 + 75.0 * r[k, 0] * (0.5 + 0.5 * r[k, 0])
        hand = side if r[k, 1] < 0.72 else -side
        spots.append((hand * tan_half * z * (0.50 + 0.55 * r[k, 2]), z, 1.0))
    for k in range(wooded, min(96, wooded + int(20 + 50 * scene.trees))):
        z = 95.0 + 420.0 * r[k, 0] * r[k, 0]
        hand = side if r[k, 1] < 0.6 else -side
        off = 1.0 - r[k, 2] * r[k, 2] * 0.85
        spots.append((hand * tan_half * z * off, z, 0.8))
    young = rng.random((9, 2))
    first_young = len(spots)
    for a, b in young[: 96 - first_young]:
        z = 20.0 + 60.0 * a
        spots.append((tan_half * z * (2.0 * b - 1.0), z, 0.10 + 0.16 * float(a * b)))
    x = np.array([s[0] for s in spots], np.float32)
    z = np.array([s[1] for s in spots], np.float32)
    y, env = ground_height(scene, x, z)
    open_middle = np.abs(x - centre(scene, z))
    trees = []
    for k in range(len(spots)):
        small = k >= first_young
        room = 0.0 if small else 9.0 + 0.04 * z[k]
        if y[k] < 0.9 or env[k] > 0.35 or open_middle[k] < room:
            continue
        broad = not small and bool(r[k, 3] > scene.conifers * 0.92)
        height = (9.0 + 8.0 * r[k, 4]) if broad else (11.0 + 15.0 * r[k, 4])
        trees.append(
            Tree(
                x=float(x[k]),
                y=float(y[k]),
                z=float(z[k]),
                height=float(height * spots[k][2]),
                broad=broad,
                crown=int(r[k, 5] * (BROADLEAFS if broad else CONIFERS)),
                flip=bool(r[k, 6] < 0.5),
                shade=float(r[k, 7]),
            )
        )
    return sorted(trees, key=lambda tree: -tree.z)


Paint = Callable[[Tree, F32], Sequence[F32 | np.float32]]
"""Gives the colour of a tree's planes, channel by channel."""


def stand(
    base: list[F32],
    geometry: Geometry,
    trees: list[Tree],
    leafless: bool,
    paint: Paint,
) -> None:
    """Put trees into a picture, in place; what is nearer than a tree hides it."""
    conifers, leafy, bare = library()
    size = geometry.kind.shape[0]
    eye = geometry.eye
    for tree in trees:
        sprite = (bare if leafless else leafy)[tree.crown] if tree.broad else conifers[tree.crown]
        scale = geometry.focal / tree.z
        height = tree.height * scale
        width = height * sprite.aspect
        foot = geometry.horizon - (tree.y - 0.25 - eye) * scale
        left = size / 2 + tree.x * scale - width / 2
        top = foot - height
        r0, r1 = max(0, int(top)), min(size, int(foot) + 1)
        c0, c1 = max(0, int(left)), min(size, int(left + width) + 1)
        if r1 <= r0 or c1 <= c0 or height < 2.0:
            continue
        level = sprite.at_least(int(height))
        v = (np.arange(r0, r1, dtype=np.float32) + 0.5 - top) * (level.shape[1] / height)
        u = (np.arange(c0, c1, dtype=np.float32) + 0.5 - left) * (level.shape[2] / width)
        iv = np.clip(v.astype(np.int32), 0, level.shape[1] - 1)
        iu = np.clip(u.astype(np.int32), 0, level.shape[2] - 1)
        planes = level[:, iv[:, None], (level.shape[2] - 1 - iu if tree.flip else iu)[None, :]]
        if tree.flip:
            planes[SIDE] *= -1
        box = (slice(r0, r1), slice(c0, c1))
        alpha = planes[COVER] * (geometry.z[box] > tree.z * 0.93)
        # The foot sinks into grass or snow instead of being cut off.
        alpha = (
            alpha
            * np.clip(
                (height - (v * (height / level.shape[1]))) * (1 / (0.03 * height + 1)), 0.0, 1.0
            )[:, None]
        )
        inside = (v >= 0) & (v < level.shape[1])
        alpha = alpha * inside[:, None] * ((u >= 0) & (u < level.shape[2]))[None, :]
        for channel, colour in enumerate(paint(tree, planes)):
            target = base[channel][box]
            target += alpha * (colour - target)
