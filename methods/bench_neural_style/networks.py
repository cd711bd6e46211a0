"""VGG-19 as a frozen feature extractor, cut after the deepest layer that is needed.

Pictures go in as RGB on the 0..255 scale, whatever the weights (:mod:`bench.nn.vgg`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F

from bench.api import BenchError
from bench.nn.vgg import VGG, Weights, read_weights
from bench.nn.winograd import TILE, FrozenKernel, frozen_conv_relu
from bench_neural_style.config import LAYERS, layer_name

if TYPE_CHECKING:
    from bench_neural_style.config import NeuralStyleConfig

__all__ = ["VGG19", "Weights", "read_weights"]


class _ConvReLU(torch.autograd.Function):
    """3x3 convolution and ReLU for float32 on CPUs, with kernels laid out once.

    The derivative with respect to the input of a padded 3x3 convolution is such a
    convolution again, with flipped and transposed kernels; both directions then run through
    oneDNN's fused operator, which spares laying out the kernels anew in every call.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, back: torch.Tensor
    ) -> torch.Tensor:
        y = _fused(x, kernel, bias, "relu")
        ctx.save_for_backward(y, back)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        y, back = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grads[0], y, 0)
        return _fused(grad, back, None, "none"), None, None, None


def _fused(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, then: str
) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, kernel, bias, [1, 1], [1, 1], [1, 1], 1, then, [], ""
    )
    return out


def _lay_out(kernel: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        kernel, [1, 1], [1, 1], [1, 1], 1, list(shape)
    )
    return out


def _winograd_pays(x: torch.Tensor, kernel: torch.Tensor) -> bool:
    """Whether filtering is faster than oneDNN; depends on no neighbour in the batch."""
    tiles = -(-x.shape[2] // TILE) * -(-x.shape[3] // TILE)
    return kernel.shape[1] >= 128 and tiles >= 16


class VGG19(VGG):
    """Features of VGG-19 at named layers.

    Parameters
    ----------
    weights
        The convolutions.
    deepest
        The last layer that will be asked for; what lies behind it is left out.
    pooling
        ``max`` or ``avg``, 2x2 with stride 2.

    Attributes
    ----------
    autocast
        Around the convolutions, and nothing else: statistics and losses keep their precision.
    """

    def __init__(self, weights: Weights, *, deepest: str, pooling: Literal["max", "avg"]) -> None:
        pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        super().__init__("vgg19", weights, deepest=layer_name(deepest), pool=pool)
        self.to(memory_format=torch.channels_last)
        self._laid_out: dict[tuple[str, int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self._frozen: dict[str, FrozenKernel] = {}
        self.autocast: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def min_side(self) -> int:
        """The shortest side of a picture that reaches the deepest layer, in pixels."""
        return smallest_side(self.layers[-1].name)

    def forward(self, images: torch.Tensor, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Rectified responses at the named layers.

        Parameters
        ----------
        images
            ``(B, 3, H, W)``, RGB, 0..255.
        names
            Canonical layer names, none deeper than `deepest`.

        Returns
        -------
        dict
            Name to ``(B, C, H', W')``, in channels-last memory.

        Raises
        ------
        BenchError
            When the pictures are too small, or are not RGB.
        """
        height, width = images.shape[-2:]
        if images.ndim != 4 or images.shape[1] != 3:
            raise BenchError(f"neural_style needs RGB images, not shape {tuple(images.shape)}")
        if min(height, width) < self.min_side:
            raise BenchError(
                f"an image of {width}x{height} pixels is too small for {self.layers[-1].name}: "
                f"each side must have at least {self.min_side}"
            )
        wanted, found = set(names), {}
        for name, response in self.responses(images.contiguous(memory_format=torch.channels_last)):
            if name in wanted:
                found[name] = response
            if len(found) == len(wanted):
                break
        return found

    def convolve(
        self, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, name: str
    ) -> torch.Tensor:
        """Return the response by whatever is fastest on this device and at this size."""
        with self.autocast():
            if not _can_fuse(x):
                return super().convolve(x, kernel, bias, name)
        if _winograd_pays(x, kernel):
            if name not in self._frozen:
                self._frozen[name] = FrozenKernel.of(kernel, bias)
            return frozen_conv_relu(x, self._frozen[name])
        key = (name, x.shape[0], x.shape[2] * 65536 + x.shape[3])
        if key not in self._laid_out:
            if len(self._laid_out) > 256:
                self._laid_out.clear()
            back = kernel.flip(2, 3).transpose(0, 1)
            back = back.contiguous(memory_format=torch.channels_last)
            shape = torch.Size((x.shape[0], kernel.shape[0], *x.shape[2:]))
            self._laid_out[key] = (_lay_out(kernel, x.shape), _lay_out(back, shape))
        forward, back = self._laid_out[key]
        result: torch.Tensor = _ConvReLU.apply(x, forward, bias, back)
        return result


def _can_fuse(x: torch.Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and not torch.is_autocast_enabled("cpu")
    )


@torch.no_grad()
def normalize(weights: Weights, images: torch.Tensor, *, pooling: Literal["max", "avg"]) -> Weights:
    """Scale every filter to mean activation 1 over images and positions (paper, section 2).

    Rectification and pooling commute with positive scales, so that a feature is only
    divided by its mean; what the network computes is otherwise unchanged.

    Parameters
    ----------
    weights
        The network.
    images
        ``(B, 3, H, W)``, RGB, 0..255: what the mean is taken over.
    pooling
        As the network will be used.
    """
    network = VGG19(weights, deepest=LAYERS[-1], pooling=pooling).to(images.device)
    kernels, biases, before = [], [], torch.ones(3)
    names = [n for n in LAYERS if min(images.shape[-2:]) >= 2 ** (int(n[4]) - 1)]
    found = network(images, names)
    for name, kernel, bias in zip(LAYERS, weights.kernels, weights.biases, strict=True):
        if name in found:
            means = found[name].mean((0, 2, 3)).cpu()
            # A filter that these images never wake must not be blown up without bound.
            means = means.clamp(min=1e-2 * float(means.mean()) + 1e-12)
        else:
            means = torch.ones(len(bias))
        kernels.append(kernel * before[:, None, None] / means[:, None, None, None])
        biases.append(bias / means)
        before = means
    return Weights(tuple(kernels), tuple(biases), weights.mean)


def smallest_side(layer: str) -> int:
    """The side, in pixels, of the smallest picture that still has a response at a layer."""
    return 1 << (int(layer[4]) - 1)


def deepest_layer(names: Sequence[str]) -> str:
    """The deepest of the named layers."""
    return max(names, key=LAYERS.index)


def network_for(config: NeuralStyleConfig, weights: Weights) -> VGG19:
    """The network that a configuration needs."""
    names = [*config.content_layers, *config.style_layers]
    return VGG19(weights, deepest=deepest_layer(names), pooling=config.pooling)
