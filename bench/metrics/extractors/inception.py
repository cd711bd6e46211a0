"""The Inception v3 of FID, as torch-fidelity carries it, with batch norms folded in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench.api import BenchError, Config
from bench.metrics.extractors.similarity import self_similarity
from bench.storage import weights


class Inception(nn.Module):
    """Pooled features ``(B, 2048)`` of the TensorFlow Inception of 2015-12-05.

    The network and its resampling to 299 x 299 are torch-fidelity's own; only the speed is
    ours: batch norms folded into convolutions, channels last.
    """

    preprocessing = "tf1-bilinear-299"

    def __init__(self, config: Config, paths: Sequence[Path], device: torch.device) -> None:
        super().__init__()
        (path,) = paths
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity unpickles without restraint: the file is first read safely here,
        # after its hash was checked by bench.storage.weights.
        weights.read_state(path)
        try:
            net = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except (RuntimeError, KeyError) as error:
            raise BenchError(f"{path} is no torch-fidelity Inception: {error}") from error
        for module in net.modules():
            if hasattr(module, "conv") and hasattr(module, "bn"):
                module.conv = fuse_conv_bn_eval(module.conv, module.bn)
                module.bn = nn.Identity()
        self.net = net.to(device).to(memory_format=torch.channels_last)
        self._map: torch.Tensor | None = None
        net.Mixed_6e.register_forward_hook(self._keep)
        self.device = device

    def _keep(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        self._map = output

    @torch.inference_mode()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, 2048)``."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 (B, 3, H, W), got {images.dtype} {images.shape}")
        out: torch.Tensor = self.net(images.to(self.device))[0]
        self._map = None
        return out

    @torch.inference_mode()
    def describe(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, 2048)`` and self-similarity ``(B, 1176)``."""
        out: torch.Tensor = self.net(images.to(self.device))[0]
        assert self._map is not None
        local, self._map = self._map, None
        return out, self_similarity(local)
