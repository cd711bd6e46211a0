"""DreamSim (Fu et al. 2023, NeurIPS): distances of whole pictures, fitted to people's choices.

The single branch ``dino_vitb16``: DINO's ViT-B/16, adapted by low-rank matrices (LoRA, Hu et al.
2022, ICLR) that are added to its weights as they are read: the network costs what DINO costs, and
needs no package for adapters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, ValidationError
from torch import nn

from bench.api import BenchError, Config
from bench.metrics.extractors.vit import VisionTransformer
from bench.plugins import explain_validation
from bench.storage import weights

_DEPTH, _PATCH = 12, 16
"""Blocks, and the side of a patch, of the network that was adapted."""
_HALF = re.compile(r"base_model\.model\.extractor_list\.0\.model\.(.+)\.lora_([AB])\.weight")
"""The name of one matrix of a pair: which layer it adapts, and which of the two it is."""


class _Setup(BaseModel):
    """What an adapter's ``adapter_config.json`` says and this module follows.

    Variants of LoRA that are more than ``alpha / r`` times a product are refused, not ignored.
    """

    peft_type: Literal["LORA"]
    r: int = Field(gt=0)
    lora_alpha: float = Field(gt=0)
    target_modules: list[str]
    bias: Literal["none"]
    fan_in_fan_out: Literal[False] = False
    use_rslora: Literal[False] = False
    use_dora: Literal[False] = False
    rank_pattern: dict[str, int] | None = Field(None, max_length=0)
    alpha_pattern: dict[str, float] | None = Field(None, max_length=0)
    layer_replication: None = None


def _read_setup(path: Path) -> _Setup:
    try:
        return _Setup.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BenchError(
            explain_validation(f"{path} describes no adapter of DreamSim's", error, ())
        ) from None


def merge(
    state: Mapping[str, torch.Tensor], adapter: Mapping[str, torch.Tensor], setup: _Setup
) -> Mapping[str, torch.Tensor]:
    """Return weights with an adapter added: ``W + B A alpha / r`` for each layer that it adapts.

    Parameters
    ----------
    state
        Weights of a network, by name.
    adapter
        A pair for each layer that `setup` targets: A ``(r, in)`` and B ``(out, r)``.

    Raises
    ------
    ValueError
        When it lacks a matrix, holds anything else, or a shape does not fit.
    """
    halves = {}
    for key, tensor in adapter.items():
        if (match := _HALF.fullmatch(key)) is None:
            raise ValueError(f"it holds {key}, which is no matrix of an adapter of one branch")
        halves[match[1], match[2]] = tensor
    ends = tuple(f".{target}.weight" for target in setup.target_modules)
    layers = [name.removesuffix(".weight") for name in state if f".{name}".endswith(ends)]
    wanted = {(layer, half) for layer in layers for half in "AB"}
    if not wanted or halves.keys() != wanted:
        odd = sorted(halves.keys() ^ wanted)
        named = f"lora_{odd[0][1]} of {odd[0][0]}" if odd else "any matrix"
        raise ValueError(f"{named} is missing, or has no place in this network")
    merged = dict(state)
    for layer in layers:
        weight = state[f"{layer}.weight"]
        down, up = halves[layer, "A"], halves[layer, "B"]
        if (down.shape, up.shape) != ((setup.r, weight.shape[1]), (weight.shape[0], setup.r)):
            raise ValueError(
                f"its matrices of {layer} are {tuple(down.shape)} and {tuple(up.shape)}: they do "
                f"not fit weights {tuple(weight.shape)} at rank {setup.r}"
            )
        merged[f"{layer}.weight"] = weight + up @ down * (setup.lora_alpha / setup.r)
    return merged


class DreamSim(VisionTransformer):
    """The class token after the last block, before any norm ``(B, D)``.

    Images are brought to the network as DINO's are. Files: the weights of DINO's ViT-B/16, what
    describes the adapter, and the adapter.
    """

    smallest = 1

    def __init__(self, config: Config, paths: Sequence[Path], device: torch.device) -> None:
        super().__init__(config, paths, device)
        # DreamSim compares what the last block gives as it is.
        self.norm = nn.Identity()

    def _read(self, paths: Sequence[Path]) -> Mapping[str, torch.Tensor]:
        network, setup, adapter = paths
        state = super()._read([network])
        depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
        patch = state["patch_embed.proj.weight"].shape[-1]
        if (depth, patch) != (_DEPTH, _PATCH):
            raise ValueError(f"it has {depth} blocks and patches of {patch}, not 12 and 16")
        described, pairs = _read_setup(setup), weights.read_state(adapter)
        try:
            return merge(state, pairs, described)
        except ValueError as error:
            raise BenchError(f"{adapter} is no adapter of {network.name}: {error}") from error

    @torch.inference_mode()
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Vectors whose squared Euclidean distances are one minus the cosine of the embeddings.

        Parameters
        ----------
        images
            uint8 ``(B, 3, H, W)``.

        Returns
        -------
        torch.Tensor
            float32 ``(B, D)``; of length ``1 / sqrt(2)``, each with mean 0.
        """
        token = self.features(images)
        return F.normalize(token - token.mean(1, keepdim=True), dim=1) / 2**0.5
