"""What a feature extractor and a perceptual distance look like, and how one is chosen."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench import weights
from bench.api import BenchError, WeightFile
from bench.metrics import files

if TYPE_CHECKING:
    import torch


class FeatureExtractor(Protocol):
    """Images to one vector each.

    Attributes
    ----------
    name
        What stands beside every number made with it.
    preprocessing
        How images are brought to the network's size; part of the cache key.
    """

    name: str
    preprocessing: str

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, D)``."""
        ...

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to a map of local features, float32 ``(B, h * w, C)``."""
        ...


class PerceptualDistance(Protocol):
    """Images to vectors whose squared Euclidean distance is the perceptual distance."""

    name: str
    preprocessing: str
    smallest: int
    """The smallest side the network can take, in pixels."""

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 3, H, W)`` to float32 ``(B, F)``, F growing with H and W."""
        ...


@dataclass(frozen=True)
class Chosen:
    """A network that is to be had: its name, the file it is read from, and how.

    Parameters
    ----------
    name
        ``efficientnet-lite0``, ``lpips-0.1-alex``, …
    sha256
        Of everything it is read from; part of cache keys.
    build
        Reads it.
    """

    name: str
    sha256: str
    build: Callable[[torch.device], Any]


@dataclass(frozen=True)
class _Network:
    name: str
    implementation: str
    heads: str = ""


_NETWORKS: Mapping[tuple[str, str], _Network] = {
    (files.INCEPTION.name, ""): _Network(
        "inception-v3", "bench.metrics.extractors.inception:Inception"
    ),
    (files.EFFICIENTNET.name, ""): _Network(
        "efficientnet-lite0", "bench.metrics.extractors.efficientnet:EfficientNetLite0"
    ),
    (files.ST_ALEX.name, ""): _Network(
        "st-lpips-alex", "bench.metrics.extractors.perceptual:st_alex"
    ),
    (files.ST_VGG.name, ""): _Network("st-lpips-vgg", "bench.metrics.extractors.perceptual:st_vgg"),
    **{
        (file.name, "" if version == "0.1" else version): _Network(
            f"lpips-{version}-{net}", f"bench.metrics.extractors.perceptual:lpips_{net}", version
        )
        for net, file in (
            ("alex", files.ALEXNET),
            ("vgg", files.VGG16),
            ("squeeze", files.SQUEEZENET),
        )
        for version in ("0.1", "0.0")
    },
}
"""The networks by (weights file, version)."""


def choose(
    candidates: Sequence[WeightFile],
    *,
    weights_dir: Path | None,
    offline: bool,
    version: str = "",
) -> Chosen:
    """The best network whose weights are to be had.

    Parameters
    ----------
    candidates
        Weight files, best first.
    version
        ``"0.0"`` for the first release of LPIPS; empty: the current one.

    Raises
    ------
    BenchError
        When no file is to be had, or one was tampered with.
    """
    known = [file for file in candidates if (file.name, version) in _NETWORKS]
    if not known:
        names = ", ".join(file.name for file in candidates)
        raise BenchError(f"no extractor reads {names}: name one of the files of bench doctor")
    file, path = weights.require(known, weights_dir=weights_dir, offline=offline)
    network = _NETWORKS[file.name, version]
    paths, hashes = [path], [file.sha256]
    if network.heads:
        head = files.LPIPS_HEADS[network.heads, network.name.rsplit("-", 1)[1]]
        head, head_path = weights.require([head], weights_dir=weights_dir, offline=offline)
        paths, hashes = [path, head_path], [file.sha256, head.sha256]

    def build(device: torch.device) -> Any:
        module, _, attribute = network.implementation.partition(":")
        make = getattr(importlib.import_module(module), attribute)
        if network.heads:
            return make(*paths, version=network.heads, device=device)
        return make(*paths, device=device)

    return Chosen(network.name, "-".join(hashes), build)
