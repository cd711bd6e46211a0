"""Vision transformers as DINO and DINOv2 trained them, read from their official files.

The architecture is that of Dosovitskiy et al. 2021 (ICLR); DINOv2 (Oquab et al. 2023) scales
the two branches of every block. Width, depth and patch size are read from the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from bench.api import BenchError, Config
from bench.metrics.extractors.similarity import self_similarity
from bench.storage import weights

SIZE = 224
_HEAD = 64
"""Channels of one attention head, in every published size."""
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_OFFSET = 0.1
"""Added to the side of the grid of positions when it is resampled, as DINOv2 was trained."""


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.keys: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, *, keep_keys: bool) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, width // _HEAD, _HEAD)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if keep_keys:
            self.keys = key.transpose(1, 2).flatten(2)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class _MLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int, *, scaled: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = _Attention(width), _MLP(width, hidden)
        self.ls1 = _Scale(width) if scaled else nn.Identity()
        self.ls2 = _Scale(width) if scaled else nn.Identity()

    def forward(self, x: torch.Tensor, *, keep_keys: bool) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), keep_keys=keep_keys))
        out: torch.Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class _Patches(nn.Module):
    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)


def resample_positions(positions: torch.Tensor, side: int) -> torch.Tensor:
    """Position embeddings ``(1, 1 + m^2, D)`` for a grid of `side` x `side` patches.

    The first one, of the class token, has no place and stays. Resampling is bicubic by the
    scale ``(side + 0.1) / m``, as in DINOv2's training.
    """
    own = round((positions.shape[1] - 1) ** 0.5)
    if own == side:
        return positions
    grid = positions[:, 1:].reshape(1, own, own, -1).permute(0, 3, 1, 2)
    scale = (side + _OFFSET) / own
    grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], 1)


class VisionTransformer(nn.Module):
    """The class token after the last norm ``(B, D)``, and the keys of the last block.

    Images are resized to 224 x 224 (bicubic, antialiased) and standardised by ImageNet's
    mean and deviation.
    """

    preprocessing = "bicubic-antialias-224-imagenet"

    def __init__(self, config: Config, paths: Sequence[Path], device: torch.device) -> None:
        super().__init__()
        (path,) = paths
        state = dict(weights.read_state(path))
        state.pop("mask_token", None)  # for training only
        try:
            self._build(state)
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise BenchError(f"{path} is no DINO vision transformer: {reason}") from error
        self.requires_grad_(False).eval().to(device)
        self.device = device

    def _build(self, state: Mapping[str, torch.Tensor]) -> None:
        width, _, patch, _ = state["patch_embed.proj.weight"].shape
        hidden = len(state["blocks.0.mlp.fc1.bias"])
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        scaled = "blocks.0.ls1.gamma" in state
        self.patch_embed = _Patches(width, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros_like(state["pos_embed"]))
        self.blocks = nn.ModuleList(_Block(width, hidden, scaled=scaled) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.load_state_dict(state)
        self.side = SIZE // patch
        self.pos_embed = nn.Parameter(resample_positions(self.pos_embed.detach(), self.side))

    def _forward(
        self, images: torch.Tensor, *, keep_keys: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 (B, 3, H, W), got {images.dtype} {images.shape}")
        x = images.to(self.device).float()
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp_(0, 255)
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
        patches = self.patch_embed.proj((x / 255 - mean) / deviation).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        for index, block in enumerate(self.blocks):
            x = block(x, keep_keys=keep_keys and index == len(self.blocks) - 1)
        last = self.blocks[-1].attn
        assert isinstance(last, _Attention)
        keys, last.keys = last.keys, None
        out: torch.Tensor = self.norm(x)[:, 0]
        return out, keys

    @torch.inference_mode()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, D)``."""
        return self._forward(images, keep_keys=False)[0]

    @torch.inference_mode()
    def describe(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, D)`` and keys' self-similarity ``(B, 1176)``."""
        features, keys = self._forward(images, keep_keys=True)
        assert keys is not None
        local = keys[:, 1:].transpose(1, 2).reshape(len(keys), -1, self.side, self.side)
        return features, self_similarity(local)
