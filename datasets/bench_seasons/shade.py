"""Light on a scene: from geometry and a look to a picture.

Colours are linear light until :func:`develop`. Channels are kept apart, ``(3, H, W)``,
because NumPy is fastest on whole planes.
"""

# Long because one picture is one chain of light: ground, water, trees and sky share their terms.

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench_seasons import trees as single
from bench_seasons.look import Look
from bench_seasons.noise import (
    CLOUD,
    F32,
    MOUNTAIN,
    bilinear,
    cloud_tile,
    hash32,
    mountain_tile,
    nearest,
    smoothstep,
    unit,
)
from bench_seasons.scene import (
    FOREST,
    GROUND,
    SKY,
    WATER,
    Geometry,
    envelope,
    mountains,
    to_tile,
)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """The colours of one kind of light in one season, linear."""

    zenith: Colour
    horizon: Colour
    sun: Colour
    ambient: Colour
    glow: float
    ahead: float
    exposure: float = 1.0


PALETTES: dict[tuple[str, str], Palette] = {
    ("summer", "clear"): Palette(
        (0.07, 0.20, 0.56), (0.50, 0.68, 0.88), (1.95, 1.70, 1.30), (0.26, 0.34, 0.48), 0.15, -0.6
    ),
    ("winter", "clear"): Palette(
        (0.06, 0.17, 0.50), (0.55, 0.70, 0.90), (1.35, 1.14, 0.90), (0.20, 0.30, 0.52), 0.2, -0.4
    ),
    ("summer", "overcast"): Palette(
        (0.22, 0.28, 0.36), (0.60, 0.66, 0.70), (0.75, 0.68, 0.56), (0.36, 0.41, 0.46), 0.15, -0.5
    ),
    ("winter", "overcast"): Palette(
        (0.26, 0.31, 0.40), (0.56, 0.62, 0.70), (0.36, 0.36, 0.38), (0.36, 0.42, 0.52), 0.15, -0.5
    ),
    ("summer", "dusk"): Palette(
        (0.09, 0.12, 0.30), (0.95, 0.50, 0.22), (2.1, 0.95, 0.36), (0.31, 0.28, 0.36), 1.0, 0.45
    ),
    ("winter", "dusk"): Palette(
        (0.11, 0.14, 0.36), (0.90, 0.50, 0.42), (1.55, 0.72, 0.46), (0.22, 0.24, 0.42), 0.8, 0.3
    ),
    ("summer", "mist"): Palette(
        (0.18, 0.34, 0.56), (0.90, 0.72, 0.46), (1.95, 1.38, 0.74), (0.34, 0.37, 0.38), 0.9, 0.6
    ),
    ("winter", "mist"): Palette(
        (0.16, 0.30, 0.54), (0.92, 0.70, 0.50), (1.45, 1.08, 0.74), (0.24, 0.31, 0.46), 0.8, 0.5
    ),
}

LUSH: Colour = (0.070, 0.135, 0.028)
DRY: Colour = (0.24, 0.185, 0.075)
DEAD: Colour = (0.20, 0.155, 0.085)
GRANITE: Colour = (0.31, 0.285, 0.26)
DARK_ROCK: Colour = (0.14, 0.13, 0.13)
CONIFER: Colour = (0.026, 0.055, 0.026)
LEAVES: Colour = (0.075, 0.145, 0.024)
TWIGS: Colour = (0.125, 0.098, 0.088)
BARK: Colour = (0.075, 0.058, 0.046)
SNOW: Colour = (0.90, 0.93, 0.97)
SAND: Colour = (0.28, 0.24, 0.18)
DEEP: Colour = (0.010, 0.035, 0.045)
ICE: Colour = (0.62, 0.72, 0.80)


def _blend(base: list[F32], other: Colour | list[F32], amount: F32) -> None:
    """Mix another colour into `base`, in place."""
    for channel in range(3):
        base[channel] += amount * (other[channel] - base[channel])


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


class Shader:
    """Renders looks of one geometry."""

    def __init__(self, geometry: Geometry) -> None:
        self.g = geometry
        size = geometry.kind.shape[0]
        self.size = size
        self.cols = ((np.arange(size, dtype=np.float32) + 0.5 - size / 2) / geometry.focal)[None, :]
        self.rows = ((geometry.horizon - np.arange(size, dtype=np.float32) - 0.5) / geometry.focal)[
            :, None
        ]
        tile = cloud_tile()
        g = geometry
        # Details that no look changes: coarse patches, and grain at the size of a pixel.
        self.patch = bilinear(tile, CLOUD, g.x * (1 / 420.0), g.z * (1 / 420.0)) - 0.5
        reach = np.maximum(g.z * (1.4 * CLOUD / g.focal), 18.0)
        # Powers of two, taken from the exponent bits: exact, and grain keeps to its place.
        octave = np.ldexp(np.float32(1.0), np.frexp(reach)[1])
        self.grain = (
            nearest(tile, CLOUD, (g.x + 0.37 * g.y) / octave, (g.z * 0.6 + g.y) / octave) - 0.5
        )
        self.shade_of_tree = unit(hash32(g.tree, 5)) - 0.5
        self.broad = (g.tree & np.uint32(1)).astype(np.float32)
        self._relief()
        self.single = single.plant(g.scene)

    def _relief(self) -> None:
        """Bumps of the ground that the height field is too coarse for: drifts and tufts."""
        g = self.g
        near = (g.kind == GROUND) & (g.z < 1500.0)
        self.near = np.nonzero(near)
        x, z = g.x[self.near], g.z[self.near]
        tile = cloud_tile()
        self.bumps = []
        for length, limit in ((46.0, 900.0), (9.0, 160.0)):
            u, v = x * (1 / length), z * (1 / (length * 1.5))
            e = 1.5 / CLOUD
            here = bilinear(tile, CLOUD, u, v)
            fade = np.clip(1.3 - z * (1.0 / limit), 0.0, 1.0)
            dx = (bilinear(tile, CLOUD, u + e, v) - here) * fade
            dz = (bilinear(tile, CLOUD, u, v + e) - here) * fade
            self.bumps.append((dx, dz))

    def tree_shadows(self, sun: tuple[float, float, float]) -> F32:
        """Light that single trees leave on the ground near them, from 0 to 1."""
        g, step = self.g, 2
        x, y, z = (v[::step, ::step] for v in (g.x, g.y, g.z))
        rows = np.nonzero((z < 420.0).any(1))[0]
        light = np.ones_like(x)
        if rows.size == 0:
            return _enlarge(light, step, self.size)
        part = slice(int(rows[0]), None)
        x, y, z, out = x[part], y[part], z[part], light[part]
        flat = max(math.sqrt(sun[0] ** 2 + sun[2] ** 2), 1e-3)
        dx, dz, rise = -sun[0] / flat, -sun[2] / flat, sun[1] / flat
        for tree in self.single:
            if tree.z > 260.0:
                continue
            long = min(tree.height / max(rise, 0.12), 5.0 * tree.height)
            # Only rows that the shadow can reach are looked at.
            low, high = sorted((tree.z, tree.z + dz * long))
            band = np.nonzero(((z > low - 4.0) & (z < high + 4.0)).any(1))[0]
            if band.size == 0:
                continue
            cut = slice(int(band[0]), int(band[-1]) + 1)
            px, pz = x[cut] - tree.x, z[cut] - tree.z
            along = (px * dx + pz * dz) * (1.0 / long)
            across = np.abs(px * dz - pz * dx)
            radius = tree.height * (0.30 if tree.broad else 0.17)
            width = radius * (1.1 - along if not tree.broad else 0.25 + 1.2 * along)
            soft = np.clip(
                (width - across)
                * (1.0 / (0.25 * radius + 0.05 * tree.height * np.clip(along, 0, 1) + 0.1)),
                0.0,
                1.0,
            )
            soft *= np.clip(along * 12.0 + 1.0, 0.0, 1.0) * np.clip((1.02 - along) * 4.0, 0.0, 1.0)
            out[cut] *= 1.0 - (0.55 if tree.broad else 0.8) * soft
        return _enlarge(light, step, self.size)

    def sun(self, look: Look, palette: Palette) -> tuple[float, float, float]:
        """Unit vector towards the sun."""
        up = look.light.elevation * (0.72 if look.season == "winter" else 1.0)
        x = look.light.azimuth
        z = palette.ahead * (1.0 - abs(x)) + (0.15 if palette.ahead > 0 else -0.15)
        flat = math.sqrt((1.0 - up * up) / (x * x + z * z))
        return x * flat, up, z * flat

    def shadow(self, sun: tuple[float, float, float]) -> F32:
        """Light that mountains leave, from 0 to 1, marched towards the sun on a coarse grid."""
        g = self.g
        step = 4
        x, y, z = (v[::step, ::step] for v in (g.x, g.y, g.z))
        scene = g.scene
        light = np.ones_like(x)
        tile = mountain_tile()
        flat = max(math.sqrt(sun[0] ** 2 + sun[2] ** 2), 1e-3)
        dx, dz, rise = sun[0] / flat, sun[2] / flat, sun[1] / flat
        for distance in (70.0, 150.0, 280.0, 480.0, 800.0, 1300.0, 2100.0):
            px, pz = x + dx * distance, z + dz * distance
            tx, tz = to_tile(scene, px, pz)
            peak = nearest(tile, MOUNTAIN, tx, tz)
            env = envelope(scene, px, np.maximum(pz, 1.0))
            height = mountains(scene, px, pz, env, peak)
            over = (y + rise * distance + 12.0 - height) * (1.0 / (0.07 * distance + 10.0))
            light = np.minimum(light, np.clip(0.5 + over, 0.0, 1.0))
        return _enlarge(light, step, self.size)

    def sky(self, look: Look, palette: Palette, sun: tuple[float, float, float]) -> list[F32]:
        """The sky everywhere in the picture."""
        length = 1.0 / np.sqrt(1.0 + self.cols * self.cols + self.rows * self.rows)
        up = np.clip(self.rows * length, 0.0, 1.0)
        t = np.clip(up * 2.3, 0.0, 1.0)
        t = 1.0 - (1.0 - t) * (1.0 - t)
        towards = np.clip((self.cols * sun[0] + self.rows * sun[1] + sun[2]) * length, 0.0, 1.0)
        t4 = towards * towards
        t4 = t4 * t4
        disc = smoothstep(0.9996, 0.99985, towards) * (3.0 if look.light.mode == "dusk" else 0.0)
        halo = (0.35 * t4 + 0.9 * t4 * t4 * t4 * t4 + disc) * palette.glow * (1.0 - 0.55 * t)
        colour = [
            np.asarray(
                palette.horizon[c]
                + t * (palette.zenith[c] - palette.horizon[c])
                + halo * palette.sun[c] * 0.75
            )
            for c in range(3)
        ]
        self._clouds(look, palette, sun, colour)
        return colour

    def _clouds(
        self, look: Look, palette: Palette, sun: tuple[float, float, float], colour: list[F32]
    ) -> None:
        """Lay a deck of clouds over the sky, in place."""
        light = look.light
        rise = np.maximum(self.rows, 0.02)
        top = int(min(self.size, self.g.horizon + 1))
        if top < 1:
            return
        rise = rise[:top]
        inverse = 1.0 / (rise + 0.06)
        u = self.cols * inverse * 0.16 + light.drift
        v = inverse * 0.22 + light.drift * 0.37
        v = np.broadcast_to(v, u.shape)
        tile = cloud_tile()
        thick = bilinear(tile, CLOUD, u, v)
        thick += 0.35 * (bilinear(tile, CLOUD, u * 3.1, v * 3.1) - 0.5)
        edge = 0.78 - 0.62 * light.clouds
        body = smoothstep(edge, edge + 0.24, thick)
        lit = bilinear(tile, CLOUD, u + 0.012 * sun[0], v - 0.012)
        depth = 1.0 if light.mode == "overcast" else 0.55
        bright = np.clip(0.70 + (thick - lit) * 3.6 - (thick - edge) * depth, 0.05, 1.25)
        veil = smoothstep(0.015, 0.16, rise)
        opacity = body * veil * (0.92 if light.mode != "mist" else 0.6)
        for c in range(3):
            shade = palette.ambient[c] * 0.95 + 0.12 * palette.horizon[c]
            white = 0.42 * palette.sun[c] + 0.42 * palette.horizon[c]
            cloud = shade + bright * (white - shade)
            colour[c][:top] += opacity * (cloud - colour[c][:top])

    def surface(self, look: Look) -> list[F32]:
        """Albedo of everything that is not sky or water, snow included."""
        g = self.g
        patch, grain = self.patch, self.grain
        grass = _mix(_mix(DEAD, DRY, 0.5), LUSH, look.green)
        base = [np.full_like(g.z, grass[c]) for c in range(3)]
        dry = _mix(DRY, DEAD, 0.3)
        _blend(base, dry, np.clip((patch + 0.15) * 1.7 * (1.15 - look.green), 0.0, 0.8))
        if g.scene.water != "none":
            _blend(base, SAND, smoothstep(1.1, 0.2, g.y) * (g.z < 1500.0) * 0.7)
        tone = 1.0 + grain * (0.9 + 0.9 * np.clip(1.2 - g.z * (1 / 150.0), 0.0, 1.0))
        for c in range(3):
            base[c] *= tone
        # Rock shows where it is steep and, in patches, high up.
        rocky = np.maximum(
            smoothstep(0.86, 0.70, g.ny + 0.16 * grain),
            smoothstep(700.0, 1250.0, g.y + patch * 500.0),
        )
        strata = nearest(cloud_tile(), CLOUD, g.y * (1 / 260.0) + 0.15 * patch, g.x * (1 / 3000.0))
        stone = [
            (DARK_ROCK[c] + (GRANITE[c] - DARK_ROCK[c]) * np.clip(0.42 + 0.7 * strata, 0.0, 1.0))
            * (1.0 + 0.7 * grain)
            for c in range(3)
        ]
        _blend(base, stone, rocky)
        trees = self._trees(look)
        wood = (g.kind == FOREST).astype(np.float32)
        _blend(base, trees, wood)
        _blend(base, SNOW, self.snow(look))
        return base

    def _trees(self, look: Look) -> list[F32]:
        g = self.g
        leaf = LEAVES if look.season == "summer" else TWIGS
        leaf = _mix(leaf, DRY, 0.25 * (1.0 - look.green)) if look.season == "summer" else leaf
        # Bare crowns let the snow behind them through.
        leaf = _mix(leaf, SNOW, 0.28 * look.snow) if look.season == "winter" else leaf
        tone = 1.0 + 0.7 * self.shade_of_tree + 1.1 * self.grain
        depth = 0.30 + 0.85 * g.up
        return [(CONIFER[c] + self.broad * (leaf[c] - CONIFER[c])) * tone * depth for c in range(3)]

    def snow(self, look: Look) -> F32:
        """Share of each pixel that is white."""
        g = self.g
        wobble = self.patch * 260.0 + self.grain * 90.0
        high = smoothstep(look.snow_line - 120.0, look.snow_line + 160.0, g.y + wobble)
        hold = smoothstep(0.50, 0.78, g.ny + 0.22 * self.grain + 0.10 * (look.snow - 0.7))
        bare = np.clip(
            (look.snow - 0.45) * 1.9 - self.patch * 0.9 - self.grain * 0.5 + 0.45, 0.0, 1.0
        )
        lying = high * hold * (bare if look.season == "winter" else look.snow)
        tufts = np.clip(
            0.5 + 2.4 * (self.grain + g.up * 0.5 - 0.25 + 0.3 * self.shade_of_tree), 0.0, 1.0
        )
        crown = tufts * look.frost * (1.0 - 0.45 * self.broad)
        return np.where(g.kind == FOREST, crown * 0.9, lying).astype(np.float32)

    def render(self, look: Look) -> F32:
        """One look as linear light, ``(3, H, W)``."""
        g = self.g
        palette = PALETTES[look.season, look.light.mode]
        sun = self.sun(look, palette)
        sky = self.sky(look, palette, sun)
        base = self.surface(look)
        light = self.shadow(sun)
        wood = g.kind == FOREST
        # A crown is lit like a cone: by the side that faces the sun.
        nx = np.where(wood, g.side * 0.75, g.nx)
        ny = np.where(wood, np.float32(0.45), g.ny)
        nz = np.where(wood, np.float32(-0.55), g.nz)
        slope = nx * sun[0] + ny * sun[1] + nz * sun[2]
        winter = look.season == "winter"
        for (bx, bz), strength in zip(
            self.bumps, (5.0, 1.2) if winter else (2.6, 6.0), strict=True
        ):
            slope[self.near] -= strength * (bx * sun[0] + bz * sun[2])
        direct = np.clip(slope, 0.0, 1.0) * light
        direct *= np.where(wood, np.float32(1.0), self.tree_shadows(sun))
        open_sky = 0.55 + 0.45 * ny
        for c in range(3):
            base[c] *= palette.sun[c] * direct + palette.ambient[c] * open_sky
        self._air(look, palette, sun, base, sky)
        outside = g.kind == SKY
        for c in range(3):
            np.copyto(base[c], np.broadcast_to(sky[c], base[c].shape), where=outside)
        # What the water mirrors has the trees in it; the picture gets them after the water.
        if (g.kind == WATER).any():
            mirrored = [plane.copy() for plane in base]
            self._stand(look, palette, sun, mirrored, light, far_only=True)
            self._water(look, palette, sun, base, light, mirrored)
        self._stand(look, palette, sun, base, light)
        return np.stack(base) * palette.exposure

    def _stand(
        self,
        look: Look,
        palette: Palette,
        sun: tuple[float, float, float],
        base: list[F32],
        light: F32,
        *,
        far_only: bool = False,
    ) -> None:
        """Paint the single trees."""
        leaf = _mix(LEAVES, DRY, 0.25 * (1.0 - look.green))
        # With the sun behind them trees are nearly silhouettes.
        front = 0.95 if sun[2] < 0 else 0.45
        g = self.g

        def paint(tree: single.Tree, planes: F32) -> list[F32]:
            row = min(self.size - 1, int(g.horizon - (tree.y - g.eye) * g.focal / tree.z))
            column = min(self.size - 1, max(0, int(self.size / 2 + tree.x * g.focal / tree.z)))
            open_ = 0.25 + 0.75 * float(light[row, column])
            facing = 0.5 + 0.5 * np.clip(planes[single.SIDE] * sun[0] * 1.6, -1.0, 1.0)
            lit = planes[single.LIT] * (0.25 + 0.75 * facing) * front * open_
            shade = 0.35 + 0.55 * planes[single.LIT]
            bark, snow = planes[single.WOOD], planes[single.SNOW] * look.frost
            tone = 0.75 + 0.5 * tree.shade
            fade = 1.0 - math.exp(-tree.z * self.thickness)
            out = []
            for c in range(3):
                green = leaf[c] * 1.1 if tree.broad else CONIFER[c] * 1.25
                body = (green + bark * (BARK[c] - green)) * tone
                body = body + snow * (SNOW[c] - body)
                body = body * (palette.sun[c] * lit + palette.ambient[c] * shade)
                out.append(body + fade * (self.air[c] - body))
            return out

        trees = [tree for tree in self.single if tree.z > 95.0] if far_only else self.single
        single.stand(base, g, trees, look.season == "winter", paint)

    def _air(
        self,
        look: Look,
        palette: Palette,
        sun: tuple[float, float, float],
        base: list[F32],
        sky: list[F32],
    ) -> None:
        """Aerial perspective: distance fades into the colour of the sky near the horizon."""
        g = self.g
        haze = look.light.haze
        reach = 30000.0 * (1.0 - haze) ** 2 + 3600.0
        # Morning fog lies in the valley and leaves the tops free; other haze is everywhere.
        foggy = look.light.mode == "mist"
        floor, body = (0.20, 4.2) if foggy else (0.45, 0.75)
        wisps = self.patch * 120.0 if foggy else 0.0
        low = np.exp(np.minimum(0.0, -(g.y + wisps) * (1.0 / (90.0 if foggy else 700.0))))
        thick = g.z * (1.0 / reach) * (floor + body * low)
        fade = 1.0 - np.exp(-thick)
        length = 1.0 / np.sqrt(1.0 + self.cols * self.cols)
        towards = np.clip((self.cols * sun[0] + sun[2]) * length, 0.0, 1.0)
        warm = palette.glow * 0.30 * towards**4
        self.thickness = 1.0 / reach * (floor + body)
        self.air = [palette.horizon[c] * 0.82 + palette.zenith[c] * 0.18 for c in range(3)]
        for c in range(3):
            tint = palette.horizon[c] * 0.82 + palette.zenith[c] * 0.18 + warm * palette.sun[c]
            base[c] += fade * (tint - base[c])

    def _water(
        self,
        look: Look,
        palette: Palette,
        sun: tuple[float, float, float],
        base: list[F32],
        light: F32,
        mirrored: list[F32],
    ) -> None:
        """Mirror the far shore in open water; ice is pale and dull."""
        g = self.g
        row, col = wet = np.nonzero(g.kind == WATER)
        size = self.size
        z, x = g.z[wet], g.x[wet]
        shore = g.lake_row[wet]
        tile = cloud_tile()
        ripple = bilinear(tile, CLOUD, x * (1 / 60.0), z * (1 / 190.0)) - 0.5
        ripple += 0.5 * (nearest(tile, CLOUD, x * (1 / 9.0), z * (1 / 40.0)) - 0.5)
        calm = 0.035 * size * ripple * np.clip(g.focal * 0.02 / z * 8.0, 0.15, 1.0)
        # A lake mirrors its far shore, which begins where the water ends. A river is too near
        # for that: what it mirrors is as far above the horizon as the water is below it.
        river = g.scene.water == "river"
        axis = np.float32(g.horizon) if river else shore
        mirror = np.clip(2 * axis - row + calm, 0, shore.clip(0)).astype(np.intp)
        bank = np.clip((row - shore) * (1.0 / (0.03 * size)), 0.35, 1.0) if river else 1.0
        grazing = 1.0 - np.clip(g.eye / z, 0.0, 1.0)
        fresnel = 0.06 + 0.88 * grazing * grazing * grazing * grazing
        ice = look.ice * smoothstep(-0.35, 0.1, ripple * 0.9 + look.ice - 0.75)
        drift = smoothstep(
            -0.12,
            0.16,
            bilinear(tile, CLOUD, x * (1 / 130.0), z * (1 / 420.0)) - 0.5 + (look.snow - 0.75),
        )
        lamp = np.clip(sun[1] * 1.0, 0.05, 1.0) * light[wet]
        for c in range(3):
            seen = mirrored[c][mirror, col] * bank
            ambient = palette.ambient[c]
            liquid = DEEP[c] * (palette.sun[c] * 0.4 + ambient) * 3.0
            open_water = liquid + fresnel * (seen * 0.93 - liquid)
            white = ICE[c] + drift * (SNOW[c] - ICE[c])
            frozen = white * (palette.sun[c] * lamp + ambient * 0.95)
            frozen = frozen + (1.0 - drift) * 0.45 * fresnel * (seen - frozen)
            base[c][wet] = open_water + ice * (frozen - open_water)


def _enlarge(coarse: F32, step: int, size: int) -> F32:
    """Bilinear enlargement by an integer factor, cut to `size`."""

    def along(grid: F32) -> F32:
        after = np.concatenate([grid[1:], grid[-1:]])
        t = (np.arange(step, dtype=np.float32) / step)[None, :, None]
        out = grid[:, None, :] + t * (after - grid)[:, None, :]
        return np.asarray(out.reshape(-1, grid.shape[1]))

    return np.ascontiguousarray(along(along(coarse).T).T[:size, :size])


def develop(linear: F32, factor: int, seed: int) -> npt.NDArray[np.uint8]:
    """Average the sub-pixels, expose, and round: ``(3, H, W)`` to ``(h, w, 3)`` uint8.

    The tone curve is the rational one of ACES as fitted by K. Narkowicz; the gamma is a
    square root. Both are exact in IEEE arithmetic.
    """
    c, h, w = linear.shape
    small = linear.reshape(c, h // factor, factor, w // factor, factor)
    total = small[:, :, 0, :, 0].copy()
    for i in range(factor):
        for j in range(factor):
            if i or j:
                total += small[:, :, i, :, j]
    x = np.maximum(total * (1.0 / factor**2), 0.0)
    x = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)
    value = np.sqrt(np.clip(x, 0.0, 1.0))
    pixels = np.arange(value.shape[1] * value.shape[2], dtype=np.uint32)
    noise = (unit(hash32(pixels, seed)) + unit(hash32(pixels, seed + 1)) - 1.0).reshape(
        value.shape[1:]
    )
    value += noise * (2.2 / 255.0)
    out = np.clip(value * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return np.ascontiguousarray(out.transpose(1, 2, 0))
