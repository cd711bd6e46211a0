"""Tileable noise by integer hashing: the same bits on every machine.

Everything here uses only additions, multiplications, divisions and square roots, which
IEEE 754 rounds in one way; no transcendental function decides where a mountain stands.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[Any]  # float32: NumPy's own stubs lose track of it
U32 = npt.NDArray[np.uint32]

MOUNTAIN = 1024
"""Texels along one side of :func:`mountain_tile`."""
CLOUD = 512
"""Texels along one side of :func:`cloud_tile`."""


def hash32(x: npt.NDArray[np.int64] | U32, seed: int) -> U32:
    """Scramble integers: 32 well-mixed bits for each (Wellons' lowbias32 constants)."""
    value = np.asarray(x).astype(np.uint32)
    value = value + np.uint32((seed * 0x9E3779B9 + 0x85EBCA6B) & 0xFFFFFFFF)
    value ^= value >> np.uint32(16)
    value *= np.uint32(0x7FEB352D)
    value ^= value >> np.uint32(15)
    value *= np.uint32(0x846CA68B)
    value ^= value >> np.uint32(16)
    return value


def unit(bits: U32) -> F32:
    """Hashed bits as numbers in ``[0, 1)``; 24 bits, so float32 holds them exactly."""
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(1 / (1 << 24))


def smoothstep(low: float, high: float, x: F32) -> F32:
    """Hermite step from 0 at `low` to 1 at `high` (either may be the larger)."""
    t = np.clip((x - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _gradient_noise(size: int, cells: int, seed: int) -> tuple[F32, F32, F32]:
    """Perlin's gradient noise with `cells` periods, and its two derivatives per cell."""
    lattice = np.arange(cells * cells, dtype=np.uint32)
    gx = (unit(hash32(lattice, seed)) * 2 - 1).reshape(cells, cells)
    gz = (unit(hash32(lattice, seed + 1)) * 2 - 1).reshape(cells, cells)
    length = np.sqrt(gx * gx + gz * gz + 1e-6)
    gx, gz = gx / length, gz / length
    step = size // cells
    t = (np.arange(step, dtype=np.float32) + 0.5) / step
    fade, slope = t * t * t * (t * (t * 6 - 15) + 10), 30 * t * t * (t * (t - 2) + 1)
    # Axes: cell row, texel row (z), cell column, texel column (x).
    u, du = fade[None, None, None, :], slope[None, None, None, :]
    v, dv = fade[None, :, None, None], slope[None, :, None, None]
    x, z = t[None, None, None, :], t[None, :, None, None]

    def corner(dz: int, dx: int) -> tuple[F32, F32, F32]:
        a = np.roll(gx, (-dz, -dx), (0, 1))[:, None, :, None]
        b = np.roll(gz, (-dz, -dx), (0, 1))[:, None, :, None]
        return a * (x - dx) + b * (z - dz), a, b

    (n00, a00, b00), (n01, a01, b01) = corner(0, 0), corner(0, 1)
    (n10, a10, b10), (n11, a11, b11) = corner(1, 0), corner(1, 1)
    top, bottom = n00 + u * (n01 - n00), n10 + u * (n11 - n10)
    value = top + v * (bottom - top)
    dx_top = a00 + u * (a01 - a00) + du * (n01 - n00)
    dx_bottom = a10 + u * (a11 - a10) + du * (n11 - n10)
    dx = dx_top + v * (dx_bottom - dx_top)
    dz_top = b00 + u * (b01 - b00)
    dz_bottom = b10 + u * (b11 - b10)
    dz = dz_top + v * (dz_bottom - dz_top) + dv * (bottom - top)
    shape = (size, size)
    return value.reshape(shape), dx.reshape(shape), dz.reshape(shape)


@lru_cache(maxsize=1)
def mountain_tile() -> F32:
    """Eroded mountains: heights ``(1024 * 1024,)`` in [0, 1].

    Ridged octaves are damped where the sum is already steep, which leaves sharp crests,
    smooth valley floors and gullies between (the derivative trick of I. Quilez).
    """
    height = np.zeros((MOUNTAIN, MOUNTAIN), np.float32)
    sum_x, sum_z = np.zeros_like(height), np.zeros_like(height)
    weight = np.ones_like(height)
    amplitude, cells = 1.0, 4
    for octave in range(8):
        value, dx, dz = _gradient_noise(MOUNTAIN, cells, 101 + 7 * octave)
        soft = np.sqrt(value * value + 0.0012)
        ridge = np.clip(1.06 - 1.9 * soft, 0.0, 1.0)
        sign = value / soft
        # Only the broad slopes decide where gullies form: fine ones would tear the surface.
        if octave < 4:
            sum_x -= sign * dx * weight * amplitude
            sum_z -= sign * dz * weight * amplitude
        steep = 1.0 / (1.0 + 0.30 * (sum_x * sum_x + sum_z * sum_z))
        height += amplitude * ridge * ridge * weight * (steep if octave > 1 else 1.0)
        weight = np.clip(0.12 + 1.35 * ridge * weight, 0.0, 1.0)
        amplitude *= 0.46
        cells *= 2
    height -= height.min()
    height /= height.max()
    return height.reshape(-1).astype(np.float32)


@lru_cache(maxsize=1)
def cloud_tile() -> F32:
    """Fractal noise: ``(512 * 512,)`` in about [0, 1], mean one half."""
    total = np.zeros((CLOUD, CLOUD), np.float32)
    amplitude, cells = 1.0, 4
    for octave in range(7):
        total += amplitude * _gradient_noise(CLOUD, cells, 907 + 5 * octave)[0]
        amplitude *= 0.55
        cells *= 2
    return np.asarray(np.clip(0.5 + 0.62 * total, 0.0, 1.0).reshape(-1).astype(np.float32))


def _corners(size: int, x: F32, z: F32) -> tuple[list[npt.NDArray[np.int32]], F32, F32]:
    """Indices of the four texels around tile coordinates (one period is 1), and weights."""
    px, pz = x * size, z * size
    fx, fz = np.floor(px), np.floor(pz)
    ix, iz = fx.astype(np.int32), fz.astype(np.int32)
    mask = size - 1
    x0, x1 = ix & mask, (ix + 1) & mask
    z0, z1 = (iz & mask) * size, ((iz + 1) & mask) * size
    return [z0 + x0, z0 + x1, z1 + x0, z1 + x1], px - fx, pz - fz


def bilinear(tile: F32, size: int, x: F32, z: F32) -> F32:
    """A one-channel tile at fractional positions."""
    (i00, i01, i10, i11), u, v = _corners(size, x, z)
    top = tile.take(i00)
    top += u * (tile.take(i01) - top)
    bottom = tile.take(i10)
    bottom += u * (tile.take(i11) - bottom)
    top += v * (bottom - top)
    return top


def nearest(tile: F32, size: int, x: F32, z: F32) -> F32:
    """A one-channel tile at the nearest texel: enough where texels are below a pixel."""
    ix = np.floor(x * size).astype(np.int32) & (size - 1)
    iz = np.floor(z * size).astype(np.int32) & (size - 1)
    return np.asarray(tile.take(iz * size + ix))
