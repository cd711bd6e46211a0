"""Generators from and to files: the official layout, and this project's own.

Officially a file holds one generator, ``model.<i>…`` keys only: ``<epoch>_net_G_A.pth``
translates domain a to b, ``<epoch>_net_G_B.pth`` back, and the published ones are called
after what they do (``summer2winter_yosemite.pth``). Files from before PyTorch 0.4 also hold
statistics of the instance norms, which mean nothing and are dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.nn.state import drop_statistics, join, select_prefix, write_weights
from bench.storage.weights import read_state
from bench.training.loop import modules_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

DIRECTIONS = ("a2b", "b2a")

SKIP_KEY = "input_skip"
"""Stands among the weights of a generator that was trained with that option."""

_PUBLISHED_B2A = re.compile(
    r"(winter2summer|zebra2horse|orange2apple|style_|map2sat|"
    r"cityscapes_label2photo|facades_label2photo)"
)
"""Published generators whose source is the second domain of their dataset."""

_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.1\.weight")


def clean_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what old files have besides weights, and undo what wrappers added to the keys.

    With dropout between the two convolutions of a block, the second one is called 6;
    dropout rests in translation.
    """
    return {
        key.replace(".conv_block.6.", ".conv_block.5."): value
        for key, value in drop_statistics(state).items()
    }


def infer_widths(state: Mapping[str, Tensor], path: Path) -> dict[str, int]:
    """Read ``ngf``, ``n_blocks`` and ``n_downsampling`` from the shapes of one generator.

    Raises
    ------
    BenchError
        When the state is not that of such a generator.
    """
    first = state.get("model.1.weight")
    if first is None or first.ndim != 4 or tuple(first.shape[1:]) != (3, 7, 7):
        found = next(iter(state), "no keys")
        raise BenchError(
            f"{path} is not a CycleGAN resnet generator: 'model.1.weight' (ngf, 3, 7, 7) is "
            f"missing, the first key is {found!r}"
        )
    blocks = sorted(int(match[1]) for key in state if (match := _BLOCK.fullmatch(key)))
    if not blocks:
        raise BenchError(f"{path} is not a CycleGAN resnet generator: it has no residual block")
    # Pad, convolution, norm and activation come first; three layers make a downsampling.
    return {
        "ngf": first.shape[0],
        "n_blocks": len(blocks),
        "n_downsampling": max(1, (blocks[0] - 4) // 3),
    }


def direction_of(path: Path) -> str:
    """``a2b`` or ``b2a``, from the name of a file that holds one generator."""
    name = path.stem
    return "b2a" if name.endswith("_net_G_B") or _PUBLISHED_B2A.match(name) else "a2b"


def read_generators(path: Path, direction: str | None = None) -> dict[str, dict[str, Tensor]]:
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
    if direction is not None and direction not in DIRECTIONS:
        raise BenchError(f"direction {direction!r} is unknown: choose from a2b, b2a")
    if path.is_dir():
        pairs = sorted(path.glob("*_net_G_[AB].pth"), key=lambda p: p.stat().st_mtime)
        if not pairs:
            raise BenchError(f"{path} holds no <epoch>_net_G_A.pth or <epoch>_net_G_B.pth")
        path = pairs[-1]
    state: dict[str, Any] = dict(read_state(path))
    if (modules := modules_in(state)) is not None:
        state = join({d: modules.get(d, {}) for d in DIRECTIONS})
    both = {d: select_prefix(state, f"{d}.") for d in DIRECTIONS}
    if any(both.values()):
        return {d: part for d, part in both.items() if part}
    found = {direction or direction_of(path): clean_official(state)}
    if direction is None and path.stem.endswith(("_net_G_A", "_net_G_B")):
        sibling = path.with_stem(path.stem[:-1] + ("B" if path.stem[-1] == "A" else "A"))
        if sibling.exists():
            found[direction_of(sibling)] = clean_official(read_state(sibling))
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
