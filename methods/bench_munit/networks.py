"""MUNIT's generator and discriminator (Huang et al. 2018, appendix B.1).

Modules are named so that a state dict has the original's keys. Two things differ from a
plain reading and compute the same: the AdaIN parameters are passed down instead of being
stored in the layers, so a forward pass changes no state; and upsampling convolutions run
at low resolution (:mod:`bench.nn.upsample`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nn.antialias import BlurUpConv
from bench.nn.layers import laid_out
from bench.nn.norms import SampleNorm, adain, at_least_float32, instance_norm
from bench.nn.upsample import conv_few_outputs, upsample_conv5
from bench.nn.winograd import Conv2d

if TYPE_CHECKING:
    from bench_munit.config import MUNITConfig

Activation = Literal["relu", "lrelu", "none"]

_STYLE_DOWNSAMPLE = 4
"""Stride-2 steps of the style encoder: fixed in the original, whatever the content's."""


def _activate(x: Tensor, activation: Activation) -> Tensor:
    # In place: neither convolutions nor the norms need their own output for the gradient.
    if activation == "relu":
        return F.relu_(x)
    return F.leaky_relu_(x, 0.2) if activation == "lrelu" else x


class ConvBlock(nn.Module):
    """Reflection pad, convolution with bias, norm, activation.

    Parameters
    ----------
    norm
        ``instance``: without parameters; ``adain``: parameters come with the call.
    """

    def __init__(
        self,
        into: int,
        out: int,
        kernel: int,
        stride: int,
        padding: int,
        norm: Literal["none", "instance", "adain"] = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.padding = padding
        self.normalisation = norm
        self.activation: Activation = activation
        self.conv = Conv2d(into, out, kernel, stride)

    def forward(
        self, x: Tensor, bias: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """``(B, into, H, W)`` to ``(B, out, H', W')``; `bias`, `weight` ``(B, out)`` for AdaIN."""
        x = self.conv(F.pad(x, (self.padding,) * 4, "reflect"))
        if self.normalisation == "instance":
            x = instance_norm(x)
        elif self.normalisation == "adain":
            x = adain(x, bias, weight)
        return _activate(x, self.activation)


class UpConv5(nn.Conv2d):
    """Nearest-neighbour doubling, then a 5x5 convolution; keys as a convolution's."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out, 5)

    def forward(self, input: Tensor) -> Tensor:
        """``(B, into, H, W)`` to ``(B, out, 2H, 2W)``."""
        return upsample_conv5(input, self.weight, self.bias)


class UpBlock(nn.Module):
    """Doubling and convolution, layer norm, ReLU.

    As published by nearest neighbour and 5x5; with `antialias` by a blur and 3x3. With
    `pixel_skip` it is given the image as well: features of its pixels are added to the doubled
    maps, and the maps come a second time through a gate that the pixels open. Both together let
    a style decide what becomes of an edge; a sum alone would draw it the same in every light.
    """

    def __init__(
        self, into: int, out: int, *, antialias: bool = False, pixel_skip: bool = False
    ) -> None:
        super().__init__()
        self.conv = BlurUpConv(into, out) if antialias else UpConv5(into, out)
        self.norm = SampleNorm(out)
        if pixel_skip:
            self.fine = nn.Conv2d(3, 2 * out, 3, padding=1, padding_mode="reflect")
        self.channels = 2 * out if pixel_skip else out

    def forward(self, x: Tensor, pixels: Tensor | None = None) -> Tensor:
        """``(B, into, H, W)`` and `pixels` ``(B, 3, 2H, 2W)`` to ``(B, channels, 2H, 2W)``."""
        y: Tensor = self.norm(self.conv(x))
        if pixels is None:
            return F.relu_(y)
        added, gate = self.fine(pixels.to(y.dtype)).chunk(2, 1)
        return F.relu_(torch.cat([y + added, y * torch.tanh(gate)], 1))


class ImageBlock(nn.Module):
    """The last layer: reflection pad, 7x7 convolution to RGB, tanh."""

    def __init__(self, into: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, 3, 7)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, into, H, W)`` to ``(B, 3, H, W)`` in [-1, 1]."""
        padded = F.pad(x, (3, 3, 3, 3), "reflect")
        return torch.tanh(conv_few_outputs(padded, self.conv.weight, self.conv.bias))


class ResBlock(nn.Module):
    """``x + f(x)`` with two 3x3 convolutions and no activation after the sum."""

    def __init__(self, channels: int, norm: Literal["instance", "adain"]) -> None:
        super().__init__()
        self.model = nn.ModuleList(
            [
                ConvBlock(channels, channels, 3, 1, 1, norm, "relu"),
                ConvBlock(channels, channels, 3, 1, 1, norm, "none"),
            ]
        )

    def forward(self, x: Tensor, affine: Tensor | None = None) -> Tensor:
        """`affine` is ``(B, 4, C)``: bias and weight of the first norm, then of the second."""
        none = (None, None, None, None)
        bias1, weight1, bias2, weight2 = none if affine is None else affine.unbind(1)
        y: Tensor = self.model[1](self.model[0](x, bias1, weight1), bias2, weight2)
        return x + y


class ResBlocks(nn.Module):
    """Residual blocks in a row."""

    def __init__(self, count: int, channels: int, norm: Literal["instance", "adain"]) -> None:
        super().__init__()
        self.model = nn.ModuleList(ResBlock(channels, norm) for _ in range(count))

    def forward(self, x: Tensor, affine: Tensor | None = None) -> Tensor:
        """`affine` is ``(B, blocks, 4, C)`` or None."""
        for index, block in enumerate(self.model):
            x = block(x, None if affine is None else affine[:, index])
        return x


class ContentEncoder(nn.Module):
    """Image to spatial content code, instance-normalised throughout.

    Parameters
    ----------
    pixel_skip
        Whether the image itself comes behind the code: its pixels, folded into ``3·4^n`` more
        channels, so that content stays one tensor.
    """

    def __init__(
        self, dim: int, n_downsample: int, n_res: int, *, pixel_skip: bool = False
    ) -> None:
        super().__init__()
        self.factor = 2**n_downsample
        self.pixel_skip = pixel_skip
        blocks: list[nn.Module] = [ConvBlock(3, dim, 7, 1, 3, "instance")]
        for _ in range(n_downsample):
            blocks.append(ConvBlock(dim, 2 * dim, 4, 2, 1, "instance"))
            dim *= 2
        blocks.append(ResBlocks(n_res, dim, "instance"))
        self.model = nn.Sequential(*blocks)
        self.channels = dim

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` in [-1, 1] to ``(B, dim·2^n, H/2^n, W/2^n)``, and the pixels'."""
        y: Tensor = self.model(x)
        if not self.pixel_skip:
            return y
        return torch.cat([y, F.pixel_unshuffle(x, self.factor).to(y.dtype)], 1)

    def code(self, content: Tensor) -> Tensor:
        """Return the content code ``(B, channels, h, w)`` alone."""
        return content[:, : self.channels] if self.pixel_skip else content

    def pixels(self, content: Tensor) -> Tensor | None:
        """Return the pixels behind the code, unfolded to ``(B, 3, H, W)``; None without them."""
        if not self.pixel_skip:
            return None
        return F.pixel_shuffle(content[:, self.channels :], self.factor)


class StyleEncoder(nn.Module):
    """Image to style code; no norm, which would take the style away."""

    def __init__(self, dim: int, style_dim: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [ConvBlock(3, dim, 7, 1, 3)]
        for step in range(_STYLE_DOWNSAMPLE):
            wider = 2 * dim if step < 2 else dim
            blocks.append(ConvBlock(dim, wider, 4, 2, 1))
            dim = wider
        blocks += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(dim, style_dim, 1)]
        self.model = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` in [-1, 1] to ``(B, style_dim, 1, 1)``."""
        y: Tensor = self.model(x)
        return y


class Linear(nn.Module):
    """A linear layer under the original's key ``fc``."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(into, out)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, into)`` to ``(B, out)``."""
        y: Tensor = self.fc(x)
        return y


class StyleMLP(nn.Module):
    """Style code to the parameters of every AdaIN layer; always in full precision."""

    def __init__(self, style_dim: int, dim: int, out: int) -> None:
        super().__init__()
        self.model = nn.ModuleList([Linear(style_dim, dim), Linear(dim, dim), Linear(dim, out)])

    def forward(self, style: Tensor) -> Tensor:
        """``(B, style_dim, 1, 1)`` to ``(B, out)``."""
        with torch.autocast(style.device.type, enabled=False):
            first, second, third = self.model
            x = at_least_float32(style.flatten(1))
            y: Tensor = third(F.relu_(second(F.relu_(first(x)))))
        return y


class Decoder(nn.Module):
    """Content code and AdaIN parameters to an image.

    Indices 1 and 3 of ``model`` are the original's parameterless upsampling layers, here
    part of :class:`UpBlock`.

    Parameters
    ----------
    pixel_skip
        Whether the last doubling is given the image; see :class:`UpBlock`.
    """

    def __init__(
        self,
        channels: int,
        n_upsample: int,
        n_res: int,
        *,
        antialias: bool = False,
        pixel_skip: bool = False,
    ) -> None:
        super().__init__()
        self.n_res = n_res
        self.channels = channels
        blocks: list[nn.Module] = [ResBlocks(n_res, channels, "adain")]
        for left in reversed(range(n_upsample)):
            skips = pixel_skip and not left
            up = UpBlock(channels, channels // 2, antialias=antialias, pixel_skip=skips)
            blocks += [nn.Identity(), up]
            channels = up.channels
        blocks.append(ImageBlock(channels))
        self.model = nn.ModuleList(blocks)

    def forward(self, code: Tensor, parameters: Tensor, pixels: Tensor | None = None) -> Tensor:
        """`parameters` ``(B, n_res·4·C)``: for each norm in order its biases, then weights."""
        *blocks, last_up, to_image = self.model[1:]
        x = self.model[0](code, parameters.view(-1, self.n_res, 4, self.channels))
        for block in blocks:
            x = block(x)
        x = last_up(x, pixels)  # what went in is not needed while the image is made
        image: Tensor = to_image(x)
        return image


class Generator(nn.Module):
    """One domain's auto-encoder: content and style encoders, style MLP, decoder."""

    def __init__(self, config: MUNITConfig) -> None:
        super().__init__()
        self.enc_style = StyleEncoder(config.gen_dim, config.style_dim)
        self.enc_content = ContentEncoder(
            config.gen_dim, config.n_downsample, config.n_res, pixel_skip=config.pixel_skip
        )
        channels = self.enc_content.channels
        self.dec = Decoder(
            channels,
            config.n_downsample,
            config.n_res,
            antialias=config.antialias,
            pixel_skip=config.pixel_skip,
        )
        self.mlp = StyleMLP(config.style_dim, config.mlp_dim, 4 * config.n_res * channels)

    def encode(self, x: Tensor, recoloured: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, H, W)`` in [-1, 1] to content and style ``(B, style_dim, 1, 1)``.

        Content is read from `recoloured` where it is given, style from `x`.
        """
        x = laid_out(x)
        seen = x if recoloured is None else laid_out(recoloured)
        return self.enc_content(seen), self.enc_style(x)

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """Codes to images in [-1, 1]."""
        contents = self.enc_content
        image: Tensor = self.dec(contents.code(content), self.mlp(style), contents.pixels(content))
        return image


class Discriminator(nn.Module):
    """Patch discriminators on an image pyramid; no norm."""

    def __init__(self, config: MUNITConfig) -> None:
        super().__init__()
        self.cnns = nn.ModuleList(
            self._scale(config.dis_dim, config.dis_n_layer) for _ in range(config.dis_num_scales)
        )

    @staticmethod
    def _scale(dim: int, n_layer: int) -> nn.Sequential:
        blocks: list[nn.Module] = [ConvBlock(3, dim, 4, 2, 1, "none", "lrelu")]
        for _ in range(n_layer - 1):
            blocks.append(ConvBlock(dim, 2 * dim, 4, 2, 1, "none", "lrelu"))
            dim *= 2
        return nn.Sequential(*blocks, nn.Conv2d(dim, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """``(B, 3, H, W)`` in [-1, 1] to one ``(B, 1, h, w)`` map for each scale."""
        x, maps = laid_out(x), []
        for index, cnn in enumerate(self.cnns):
            if index:
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            maps.append(cnn(x))
        return maps
