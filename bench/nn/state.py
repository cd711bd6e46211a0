"""State dicts: to files, several as one flat mapping, loaded with a clear word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bench.api import BenchError
from bench.storage.files import replacing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor, nn

INPUT_SKIP = "input_skip"
"""The key that marks a generator with this option in its state; shapes cannot tell."""

_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


def mark_input_skip(generator: nn.Module) -> None:
    """Leave :data:`INPUT_SKIP` in the state of `generator`: an empty buffer."""
    generator.register_buffer(INPUT_SKIP, torch.empty(0))


def check_state(state: Mapping[str, Tensor], module: nn.Module, what: str) -> None:
    """Raise `BenchError` naming the first key of `state` that does not fit `module`.

    Parameters
    ----------
    what
        Where the state comes from, to begin the message with.
    """
    expected = module.state_dict()
    skips, asked = (
        any(key.rpartition(".")[2] == INPUT_SKIP for key in keys) for keys in (state, expected)
    )
    if skips != asked:
        raise BenchError(f"{what}: trained with {INPUT_SKIP}={skips}, configure the method so")
    for key, wanted in expected.items():
        if key not in state:
            raise BenchError(
                f"{what} has no {key!r}, of shape {tuple(wanted.shape)}: it belongs to another "
                "network"
            )
        if not isinstance(state[key], torch.Tensor):
            raise BenchError(f"{what}: {key!r} is a {type(state[key]).__name__}, no weights")
        if state[key].shape != wanted.shape:
            raise BenchError(
                f"{what}: {key!r} has shape {tuple(state[key].shape)} where the network has "
                f"{tuple(wanted.shape)}: give the widths and depth it was trained with"
            )
        if wanted.is_floating_point() and not state[key].is_floating_point():
            raise BenchError(f"{what}: {key!r} holds {state[key].dtype}, no weights")
        if not bool(state[key].isfinite().all()):
            raise BenchError(f"{what}: {key!r} has values that are not finite: train it again")
    for key in state:
        if key not in expected:
            raise BenchError(
                f"{what} has {key!r}, which the network does not: it belongs to another network"
            )


def load_state(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load `state` into `module`, all of it or nothing; see :func:`check_state`."""
    check_state(state, module, what)
    module.load_state_dict(dict(state))


def select_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose keys begin with `prefix`, without it."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def refuse_others(state: Mapping[str, Any], known: Collection[str], path: Path) -> None:
    """Raise :class:`bench.api.BenchError` for an entry that belongs to none of the parts `known`.

    Parameters
    ----------
    state
        Entries ``<part>.<key>``, read from the file `path`.
    """
    if others := [key for key in state if key.partition(".")[0] not in known]:
        raise BenchError(f"{path} holds {others[0]!r} beside {' and '.join(known)}: take it out")


def join(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Several states as one flat mapping, ``<part>.<key>``; :func:`select_prefix` parts them."""
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}


def write_weights(state: Mapping[str, Tensor], path: Path) -> Path:
    """Write a state dict for `torch.load`, whole or not at all; gives `path`."""
    write_torch({key: value.cpu().contiguous() for key, value in state.items()}, path)
    return path


def write_torch(value: Any, path: Path) -> None:
    """Write a value with ``torch.save``, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(value, file)


def drop_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what old files keep of norms that never read it.

    Files from before PyTorch 0.4 hold running statistics of instance norms. A ``module.``
    before every key, which a parallel wrapper added, goes too.
    """
    return {
        key.removeprefix("module."): value
        for key, value in state.items()
        if not key.endswith(_STATISTICS)
    }
