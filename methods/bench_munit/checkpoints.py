"""Weights in and out: the original's files, this suite's, and what they say of the widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bench.api import BenchError
from bench.nn.state import drop_statistics, join, write_torch
from bench.storage.weights import read_state
from bench.training.loop import modules_in
from bench_munit.config import MUNITConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def generator_to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's state with the dummies that the original insists on: 0 and 1."""
    original: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith("dec.model.0.") and name.endswith("conv.weight"):
            norm = name.removesuffix("conv.weight") + "norm"
            original[f"{norm}.running_mean"] = torch.zeros_like(value[:, 0, 0, 0])
            original[f"{norm}.running_var"] = torch.ones_like(value[:, 0, 0, 0])
        original[name] = value
    return original


def _from_torch(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    parts = _generators(content)
    if parts is None:
        raise BenchError(
            f"{path} is not a MUNIT generator file: {_first(content)}, expected 'a' and "
            "'b' with the generators of both domains (the original's gen_*.pt)"
        )
    if any(name.startswith("cnns.") for name in parts["a"]):
        raise BenchError(
            f"{path} holds MUNIT's discriminators (first key {next(iter(parts['a']))!r}), "
            "expected enc_style.model.0.conv.weight: give the gen_*.pt file beside it"
        )
    return join({domain: drop_statistics(part) for domain, part in parts.items()})


def _first(content: Mapping[str, Any]) -> str:
    """What a file has instead of two generators."""
    lacking = [domain for domain in "ab" if domain not in content]
    if len(lacking) < 2:
        return f"it lacks {lacking[0]!r}" if lacking else "'a' and 'b' hold other things"
    return f"its first key is {next(iter(content), 'nothing')!r}"


def _generators(content: Mapping[str, Any]) -> dict[str, Mapping[str, Tensor]] | None:
    """Both generators out of an original file or a training checkpoint; None if neither."""
    if (modules := modules_in(content)) is not None:
        content = {domain: modules.get(f"gen_{domain}") for domain in "ab"}
    parts: dict[str, Mapping[str, Tensor]] = {}
    for domain in "ab":
        part = content.get(domain)
        if not isinstance(part, dict) or not all(map(torch.is_tensor, part.values())):
            return None
        parts[domain] = part
    return parts


def read_generators(path: Path) -> dict[str, Tensor]:
    """Both generators of a weights file as a flat state in float32.

    Parameters
    ----------
    path
        The original's ``gen_*.pt``, a training checkpoint of this suite (``.pt``, ``.pth``)
        or this suite's weights (``.safetensors``, of any floating type).

    Raises
    ------
    BenchError
        When the file cannot be read or holds something else.
    """
    if path.suffix not in (".pt", ".pth", ".safetensors"):
        raise BenchError(f"{path}: weights end in .pt, .pth or .safetensors")
    state = read_state(path)
    if path.suffix != ".safetensors":
        state = _from_torch(state, path)
    return {name: value.float() for name, value in state.items()}


def config_from_state(state: Mapping[str, Tensor], where: str) -> dict[str, int]:
    """The generator's widths and parts, read from the shapes of a flat state.

    Raises
    ------
    BenchError
        When a key that tells a width is missing.
    """

    def shape(name: str, rank: int) -> torch.Size:
        if name not in state or state[name].ndim != rank:
            raise BenchError(
                f"{where} is not a MUNIT generator: it lacks {name} "
                f"(its first key is {next(iter(state), 'none')!r})"
            )
        return state[name].shape

    dim = shape("a.enc_content.model.0.conv.weight", 4)[0]
    mlp_dim, style_dim = shape("a.mlp.model.0.fc.weight", 2)
    n_downsample = 0
    while f"a.enc_content.model.{n_downsample + 1}.conv.weight" in state:
        n_downsample += 1
    n_res = 0
    blocks = f"a.enc_content.model.{n_downsample + 1}.model"
    while f"{blocks}.{n_res}.model.0.conv.weight" in state:
        n_res += 1
    shape(f"{blocks}.0.model.0.conv.weight", 4)
    doubling = shape("a.dec.model.2.conv.weight", 4)
    return {
        "gen_dim": dim,
        "mlp_dim": mlp_dim,
        "style_dim": style_dim,
        "n_downsample": n_downsample,
        "n_res": n_res,
        "antialias": doubling[-1] == 3,
        "pixel_skip": f"a.dec.model.{2 * n_downsample}.fine.weight" in state,
    }


def with_widths(state: Mapping[str, Tensor], config: Mapping[str, Any], where: str) -> MUNITConfig:
    """A configuration with the widths of `state`; other settings come from `config`.

    Raises
    ------
    BenchError
        When `config` names a width that the weights do not have.
    """
    widths = config_from_state(state, where)
    for name, value in widths.items():
        if name in config and config[name] != value:
            raise BenchError(f"{where} was made with {name}={value}, asked for {config[name]}")
    return MUNITConfig(**{**config, **widths})


def write_original(path: Path, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write ``{'a': state, 'b': state}`` as the original does, whole or not at all.

    Parameters
    ----------
    path
        ``gen_00500000.pt`` or ``dis_00500000.pt``; the original reads the iteration from
        the name.
    parts
        States by domain, generators or discriminators.
    """
    content = {
        domain: generator_to_original(
            {name: value.detach().cpu().contiguous() for name, value in part.items()}
        )
        for domain, part in parts.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_torch(content, path)
