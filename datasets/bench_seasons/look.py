"""Looks: the light, the weather and the state of the year under which a scene is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Season = Literal["summer", "winter"]
Difficulty = Literal["easy", "standard", "hard"]

MODES = ("clear", "overcast", "dusk", "mist")
"""The kinds of light. Each season has each of them: four modes a season."""

_SEED = 0x5EA50


@dataclass(frozen=True)
class Light:
    """Light and weather: what a summer and a winter picture may have in common.

    Parameters
    ----------
    mode
        One of :data:`MODES`.
    azimuth
        Where the sun stands, from -1 (left) over 0 (ahead) to 1 (right).
    elevation
        Sine of the sun's height.
    haze
        From 0 (you see forever) to 1 (the far mountains fade).
    clouds
        Share of the sky that is covered, about.
    drift
        Where in the endless sky the clouds are taken from.
    """

    mode: str
    azimuth: float
    elevation: float
    haze: float
    clouds: float
    drift: float


@dataclass(frozen=True)
class Look:
    """A season's state together with a light.

    Parameters
    ----------
    season
        ``summer`` or ``winter``.
    light
        Shared by the two pictures of a pair.
    snow
        How much of what can hold snow does, 0 to 1.
    snow_line
        Height in metres from which snow lies.
    frost
        Snow and rime on the trees, 0 to 1.
    ice
        How frozen the water is, 0 to 1.
    green
        From 0 (yellow) to 1 (lush).
    """

    season: Season
    light: Light
    snow: float
    snow_line: float
    frost: float
    ice: float
    green: float

    @property
    def factors(self) -> Mapping[str, float | str]:
        """The look as named numbers."""
        return {
            "season": self.season,
            "mode": self.light.mode,
            "azimuth": round(self.light.azimuth, 6),
            "elevation": round(self.light.elevation, 6),
            "haze": round(self.light.haze, 6),
            "clouds": round(self.light.clouds, 6),
            "snow": round(self.snow, 6),
            "snow_line": round(self.snow_line, 3),
            "frost": round(self.frost, 6),
            "ice": round(self.ice, 6),
            "green": round(self.green, 6),
        }


def draw_light(seed: int, index: int, variant: int, mode: str | None = None) -> Light:
    """The light of a scene's `variant`; the mode is drawn too unless given."""
    rng = np.random.Generator(
        np.random.Philox(key=[seed ^ _SEED, index], counter=[0, 0, variant, 0])
    )

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(rng.random())

    drawn = MODES[min(3, int(rng.random() * 4))]
    mode = drawn if mode is None else mode
    left = -1.0 if rng.random() < 0.5 else 1.0
    spread = {
        "clear": (0.45, 0.95),
        "overcast": (0.3, 0.9),
        "dusk": (0.15, 0.6),
        "mist": (0.25, 0.7),
    }
    height = {
        "clear": (0.5, 0.75),
        "overcast": (0.6, 0.8),
        "dusk": (0.06, 0.16),
        "mist": (0.22, 0.4),
    }
    haze = {
        "clear": (0.05, 0.25),
        "overcast": (0.25, 0.5),
        "dusk": (0.25, 0.5),
        "mist": (0.55, 0.8),
    }
    clouds = {
        "clear": (0.1, 0.5),
        "overcast": (0.75, 0.95),
        "dusk": (0.3, 0.65),
        "mist": (0.1, 0.4),
    }
    return Light(
        mode=mode,
        azimuth=left * between(*spread[mode]),
        elevation=between(*height[mode]),
        haze=between(*haze[mode]),
        clouds=between(*clouds[mode]),
        drift=between(0.0, 64.0),
    )


def draw_look(
    season: Season,
    light: Light,
    seed: int,
    index: int,
    variant: int,
    difficulty: Difficulty = "standard",
) -> Look:
    """The state of the season for a scene's `variant`, under the given light."""
    stream = 1 if season == "summer" else 2
    rng = np.random.Generator(
        np.random.Philox(key=[seed ^ _SEED, index], counter=[0, stream, variant, 0])
    )

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(rng.random())

    if season == "summer":
        line = {"easy": 3000.0, "standard": 1100.0, "hard": 800.0}[difficulty]
        return Look(
            season,
            light,
            snow=between(0.0, 0.5),
            snow_line=line * between(1.0, 1.6),
            frost=0.0,
            ice=0.0,
            green=between(
                *{"easy": (0.7, 1.0), "standard": (0.35, 1.0), "hard": (0.0, 0.8)}[difficulty]
            ),
        )
    low, high = {"easy": (0.9, 1.0), "standard": (0.6, 1.0), "hard": (0.25, 1.0)}[difficulty]
    snow = between(low, high)
    return Look(
        season,
        light,
        snow=snow,
        snow_line=between(-250.0, -60.0),
        frost=snow * between(0.45, 1.0),
        ice=1.0 if between(0.0, 1.0) < snow - 0.2 else between(0, 0.3),
        green=between(0.0, 0.25),
    )
