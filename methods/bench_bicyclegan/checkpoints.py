"""Networks from and to files: the official layout, and this project's own.

Officially ``<name>_net_G.pth`` holds a generator and ``<name>_net_E.pth`` its encoder, each a
plain state dict with the keys of :mod:`bench_bicyclegan.networks`. Such a pair translates in
one direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.nn.state import (
    INPUT_SKIP,
    drop_statistics,
    join,
    refuse_others,
    select_prefix,
    write_weights,
)
from bench.storage.weights import read_state
from bench.training.loop import modules_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

DIRECTIONS = ("a2b", "b2a")
LETTERS = {"gen": "G", "enc": "E"}
"""The two networks that translation needs, and their letters in official file names."""


def infer_widths(parts: Mapping[str, Mapping[str, Tensor]], path: Path) -> dict[str, int | bool]:
    """Read what one direction's networks are configured with from their states.

    Raises
    ------
    BenchError
        When the state is not that of such networks.
    """
    gen, enc = parts.get("gen", {}), parts.get("enc", {})
    first = gen.get("model.down.0.weight")
    if first is None or first.ndim != 4 or first.shape[1] < 4:
        found = next(iter(gen), "no keys")
        raise BenchError(
            f"{path} is not a BicycleGAN U-Net: 'model.down.0.weight' (ngf, 3 + nz, 4, 4) is "
            f"missing, the first key is {found!r}"
        )
    depth = sum(key.endswith((".down.0.weight", ".down.1.weight")) for key in gen)
    doubling = gen.get("model.up.1.weight")
    widths = {
        "ngf": first.shape[0],
        "nz": first.shape[1] - 3,
        "depth": depth,
        "antialias": doubling is not None and doubling.shape[-1] == 3,
        INPUT_SKIP: INPUT_SKIP in gen,
    }
    if "conv.0.weight" in enc:
        blocks = sum(key.endswith(".shortcut.1.weight") for key in enc)
        widths |= {"nef": enc["conv.0.weight"].shape[0], "n_blocks_e": blocks}
    return widths


def read_networks(path: Path, direction: str = "a2b") -> dict[str, dict[str, dict[str, Tensor]]]:
    """Read the networks of one or both directions.

    Parameters
    ----------
    path
        A ``<name>_net_G.pth`` (its ``_net_E`` sibling is read too where it is), a folder with
        one, or a file this project wrote.
    direction
        Which way an official pair goes.

    Returns
    -------
    dict
        For each direction, ``gen`` and, where there is one, ``enc``.
    """
    if direction not in DIRECTIONS:
        raise BenchError(f"direction {direction!r} is unknown: choose from a2b, b2a")
    if path.is_dir():
        found = sorted(path.glob("*_net_G.pth"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise BenchError(f"{path} holds no <name>_net_G.pth")
        path = found[-1]
    state: dict[str, Any] = dict(read_state(path))
    if (modules := modules_in(state)) is not None:
        state = join(modules)
    networks: dict[str, dict[str, dict[str, Tensor]]] = {}
    for key in DIRECTIONS:
        parts = {name: select_prefix(state, f"{key}.{name}.") for name in LETTERS}
        if any(parts.values()):
            networks[key] = {name: part for name, part in parts.items() if part}
    if networks:
        if modules is None:
            refuse_others(state, DIRECTIONS, path)
        return networks
    networks[direction] = {"gen": drop_statistics(state)}
    sibling = path.with_name(path.name.replace("_net_G", "_net_E"))
    if sibling != path and sibling.exists():
        networks[direction]["enc"] = drop_statistics(read_state(sibling))
    return networks


def write_official(
    parts: Mapping[str, Mapping[str, Tensor]], folder: Path, name: str = "latest"
) -> list[Path]:
    """Write one direction's ``<name>_net_G.pth`` and ``<name>_net_E.pth``.

    Parameters
    ----------
    parts
        State dicts of ``gen`` and ``enc``.

    Returns
    -------
    list of Path
        The files, each whole or not there.
    """
    return [
        write_weights(state, folder / f"{name}_net_{LETTERS[part]}.pth")
        for part, state in parts.items()
    ]
