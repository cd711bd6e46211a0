"""From numbers to pictures: which scene, which look, and the pixels of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench_seasons.look import (
    MODES,
    Difficulty,
    Look,
    Season,
    draw_light,
    draw_look,
)
from bench_seasons.noise import F32
from bench_seasons.scene import FAR, FOREST, MASKS, SKY, Geometry, Scene, see
from bench_seasons.shade import Shader, develop
from bench_seasons.trees import plant, stand

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.uint8 | np.uint16]

FIRST_SCENE = {"trainA": 0, "trainB": 10_000_000, "testA": 20_000_000, "testB": 30_000_000}
"""Where the scene numbers of each part begin; parts never share a scene."""

SEASON_OF: dict[str, Season] = {"a": "summer", "b": "winter"}


def subpixels(size: int) -> int:
    """Rays along one side of a pixel: small pictures need more of them."""
    return 3 if size <= 96 else 2 if size <= 640 else 1


@dataclass(frozen=True)
class Truth:
    """What is known about a scene, at the size of its pictures.

    Parameters
    ----------
    classes
        uint8 ``(H, W)``: for each pixel the class that fills most of it, an index into
        :data:`bench_seasons.scene.MASKS`. The same in every look.
    depth
        float32 ``(H, W)``, metres along the view axis; the sky is at 16,000.
    """

    classes: npt.NDArray[np.uint8]
    depth: F32

    def planes(self) -> dict[str, Plane]:
        """Both in whole numbers, for files: depth in quarters of a metre, uint16."""
        return {"classes": self.classes, "depth": np.rint(self.depth * 4).astype(np.uint16)}

    def mask(self, name: str) -> npt.NDArray[np.bool_]:
        """The pixels of one class: ``sky``, ``ground``, ``rock``, ``forest`` or ``water``."""
        return np.asarray(self.classes == MASKS.index(name))


def looks_of(
    season: Season, seed: int, scene: int, difficulty: Difficulty = "standard"
) -> list[Look]:
    """The looks of a scene in a season: its own first, then one in each other mode.

    The first looks of both seasons share their light: they are a pair. Every mode of the
    season appears once, so the list is a full set of true modes.
    """
    own = draw_light(seed, scene, 0)
    others = [mode for mode in MODES if mode != own.mode]
    lights = [own, *(draw_light(seed, scene, 1 + i, mode) for i, mode in enumerate(others))]
    return [
        draw_look(season, light, seed, scene, variant, difficulty)
        for variant, light in enumerate(lights)
    ]


def geometry_of(seed: int, scene: int, size: int) -> Geometry:
    """The scene as its camera sees it, in sub-pixels."""
    return see(Scene.draw(seed, scene), size * subpixels(size))


def render(
    seed: int, scene: int, looks: Sequence[Look], size: int, geometry: Geometry | None = None
) -> Pixels:
    """Pictures of one scene: uint8 ``(len(looks), H, W, 3)``.

    They depend on the arguments alone, not on threads, processes or other pictures.
    """
    shader = Shader(geometry or geometry_of(seed, scene, size))
    factor = subpixels(size)
    # The grain of the film belongs to the scene and the place of the look, not to a clock.
    return np.stack(
        [
            develop(shader.render(look), factor, seed + 977 * scene + 13 * place)
            for place, look in enumerate(looks)
        ]
    )


def truth_of(seed: int, scene: int, size: int, geometry: Geometry | None = None) -> Truth:
    """Masks and depth of a scene."""
    g = geometry or geometry_of(seed, scene, size)
    factor = subpixels(size)

    def gather(plane: F32) -> F32:
        cells = plane.reshape(size, factor, size, factor)
        return np.asarray(cells.mean((1, 3), dtype=np.float64), np.float32)

    # Single trees stand before the terrain; they count as forest, in leaf in every season.
    planes = [np.zeros_like(g.z), np.array(g.z)]
    stand(planes, g, plant(g.scene), False, lambda tree, _: [np.float32(1.0), np.float32(tree.z)])
    single = planes[0] > 0.5
    kinds = np.where(single, np.uint8(FOREST), g.kind)
    far = np.where(single, planes[1], g.z)
    share = np.stack([gather((kinds == kind).astype(np.float32)) for kind in range(len(MASKS))])
    # The nearest of the sub-pixels: a mean of ridge and sky is the depth of neither.
    depth = far.reshape(size, factor, size, factor).min((1, 3))
    classes = share.argmax(0).astype(np.uint8)
    return Truth(classes, np.where(classes == SKY, np.float32(FAR), depth).astype(np.float32))
