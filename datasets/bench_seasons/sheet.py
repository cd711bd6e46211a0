"""A contact sheet: ``python -m bench_seasons.sheet --out docs/images/seasons.jpg``.

Each block is one scene: a summer, then its winter in every mode.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench_seasons.look import MODES, Season, draw_light, draw_look
from bench_seasons.render import Pixels, geometry_of, render


def strip(seed: int, scene: int, size: int, summer: str) -> Pixels:
    """One summer (in the mode named) and the four winters of a scene, side by side."""
    wanted: list[tuple[Season, str]] = [("summer", summer), *(("winter", mode) for mode in MODES)]
    looks = [
        draw_look(season, draw_light(seed, scene, place, mode), seed, scene, place)
        for place, (season, mode) in enumerate(wanted)
    ]
    return np.hstack(list(render(seed, scene, looks, size, geometry_of(seed, scene, size))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the sheet and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scenes", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5, 6, 7])
    parser.add_argument("--columns", type=int, default=2, help="scenes side by side")
    options = parser.parse_args(arguments)
    order = ("clear", "mist", "dusk", "clear", "overcast")
    strips = [
        strip(options.seed, scene, options.size, order[place % len(order)])
        for place, scene in enumerate(options.scenes)
    ]
    rows = [
        np.hstack(strips[first : first + options.columns])
        for first in range(0, len(strips), options.columns)
    ]
    # A palette would put dots into the evening skies.
    Image.fromarray(np.vstack(rows)).save(options.out, optimize=True, quality=90)


if __name__ == "__main__":
    main()
