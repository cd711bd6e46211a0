"""CUT's generators from and to files: the official layout, and this project's own.

Officially a training goes one way, and its folder holds ``<epoch>_net_G.pth``, a plain state
dict with the keys of :class:`bench.nn.resnet.ResnetGenerator`. Nothing in it says which way.
So a pair of generators lies in two folders, ``a2b`` and ``b2a``.
"""

from __future__ import annotations

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


def _latest(folder: Path) -> Path | None:
    """The generator in a folder that was written last, if there is one."""
    found = sorted(folder.glob("*_net_G.pth"), key=lambda p: p.stat().st_mtime)
    return found[-1] if found else None


def direction_of(path: Path) -> str:
    """``b2a`` for a file in a folder of that name, else ``a2b``."""
    return "b2a" if path.absolute().parent.name == "b2a" else "a2b"


def read_generators(path: Path, direction: str | None = None) -> States:
    """Read one or both generators.

    Parameters
    ----------
    path
        A ``<epoch>_net_G.pth``, a folder with one, a folder with the folders ``a2b`` and
        ``b2a`` of which either has one, or a file this project wrote, with both.
    direction
        ``a2b`` or ``b2a``: which way a file with one generator goes, instead of what the name
        of its folder says.

    Returns
    -------
    dict
        A state dict for ``a2b``, ``b2a`` or both.
    """
    if path.is_dir():
        files = {key: file for key in DIRECTIONS if (file := _latest(path / key)) is not None}
        if files and direction is None:
            return {key: clean_generator(read_state(file)) for key, file in files.items()}
        file = _latest(path) or files.get(direction or "")
        if file is None:
            raise BenchError(
                f"{path} holds no <epoch>_net_G.pth, and no folder a2b or b2a with one"
            )
        path = file
    state = read_state(path)
    return own_states(state, path) or {direction or direction_of(path): clean_generator(state)}


def write_official(
    generators: Mapping[str, Mapping[str, Tensor]], folder: Path, epoch: str = "latest"
) -> list[Path]:
    """Write ``a2b/<epoch>_net_G.pth`` and ``b2a/<epoch>_net_G.pth`` for the original to load.

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
        write_weights(state, folder / direction / f"{epoch}_net_G.pth")
        for direction, state in generators.items()
    ]
