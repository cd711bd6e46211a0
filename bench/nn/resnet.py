"""The resnet generator of CycleGAN and its followers.

Source: Zhu et al. 2017, *Unpaired image-to-image translation using cycle-consistent adversarial
networks*, appendix 7.2; after Johnson et al. 2016.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.api import BenchError
from bench.nn.antialias import BlurDown, BlurUp, BlurUpConv
from bench.nn.layers import InstanceNorm, edited, laid_out
from bench.nn.state import INPUT_SKIP, drop_statistics, mark_input_skip
from bench.nn.upsample import conv_few_outputs
from bench.nn.winograd import Conv2d

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

_STEM = 4
"""Layers before the first halving: padding, convolution, norm, activation."""


class ResidualBlock(nn.Module):
    """Two reflected 3×3 convolutions beside a skip; keys ``conv_block.{1,5}.{weight,bias}``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            Conv2d(width, width, 3),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            Conv2d(width, width, 3),
            InstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        out: Tensor = x + self.conv_block(x)
        return out


class _ToImage(nn.Conv2d):
    """The last convolution: many channels to three; the keys are a convolution's."""

    def forward(self, input: Tensor) -> Tensor:
        """``(B, C, H + 6, W + 6)`` to ``(B, 3, H, W)``."""
        return conv_few_outputs(input, self.weight, self.bias)


class ResnetGenerator(nn.Module):
    """Translates images; keys ``model.<i>…`` as in the original implementations.

    Parameters
    ----------
    ngf
        Channels after the first convolution; doubled by each halving of the maps.
    n_blocks
        Residual blocks: 9 for 256×256 images, 6 for smaller ones.
    n_downsampling
        Times the maps are halved, and doubled again: 2 as published.
    input_skip
        The input is added before the last tanh, through its inverse: a generator whose last
        convolution gives 0 repeats its input. Not published; adds no weights but leaves a mark
        in the state.
    antialias
        Maps are halved and doubled through a blur (CUT) instead of by strided convolutions
        (CycleGAN).
    """

    def __init__(
        self,
        ngf: int = 64,
        n_blocks: int = 9,
        n_downsampling: int = 2,
        *,
        input_skip: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if input_skip:
            mark_input_skip(self)
        self._edits = input_skip
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, ngf, 7),
            InstanceNorm(),
            nn.ReLU(inplace=True),
        ]
        widths = [ngf * 2**level for level in range(n_downsampling)]
        for width in widths:
            layers += _halving(width, antialias=antialias)
        layers += [ResidualBlock(ngf * 2**n_downsampling) for _ in range(n_blocks)]
        self.last_block = len(layers) - 1
        """Index of the last layer whose maps :meth:`encode` gives."""
        for width in reversed(widths):
            layers += _doubling(width, antialias=antialias)
        layers += [nn.ReflectionPad2d(3), _ToImage(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to the same shape, both in ``[-1, 1]``.

        Sides are multiples of ``2**n_downsampling``.
        """
        return self.translate(images)[0]

    def translate(self, images: Tensor, layers: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """What :meth:`forward` and, on the way there, :meth:`encode` give."""
        x, maps = self._run(images, range(len(self.model) - 1), layers)
        return edited(images, x) if self._edits else torch.tanh(x), maps

    def encode(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The maps after some layers; what comes behind the last of them is not run.

        Parameters
        ----------
        images
            ``(B, 3, H, W)`` in ``[-1, 1]``.
        layers
            Ascending indices from 0 (the padded images) to the last residual block.

        Returns
        -------
        list of Tensor
            ``(B, C, H', W')`` each.
        """
        return self._run(images, range(layers[-1] + 1), layers)[1]

    def _run(
        self, x: Tensor, indices: Iterable[int], keep: Sequence[int]
    ) -> tuple[Tensor, list[Tensor]]:
        x, maps = laid_out(x), []
        for index in indices:
            layer = self.model[index]
            if index - 1 in keep and isinstance(layer, nn.ReLU):
                x = x.clone()  # it works in place, on maps that were asked for
            x = layer(x)
            if index in keep:
                maps.append(x)
        return x, maps


def _halving(width: int, *, antialias: bool) -> list[nn.Module]:
    """Layers that halve maps and double their channels, `width` at first."""
    if not antialias:
        return [
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            InstanceNorm(),
            nn.ReLU(inplace=True),
        ]
    return [
        Conv2d(width, 2 * width, 3, padding=1),
        InstanceNorm(),
        nn.ReLU(inplace=True),
        BlurDown(2 * width),
    ]


def _doubling(width: int, *, antialias: bool) -> list[nn.Module]:
    """Layers that double maps and halve their channels, to `width`."""
    convolve: list[nn.Module] = (
        [BlurUp(2 * width), BlurUpConv(2 * width, width)]
        if antialias
        else [nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)]
    )
    return [*convolve, InstanceNorm(), nn.ReLU(inplace=True)]


_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.1\.weight")


def clean_generator(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what old files have besides weights, and undo what wrappers added to the keys.

    With dropout between the two convolutions of a block, the second one is called 6;
    dropout rests in translation.
    """
    return {
        key.replace(".conv_block.6.", ".conv_block.5."): value
        for key, value in drop_statistics(state).items()
    }


def generator_widths(
    state: Mapping[str, Tensor], where: str, *, antialias: bool | None = None
) -> dict[str, int]:
    """Read what a generator is configured with from its state: widths, depth and options.

    Parameters
    ----------
    where
        The file, and whose generator it should be, to begin a message with.
    antialias
        Whether that has to be one which halves and doubles through a blur; None: either.

    Raises
    ------
    BenchError
        When the state is not that of such a generator.
    """
    first = state.get("model.1.weight")
    if first is None or first.ndim != 4 or tuple(first.shape[1:]) != (3, 7, 7):
        found = next(iter(state), "no keys")
        raise BenchError(
            f"{where} resnet generator: 'model.1.weight' (ngf, 3, 7, 7) is missing, the first "
            f"key is {found!r}"
        )
    blocks = sorted(int(match[1]) for key in state if (match := _BLOCK.fullmatch(key)))
    if not blocks:
        raise BenchError(f"{where} resnet generator: it has no residual block")
    blurs = any(key.endswith(".filt") for key in state)
    if antialias not in (None, blurs):
        raise BenchError(
            f"{where} resnet generator: it is {'' if blurs else 'not '}anti-aliased, load it with "
            "a method whose generators are so, too"
        )
    return {
        "ngf": first.shape[0],
        "n_blocks": len(blocks),
        "n_downsampling": max(1, (blocks[0] - _STEM) // (4 if blurs else 3)),
        "antialias": blurs,
        INPUT_SKIP: INPUT_SKIP in state,
    }
