"""Vision transformers as DINO, DINOv2 and CLIP trained them, read from their official files.

The architecture is that of Dosovitskiy et al. 2021 (ICLR); DINOv2 (Oquab et al. 2023) scales
the two branches of every block, CLIP (Radford et al. 2021, ICML) has a norm before the first
block and a projection after the last. Width, depth and patch size are read from the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from bench.api import BenchError, Config
from bench.metrics.extractors.similarity import self_similarity
from bench.storage import weights

_HEAD = 64
"""Channels of one attention head, in every published size."""
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


def _quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


@dataclass(frozen=True)
class Training:
    """What a network was trained with, and its weights do not say.

    Parameters
    ----------
    size
        Side of the pictures.
    mean, deviation
        That pictures are standardised by, of red, green and blue in ``[0, 1]``.
    epsilon
        Of every norm.
    activation
        Between the two layers of every block's perceptron.
    """

    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    epsilon: float
    activation: Callable[[torch.Tensor], torch.Tensor]


_DINO = Training(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1e-6, F.gelu)
_CLIP_336 = Training(
    336,
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    1e-5,
    _quick_gelu,
)


class _MLP(nn.Module):
    def __init__(self, width: int, hidden: int, trained: Training) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation = trained.activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc2(self.activation(self.fc1(x)))
        return out


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int, trained: Training, *, scaled: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=trained.epsilon)
        self.norm2 = nn.LayerNorm(width, eps=trained.epsilon)
        self.attn, self.mlp = _Attention(width), _MLP(width, hidden, trained)
        self.ls1 = _Scale(width) if scaled else nn.Identity()
        self.ls2 = _Scale(width) if scaled else nn.Identity()

    def forward(self, x: torch.Tensor, *, keep_keys: bool) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), keep_keys=keep_keys))
        out: torch.Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class _Patches(nn.Module):
    def __init__(self, width: int, patch: int, *, bias: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch, bias=bias)


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
    """DINO's and DINOv2's: the class token after the last norm ``(B, D)``, and the last keys.

    Images are resized to 224 x 224 (bicubic, antialiased) and standardised by ImageNet's
    mean and deviation.
    """

    preprocessing = "bicubic-antialias-224-imagenet"
    title = "DINO"
    trained = _DINO

    def __init__(self, config: Config, paths: Sequence[Path], device: torch.device) -> None:
        super().__init__()
        try:
            self._build(self._read(paths))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise BenchError(
                f"{paths[0]} is no {self.title} vision transformer: {reason}"
            ) from error
        self.requires_grad_(False).eval().to(device)
        self.device = device

    def _read(self, paths: Sequence[Path]) -> Mapping[str, torch.Tensor]:
        """Return the weights that the files hold, under the names of this class."""
        (path,) = paths
        return self._named(weights.read_state(path))

    def _named(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return the weights under the names of this class, and no others."""
        # The mask token is for training only.
        return {name: tensor for name, tensor in state.items() if name != "mask_token"}

    def _build(self, state: Mapping[str, torch.Tensor]) -> None:
        width, _, patch, _ = state["patch_embed.proj.weight"].shape
        hidden = len(state["blocks.0.mlp.fc1.bias"])
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        scaled, epsilon = "blocks.0.ls1.gamma" in state, self.trained.epsilon
        self.patch_embed = _Patches(width, patch, bias="patch_embed.proj.bias" in state)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros_like(state["pos_embed"]))
        first, last = "norm_pre.weight" in state, state.get("head.weight")
        self.norm_pre = nn.LayerNorm(width, eps=epsilon) if first else nn.Identity()
        self.blocks = nn.ModuleList(
            _Block(width, hidden, self.trained, scaled=scaled) for _ in range(depth)
        )
        self.norm: nn.Module = nn.LayerNorm(width, eps=epsilon)
        self.head = nn.Identity() if last is None else nn.Linear(width, len(last), bias=False)
        self.load_state_dict(state)
        self.side = self.trained.size // patch
        self.pos_embed = nn.Parameter(resample_positions(self.pos_embed.detach(), self.side))

    def _forward(
        self, images: torch.Tensor, *, keep_keys: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 (B, 3, H, W), got {images.dtype} {images.shape}")
        x, size = images.to(self.device).float(), (self.trained.size, self.trained.size)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size=size, mode="bicubic", antialias=True).clamp_(0, 255)
        mean, deviation = (
            x.new_tensor(v)[:, None, None] for v in (self.trained.mean, self.trained.deviation)
        )
        patches = self.patch_embed.proj((x / 255 - mean) / deviation).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        x = self.norm_pre(x)
        for index, block in enumerate(self.blocks):
            x = block(x, keep_keys=keep_keys and index == len(self.blocks) - 1)
        last = self.blocks[-1].attn
        assert isinstance(last, _Attention)
        keys, last.keys = last.keys, None
        out: torch.Tensor = self.head(self.norm(x)[:, 0])
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


class CLIPImages(VisionTransformer):
    """CLIP's image embeddings ``(B, D)``, projected and of length 1, and the last keys.

    Images are resized to 336 x 336 (bicubic, antialiased) and standardised as CLIP was trained.
    The file is one of Hugging Face's ``CLIPModel``; its text tower is not looked at.
    """

    preprocessing = "bicubic-antialias-336-clip"
    title = "CLIP"
    trained = _CLIP_336

    def _named(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        tower, layers = "vision_model.", "vision_model.encoder.layers."
        given = {key: state[key] for key in state if key.startswith(tower)}
        given.pop(f"{tower}embeddings.position_ids", None)  # 0, 1, 2, …, in older files
        named = {
            "cls_token": given.pop(f"{tower}embeddings.class_embedding")[None, None],
            "pos_embed": given.pop(f"{tower}embeddings.position_embedding.weight")[None],
            "head.weight": state["visual_projection.weight"],
        }
        for depth in {key.split(".")[3] for key in given if key.startswith(layers)}:
            for kind in ("weight", "bias"):
                # One product for all three, in this order.
                named[f"blocks.{depth}.attn.qkv.{kind}"] = torch.cat(
                    [given.pop(f"{layers}{depth}.self_attn.{of}_proj.{kind}") for of in "qkv"]
                )
        for key, tensor in given.items():
            for theirs, ours in _CLIP_NAMES:
                key = key.replace(theirs, ours)
            named[key] = tensor
        return named

    def _forward(
        self, images: torch.Tensor, *, keep_keys: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        embedded, keys = super()._forward(images, keep_keys=keep_keys)
        return F.normalize(embedded, dim=-1), keys


_CLIP_NAMES = (
    ("vision_model.embeddings.patch_embedding", "patch_embed.proj"),
    ("vision_model.encoder.layers", "blocks"),
    ("vision_model.pre_layrnorm", "norm_pre"),
    ("vision_model.post_layernorm", "norm"),
    ("layer_norm", "norm"),
    ("self_attn.out_proj", "attn.proj"),
)
"""Hugging Face's names (the misspelt one as well), and those of this module."""
