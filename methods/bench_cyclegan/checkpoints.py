"""CycleGAN's generators from and to files: the official layout, and this project's own.

Officially a file holds one generator, ``model.<i>…`` keys only: ``<epoch>_net_G_A.pth``
translates domain a to b, ``<epoch>_net_G_B.pth`` back, and the published ones are called
after what they do (``summer2winter_yosemite.pth``). Files from before PyTorch 0.4 also hold
statistics of the instance norms, which mean nothing and are dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.api import BenchError
from bench.nn.resnet import clean_generator
from bench.nn.state import write_weights
from bench.storage.weights import read_state
from bench.training.resnet_method import DIRECTIONS, own_states

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from bench.training.resnet_method import States

_PUBLISHED_B2A = re.compile(
    r"(winter2summer|zebra2horse|orange2apple|style_|map2sat|"
    r"cityscapes_label2photo|facades_label2photo)"
)
"""Published generators whose source is the second domain of their dataset."""


def direction_of(path: Path) -> str:
    """``a2b`` or ``b2a``, from the name of a file that holds one generator."""
    name = path.stem
    return "b2a" if name.endswith("_net_G_B") or _PUBLISHED_B2A.match(name) else "a2b"


def read_generators(path: Path, direction: str | None = None) -> States:
    """Read one or both generators.

    Parameters
    ----------
    path
        A file with one generator (its ``_net_G_A``/``_net_G_B`` sibling is read too), a
        folder with such a pair, or a file this project wrote, with both.
    direction
        ``a2b`` or ``b2a``: which way a file with one generator goes, instead of what its
        name says; no sibling is then read.

    Returns
    -------
    dict
        A state dict for ``a2b``, ``b2a`` or both.
    """
    if path.is_dir():
        pairs = sorted(path.glob("*_net_G_[AB].pth"), key=lambda p: p.stat().st_mtime)
        if not pairs:
            raise BenchError(f"{path} holds no <epoch>_net_G_A.pth or <epoch>_net_G_B.pth")
        path = pairs[-1]
    state = read_state(path)
    if found := own_states(state, path):
        return found
    found = {direction or direction_of(path): clean_generator(state)}
    if direction is None and path.stem.endswith(("_net_G_A", "_net_G_B")):
        sibling = path.with_stem(path.stem[:-1] + ("B" if path.stem[-1] == "A" else "A"))
        if sibling.exists():
            found[direction_of(sibling)] = clean_generator(read_state(sibling))
    return found


def write_official(
    generators: Mapping[str, Mapping[str, Tensor]], folder: Path, epoch: str = "latest"
) -> list[Path]:
    """Write ``<epoch>_net_G_A.pth`` and ``<epoch>_net_G_B.pth`` for other programs to load.

    Parameters
    ----------
    generators
        A state dict for ``a2b``, ``b2a`` or both.

    Returns
    -------
    list of Path
        The files, each whole or not there.
    """
    return [
        write_weights(generators[direction], folder / f"{epoch}_net_G_{letter}.pth")
        for direction, letter in zip(DIRECTIONS, "AB", strict=True)
        if direction in generators
    ]
