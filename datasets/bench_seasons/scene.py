"""Scenes: where mountains, water and trees stand, and what the camera sees of them.

World coordinates are metres: X to the right, Y up from the water, Z into the picture. A
landscape is a height field, seen by a camera that looks along Z. It is cut into slices
of growing depth; for each image column the running minimum of the projected heights says
which slice each pixel meets first. Forests join the same search as rows of tree crowns,
one behind each slice of ground. The season changes nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench_seasons.noise import (
    CLOUD,
    F32,
    MOUNTAIN,
    bilinear,
    cloud_tile,
    hash32,
    mountain_tile,
    smoothstep,
    unit,
)

Bool = npt.NDArray[np.bool_]
Water = Literal["lake", "river", "none"]

SKY, GROUND, ROCK, FOREST, WATER = range(5)
MASKS = ("sky", "ground", "rock", "forest", "water")
"""Names of the classes of a pixel; their index is the value in the class map."""

TILE = 15000.0
"""Metres that one period of the mountain tile covers."""
FAR = 16000.0
SLICES = 400
"""The same at every size, and so are the trees, which stand on slices."""


@dataclass(frozen=True)
class Scene:
    """One place and one camera; every number is drawn from (seed, index).

    Lengths are metres; `horizon` is a share of the image height from the top, `tan_half`
    the tangent of half the angle of view.
    """

    seed: int
    index: int
    water: Water
    horizon: float
    tan_half: float
    eye: float
    relief: float
    rugged: float
    peaks: tuple[float, float, float, float]
    start: float
    rise: float
    valley: tuple[float, float]
    wall: float
    bend: tuple[float, float, float]
    lake: tuple[float, float, float, float]
    summit: tuple[float, float, float, float]
    trees: float
    conifers: float
    tree_line: float
    clearing: float

    @classmethod
    def draw(cls, seed: int, index: int) -> Scene:
        """The scene of this number."""
        rng = np.random.Generator(np.random.Philox(key=[seed, index]))

        def between(low: float, high: float) -> float:
            return low + (high - low) * float(rng.random())

        pick = rng.random()
        water: Water = "lake" if pick < 0.55 else "river" if pick < 0.8 else "none"
        angle = between(-1.0, 1.0)
        norm = 1.0 / (1.0 + angle * angle)
        near = between(26.0, 46.0)
        return cls(
            seed=seed,
            index=index,
            water=water,
            horizon=between(0.60, 0.70),
            tan_half=between(0.44, 0.60),
            eye=between(6.5, 11.0) if water == "lake" else between(6.0, 12.0),
            relief=between(1400.0, 2300.0),
            rugged=between(0.15, 1.0),
            # A rational parametrisation of the circle turns the tile without sine or cosine.
            peaks=((1 - angle * angle) * norm, 2 * angle * norm, rng.random(), rng.random()),
            start=between(1100.0, 2600.0),
            rise=between(3500.0, 6500.0),
            valley=(between(60.0, 260.0), between(0.05, 0.22)),
            wall=between(0.25, 0.75),
            bend=(between(20.0, 140.0), between(900.0, 2600.0), rng.random()),
            lake=(between(-60, 60), near, between(300.0, 1300.0), between(140.0, 420.0)),
            summit=(
                between(-0.55, 0.55),
                between(4200.0, 7000.0),
                between(900.0, 1700.0),
                between(500.0, 1300.0),
            ),
            trees=between(0.35, 0.95),
            conifers=between(0.45, 1.0),
            tree_line=between(420.0, 760.0),
            clearing=between(25.0, 110.0),
        )


@dataclass(frozen=True)
class Geometry:
    """What the camera sees: one value a pixel, all ``(H, W)`` float32 unless noted.

    Parameters
    ----------
    kind
        uint8 class of the pixel, an index into :data:`MASKS`.
    x, y, z
        World position; for the sky `z` is :data:`FAR`.
    nx, ny, nz
        Surface normal.
    up
        For trees, height within the crown from 0 (foot) to 1 (tip).
    side
        For trees, place across the crown from -1 to 1.
    tree
        uint32 hash of the tree that is seen; bits say its kind and its shade.
    lake_row
        int32; for water, the row of the shore that mirrors here.
    """

    scene: Scene
    kind: npt.NDArray[np.uint8]
    x: F32
    y: F32
    z: F32
    nx: F32
    ny: F32
    nz: F32
    up: F32
    side: F32
    tree: npt.NDArray[np.uint32]
    lake_row: npt.NDArray[np.int32]
    focal: float
    horizon: float
    eye: float


def parabola(t: F32) -> F32:
    """A wave of period 1 like the sine's, of two parabolas: exact everywhere."""
    p = 2.0 * (t - np.floor(t)) - 1.0
    return -4.0 * p * (1.0 - np.abs(p))


def centre(scene: Scene, z: F32) -> F32:
    """X of the valley's middle at depth `z`."""
    swing, period, phase = scene.bend
    t = z * (1.0 / period) + phase
    start = parabola(np.full(1, phase, np.float32))[0]
    return np.asarray(swing * (parabola(t) - start) * smoothstep(0.0, 900.0, z))


def envelope(scene: Scene, x: F32, z: F32) -> F32:
    """How much of the mountains stands at a place, from 0 (valley floor) to 1."""
    aside = np.abs(x - centre(scene, z))
    width = scene.valley[0] + scene.valley[1] * z
    wall = smoothstep(1.0, 3.4, aside / (width + 60.0)) * scene.wall
    back = smoothstep(scene.start, scene.start + scene.rise, z)
    away = smoothstep(150.0, 900.0, z)
    return 1.0 - (1.0 - wall * away) * (1.0 - back)


def to_tile(scene: Scene, x: F32, z: F32) -> tuple[F32, F32]:
    """World position in periods of the mountain tile."""
    cos, sin, ox, oz = scene.peaks
    s = 1.0 / TILE
    return (x * cos - z * sin) * s + ox, (x * sin + z * cos) * s + oz


def floor_height(scene: Scene, x: F32, z: F32) -> F32:
    """Height of the valley floor above the water; below 0 there is water."""
    tile = cloud_tile()
    ox, oz = scene.peaks[2], scene.peaks[3]
    rough = bilinear(tile, CLOUD, x * (1 / 900.0) + ox, z * (1 / 900.0) + oz) - 0.5
    aside = x - centre(scene, z)
    if scene.water == "river":
        aside = aside - scene.lake[0] * 0.15 - 5.0 * (1.0 if scene.lake[0] > 0 else -1.0)
    if scene.water == "lake":
        cx, near, length, half = scene.lake
        t = (z - near) * (1.0 / length)
        across = (aside - cx) * (1.0 / half)
        ring = across * across + (2.0 * t - 1.0) * (2.0 * t - 1.0) - 1.0
        shore = np.clip(ring * 9.0, -8.0, 7.0)
        return shore + rough * 7.0 + 1.2
    swell = rough * 14.0 + 3.0
    if scene.water == "river":
        bed = (
            np.abs(
                aside
                - (4.0 + 0.05 * np.minimum(z, 600.0)) * parabola(z * (1 / 310.0) + scene.peaks[2])
            )
            * (1.0 / 10.0)
            - 1.0
            + rough * 0.9
        )
        return np.minimum(np.clip(bed * 2.2, -4.0, 60.0), np.maximum(swell, 1.5))
    return np.maximum(swell, 0.6)


def ground_height(scene: Scene, x: F32, z: F32) -> tuple[F32, F32]:
    """Height of the ground in metres above the water, and the envelope it was made with."""
    env = envelope(scene, x, z)
    tx, tz = to_tile(scene, x, z)
    peak = bilinear(mountain_tile(), MOUNTAIN, tx, tz)
    return floor_height(scene, x, z) + mountains(scene, x, z, env, peak), env


def mountains(scene: Scene, x: F32, z: F32, env: F32, peak: F32) -> F32:
    """Metres of mountain at a place, from the envelope and the tile's height there.

    One summit, wide and tall, rises above the others and draws the eye.
    """
    sharp = peak * (scene.rugged * peak + 1.0 - scene.rugged)
    at, far, wide, tall = scene.summit
    u, w = (x - at * far) * (1.0 / wide), (z - far) * (1.0 / wide)
    bump = 1.0 / (1.0 + u * u + w * w)
    height = env * (scene.relief * (0.06 + 0.94 * sharp) + tall * bump * (0.35 + 0.9 * peak))
    return np.asarray(height)


def _slices(scene: Scene, size: int, focal: float, horizon: float, count: int) -> F32:
    """Depths of the slices, each the same factor behind the one before."""
    nearest = 0.45 * scene.eye * focal / (size - horizon)
    # Rounded, so that a last bit of `pow` that differs between systems has no effect.
    ratio = round((FAR / nearest) ** (1.0 / (count - 1)), 9)
    return np.asarray((nearest * np.cumprod(np.full(count, ratio)) / ratio).astype(np.float32))


def _forest(
    scene: Scene, x: F32, z: F32, ground: F32, steep: F32
) -> tuple[F32, F32, F32, npt.NDArray[np.uint32]]:
    """Crowns on the grid: height above ground, full height, place across, tree hash."""
    tile = cloud_tile()
    depth = z[:, :1]
    patch = bilinear(tile, CLOUD, x * (1 / 700.0) + 0.3, z * (1 / 700.0) + scene.peaks[3])
    aside = np.abs(x - centre(scene, z))
    density = scene.trees * 1.25 - 0.35 + (patch - 0.5) * 2.6
    density -= smoothstep(0.55, 1.15, steep) * 1.4
    density -= smoothstep(scene.tree_line * 0.75, scene.tree_line * 1.15, ground) * 1.6
    density -= smoothstep(scene.clearing * 1.6, scene.clearing * 0.6, aside + 0.05 * depth) * (
        1.2 if scene.water != "lake" else 0.0
    )
    density -= smoothstep(1.6, 0.4, ground) * 4.0
    density -= smoothstep(110.0, 60.0, depth) * 4.0
    cell = np.maximum(6.5, depth * 0.0045)
    position = x / cell
    own = np.floor(position)
    row = np.arange(len(z), dtype=np.int64)[:, None] * 8191
    neighbour = own + np.where(position - own < 0.5, -1.0, 1.0)
    best = np.zeros_like(x)
    full = np.ones_like(x)
    side = np.zeros_like(x)
    tree = np.zeros(x.shape, np.uint32)
    for column in (own, neighbour):
        bits = hash32(column.astype(np.int64) + row, scene.seed + 31 * scene.index)
        a, b = unit(bits), unit(bits * np.uint32(2654435761))
        centre_x = (column + 0.25 + 0.5 * a) * cell
        # Round crowns only where they are small: near ones would be seen to be solid when bare.
        broad = (a * 0.999 > scene.conifers + (patch - 0.5) * 1.2) & (depth > 330.0)
        grown = np.clip((density - b * 0.9) * 3.0, 0.0, 1.0)
        tall = np.where(broad, 9.0 + 7.0 * b, 13.0 + 15.0 * b) * grown
        radius = np.maximum(np.where(broad, 0.42 * tall, 0.2 * tall), cell * 0.36) + 1e-3
        t = (x - centre_x) / radius
        slim = np.clip(1.0 - np.abs(t), 0.0, 1.0)
        shape = np.where(broad, np.sqrt(np.clip(1.0 - t * t, 0.0, 1.0)), slim)
        height = tall * shape
        higher = height > best
        best = np.where(higher, height, best)
        full = np.where(higher, tall + 1e-3, full)
        side = np.where(higher, t, side)
        marked = (bits & np.uint32(0xFFFFFFFE)) | broad.astype(np.uint32)
        tree = np.where(higher, marked, tree)
    return best, full, side, tree


def see(scene: Scene, size: int) -> Geometry:
    """Find what each pixel of a ``size`` × ``size`` picture shows."""
    slices = SLICES
    focal = 0.5 * size / scene.tan_half
    # The camera stands on what is before it, not in it.
    feet = ground_height(scene, np.zeros(4, np.float32), np.linspace(6, 36, 4, dtype=np.float32))[0]
    eye = scene.eye + max(0.0, float(feet.max()))
    horizon = scene.horizon * size
    columns = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) * (1.0 / focal)
    depth = _slices(scene, size, focal, horizon, slices)
    z = np.broadcast_to(depth[:, None], (slices, size)).astype(np.float32)
    x = z * columns
    ground, _ = ground_height(scene, x, z)
    # Slopes on the grid: along a row X changes alone, along a column both do.
    gx = np.empty_like(ground)
    gx[:, 1:-1] = (ground[:, 2:] - ground[:, :-2]) / (x[:, 2:] - x[:, :-2])
    gx[:, 0], gx[:, -1] = gx[:, 1], gx[:, -2]
    gz = np.empty_like(ground)
    gz[1:-1] = (ground[2:] - ground[:-2]) / (z[2:] - z[:-2])
    gz[0], gz[-1] = gz[1], gz[-2]
    gz -= columns * gx
    steep = np.sqrt(gx * gx + gz * gz)
    crown, full, side, tree = _forest(scene, x, z, ground, steep)
    surface = np.maximum(ground, 0.0)
    scale = focal / depth[:, None]
    rows = np.empty((2 * slices, size), np.float32)
    rows[0::2] = horizon - (surface - eye) * scale
    rows[1::2] = rows[0::2] - crown * scale
    return _resolve(
        scene, size, focal, horizon, eye, columns, depth, rows, ground, (gx, gz), (full, side, tree)
    )


def _resolve(
    scene: Scene,
    size: int,
    focal: float,
    horizon: float,
    eye: float,
    columns: F32,
    depth: F32,
    rows: F32,
    ground: F32,
    slopes: tuple[F32, F32],
    crowns: tuple[F32, F32, npt.NDArray[np.uint32]],
) -> Geometry:
    """For each pixel, the first surface that reaches it, and its properties there."""
    count = len(rows)
    seen = np.minimum.accumulate(rows, axis=0)
    # Surface k covers row r when seen[k] <= r + 1/2: count the surfaces that do not yet.
    first_row = np.clip(np.ceil(seen - 0.5), 0, size).astype(np.int32)
    flat = first_row * size + np.arange(size, dtype=np.int32)
    histogram = np.bincount(flat.ravel(), minlength=(size + 1) * size).reshape(size + 1, size)
    index = count - np.cumsum(histogram[:size], axis=0)
    sky = index == count
    entry = np.minimum(index, count - 1).astype(np.int32)
    is_crown = (entry & 1).astype(bool) & ~sky
    slice_ = entry >> 1
    before = np.maximum(slice_ - 1, 0)
    column = np.arange(size, dtype=np.int32)[None, :]
    here, back = slice_ * size + column, before * size + column
    pixel = (np.arange(size, dtype=np.float32) + 0.5)[:, None]
    surface_rows = rows[0::2].reshape(-1)
    row_here, row_back = surface_rows.take(here), surface_rows.take(back)
    t = np.clip((row_back - pixel) / np.maximum(row_back - row_here, 1e-6), 0.0, 1.0)
    t = np.where(is_crown, np.float32(1.0), t).astype(np.float32)

    def mix(grid: F32) -> F32:
        low = grid.reshape(-1).take(back)
        return np.asarray(low + t * (grid.reshape(-1).take(here) - low))

    near, far = depth.take(before), depth.take(slice_)
    z = near + t * (far - near)
    x = z * columns
    height = mix(ground)
    gx, gz = mix(slopes[0]), mix(slopes[1])
    ny = 1.0 / np.sqrt(1.0 + gx * gx + gz * gz)
    full, side, tree = (grid.reshape(-1).take(here) for grid in crowns)
    up = np.clip((row_here - pixel) * z / (focal * full), 0.0, 1.0)
    wet = (height < 0.0) & ~is_crown & ~sky
    kind = np.full((size, size), GROUND, np.uint8)
    kind[is_crown] = FOREST
    kind[wet] = WATER
    kind[sky] = SKY
    steep_rock = (ny < 0.80) & (kind == GROUND) & (z > 200.0)
    kind[steep_rock] = ROCK
    y = np.where(is_crown, height + up * full, np.maximum(height, 0.0)).astype(np.float32)
    line = np.arange(size, dtype=np.int32)[:, None]
    dry = np.where(wet, np.int32(-1), line)
    lake_row = np.maximum.accumulate(dry, axis=0)
    return Geometry(
        scene=scene,
        kind=kind,
        x=x,
        y=y,
        z=np.where(sky, np.float32(FAR), z),
        nx=np.where(wet, np.float32(0.0), -gx * ny),
        ny=np.where(wet, np.float32(1.0), ny),
        nz=np.where(wet, np.float32(0.0), -gz * ny),
        up=up.astype(np.float32),
        side=side,
        tree=tree,
        lake_row=np.broadcast_to(lake_row, (size, size)),
        focal=focal,
        horizon=horizon,
        eye=eye,
    )
