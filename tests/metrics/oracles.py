"""Oracle methods made from the renderer of Seasons: a one-file plugin for tests of metrics.

Each looks an input up among the dataset's test pictures, and answers from what is known
about it. So it is known beforehand what each metric must say about them.
"""

import hashlib
from functools import cache

import numpy as np
import torch

import bench
from bench.api import Config, MethodSpec, hookimpl
from bench_seasons.look import MODES, draw_light, draw_look
from bench_seasons.render import FIRST_SCENE, geometry_of, looks_of, render

SEED = 0
PLACES = 200
"""Test pictures of either season among which an input is looked for."""
_OTHER = {"summer": "winter", "winter": "summer"}


def fresh_look(season, scene, number, mode):
    """A look of a mode that is none of the dataset's own."""
    variant = 100 + number
    light = draw_light(SEED, scene, variant, mode)
    return draw_look(season, light, SEED, scene, variant)


@cache
def true_looks(season, scene, size):
    """The pictures that the dataset knows as true, with the grain that they have there."""
    return render(SEED, scene, looks_of(season, SEED, scene), size)


@cache
def seen(scene, size):
    """A scene's geometry, once for all its looks."""
    return geometry_of(SEED, scene, size)


def _pixels(images):
    """The bytes that a batch was made of, ``(B, H, W, 3)``."""
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


class OracleConfig(Config):
    """The kind of oracle: same, truth, fresh, one_mode or elsewhere."""

    kind: str = "same"


class Oracle:
    """Finds out which scene an input shows, and renders an answer."""

    def __init__(self, config, ctx):
        self.kind = config.kind
        self._known = {}

    def _scene(self, pixels):
        """Season and scene of a test picture, by its pixels."""
        key = hashlib.sha256(pixels.tobytes()).digest()
        while key not in self._known:
            index = len(self._known) // 2
            if index == PLACES:
                raise LookupError("this is no test picture of Seasons")
            for part, season in (("testA", "summer"), ("testB", "winter")):
                scene = FIRST_SCENE[part] + index
                own = render(SEED, scene, looks_of(season, SEED, scene)[:1], len(pixels))[0]
                self._known[hashlib.sha256(own.tobytes()).digest()] = (season, scene)
        return self._known[key]

    def _answer(self, season, scene, size, seed):
        """One picture of the season: which, the kind says."""
        modes = [look.light.mode for look in looks_of(season, SEED, scene)]
        if self.kind == "same":
            return true_looks(season, scene, size)[0]
        if self.kind == "one_mode":
            return true_looks(season, scene, size)[modes.index("overcast")]
        if self.kind == "truth":
            return true_looks(season, scene, size)[seed % len(modes)]
        # Elsewhere: a scene that is in no split.
        scene += 5_000_000 if self.kind == "elsewhere" else 0
        look = fresh_look(season, scene, seed % 997, MODES[seed % len(MODES)])
        return render(SEED, scene, [look], size, seen(scene, size))[0]

    def translate(self, images, direction, *, samples, seeds):
        answers = []
        for pixels, row in zip(_pixels(images), seeds.tolist(), strict=True):
            season, scene = self._scene(pixels)
            size = len(pixels)
            answers.append([self._answer(_OTHER[season], scene, size, seed) for seed in row])
        made = torch.from_numpy(np.array(answers)).permute(0, 1, 4, 2, 3)
        return made.to(images.dtype) / 255

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class TrueStyle(Oracle):
    """A trained MUNIT that is told the style: that of a true look of the very scene.

    What is left of its faults is not how styles are drawn.
    """

    def __init__(self, config, ctx):
        super().__init__(config, ctx)
        self.model = bench.load("munit", weights="seasons-64", device=str(ctx.device))

    def translate(self, images, direction, *, samples, seeds):
        rows = []
        for image, pixels, row in zip(images, _pixels(images), seeds.tolist(), strict=True):
            season, scene = self._scene(pixels)
            looks = true_looks(_OTHER[season], scene, len(pixels))
            true = torch.from_numpy(np.stack(looks)).permute(0, 3, 1, 2) / 255
            wanted = true[[seed % len(looks) for seed in row]]
            rows.append(self.model.translate(image[None], direction.key, style_from=wanted))
        return torch.cat(rows)


ORACLES = {
    "always_same": ("same", False),
    "one_mode": ("one_mode", False),
    "samples_truth": ("truth", True),
    "fresh_truth": ("fresh", True),
    "other_scene": ("elsewhere", True),
}


@hookimpl
def bench_methods():
    return [
        MethodSpec(
            name,
            f"an oracle: {kind}",
            "oracles:Oracle",
            config=OracleConfig,
            presets={preset: {"kind": kind} for preset in ("demo", "quick", "paper")},
            multimodal=multimodal,
        )
        for name, (kind, multimodal) in ORACLES.items()
    ] + [
        MethodSpec(
            "true_style",
            "munit@seasons-64, told the style",
            "oracles:TrueStyle",
            config=OracleConfig,
            multimodal=True,
        )
    ]
