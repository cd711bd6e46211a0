"""What a feature extractor and a perceptual distance look like, and how one is chosen."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.api import BenchError, WeightFile
from bench.metrics import files
from bench.storage import weights

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

    def describe(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features ``(B, D)`` and :func:`self_similarity` ``(B, S)``, from one pass."""
        ...


GRID = 7
"""Self-similarity is taken between the cells of a grid of so many rows and columns."""


def self_similarity(local: torch.Tensor) -> torch.Tensor:
    """How alike the places of an image are to each other, whatever they look like.

    Parameters
    ----------
    local
        Local features of a middle layer, ``(B, C, h, w)``.

    Returns
    -------
    torch.Tensor
        Cosine similarities of all pairs of different cells of a `GRID` x `GRID` grid,
        float32 ``(B, 1176)``. Each channel's mean over the image is taken off first: the
        season of the whole picture shifts all places alike, its structure does not.
    """
    import torch
    from torch.nn import functional

    cells = functional.adaptive_avg_pool2d(local.float(), GRID).flatten(2).transpose(1, 2)
    cells = functional.normalize(cells - cells.mean(1, keepdim=True), dim=-1)
    row, column = torch.triu_indices(GRID**2, GRID**2, 1, device=cells.device)
    return (cells @ cells.transpose(1, 2))[:, row, column]


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
    (files.DINOV2_VITB14.name, ""): _Network(
        "dinov2-vitb14", "bench.metrics.extractors.vit:dinov2_vitb14"
    ),
    (files.DINOV2_VITS14.name, ""): _Network(
        "dinov2-vits14", "bench.metrics.extractors.vit:dinov2_vits14"
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


class MissingWeights(BenchError):
    """No weights for a network are to be had; nothing is wrong with those that are there."""


def _found(
    candidates: Sequence[WeightFile], weights_dir: Path | None, offline: bool
) -> tuple[WeightFile, Path]:
    try:
        return weights.require(candidates, weights_dir=weights_dir, offline=offline)
    except BenchError as error:
        for file in candidates:
            # A file of the right name and the wrong content is an error, not an absence.
            weights.find(file, weights_dir=weights_dir, offline=True)
        raise MissingWeights(str(error)) from error


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
    MissingWeights
        When no file is to be had.
    BenchError
        When one was tampered with.
    """
    known = [file for file in candidates if (file.name, version) in _NETWORKS]
    if not known:
        names = ", ".join(file.name for file in candidates)
        raise BenchError(f"no extractor reads {names}: name one of the files of bench doctor")
    file, path = _found(known, weights_dir, offline)
    network = _NETWORKS[file.name, version]
    paths, hashes = [path], [file.sha256]
    if network.heads:
        head = files.LPIPS_HEADS[network.heads, network.name.rsplit("-", 1)[1]]
        head, head_path = _found([head], weights_dir, offline)
        paths, hashes = [path, head_path], [file.sha256, head.sha256]

    def build(device: torch.device) -> Any:
        module, _, attribute = network.implementation.partition(":")
        make = getattr(importlib.import_module(module), attribute)
        if network.heads:
            return make(*paths, version=network.heads, device=device)
        return make(*paths, device=device)

    return Chosen(network.name, "-".join(hashes), build)
