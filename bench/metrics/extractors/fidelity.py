"""Our embedded extractor inside torch-fidelity, so that its own metrics can be run on it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch_fidelity import register_feature_extractor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from bench.api import Config
from bench.metrics.extractors.efficientnet import EfficientNetLite0

NAME = "efficientnet-lite0"
_LAYERS = ("1280", "logits")
_registered: set[str] = set()


def register(path: Path) -> str:
    """Register EfficientNet-Lite0 with torch-fidelity, once per process; gives its name.

    Parameters
    ----------
    path
        The verified weights file (:func:`bench.storage.weights.require`).
    """

    class Lite0(FeatureExtractorBase):  # type: ignore[misc]
        """torch-fidelity's protocol around :class:`EfficientNetLite0`."""

        def __init__(self, name: str, features_list: list[str], **_kwargs: object) -> None:
            super().__init__(name, features_list)
            self.network = EfficientNetLite0(Config(), [path], torch.device("cpu"))

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            features = self.network.features(images)
            made = {"1280": features, "logits": self.network.classifier(features)}
            return tuple(made[layer] for layer in self.features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return _LAYERS

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "1280"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> torch.Tensor:
            return torch.zeros((1, 3, 8, 8), dtype=torch.uint8)

    if NAME not in _registered:
        register_feature_extractor(NAME, Lite0)
        _registered.add(NAME)
    return NAME
