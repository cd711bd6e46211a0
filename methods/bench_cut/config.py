"""The configurations of CUT and FastCUT; the defaults are the published ones."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.training.config import ResnetConfig


class CUTConfig(ResnetConfig):
    """The contrast of patches, besides widths and training settings.

    It is of one direction; both directions of a trial are trained alike.
    """

    antialias: Literal[True] = Field(True, description="as published: nothing else is compared")
    nce_layers: tuple[int, ...] | None = Field(
        None,
        description="layers of the generator whose maps are compared, ascending; 0 is the padded "
        "image. none: that, the convolution of each halving, the first and the fifth block",
    )
    num_patches: int = Field(256, ge=1, description="positions compared in each of these layers")
    head_width: int = Field(256, ge=1, description="numbers that a position is compared by")
    temperature: float = Field(0.07, gt=0, description="of the softmax over positions")
    lambda_nce: float = Field(1.0, ge=0, description="contrast of the patches")
    nce_identity: bool = Field(
        True,
        description="also translate images of the target and contrast them with themselves; "
        "each contrast then has half the weight",
    )
    mirror: bool = Field(
        False, description="mirror every other input, at random, and its features back"
    )

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers whose maps are compared: as published for 9 blocks, 0, 4, 8, 12, 16."""
        if self.nce_layers is not None:
            return self.nce_layers
        first = 4 * (self.n_downsampling + 1)
        halvings = range(4, first, 4)
        return (0, *halvings, *sorted({first, min(first + 4, self._last_block)}))

    @property
    def _last_block(self) -> int:
        """The generator's last layer at its smallest size."""
        return 4 * (self.n_downsampling + 1) + self.n_blocks - 1

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        layers = self.layers
        if not layers or list(layers) != sorted(set(layers)):
            raise ValueError("nce_layers are at least one, ascending")
        if layers[0] < 0 or layers[-1] > self._last_block:
            raise ValueError(
                f"nce_layers go from 0 to {self._last_block}, the last residual block of a "
                f"generator with n_downsampling={self.n_downsampling} and n_blocks={self.n_blocks}"
            )
        return self


class FastCUTConfig(CUTConfig):
    """A contrast ten times as heavy, of the translation alone: half the work of a step."""

    lambda_nce: float = Field(10.0, ge=0, description="contrast of the patches")
    nce_identity: bool = Field(
        False,
        description="also translate images of the target and contrast them with themselves; "
        "each contrast then has half the weight",
    )
    mirror: bool = Field(
        True, description="mirror every other input, at random, and its features back"
    )
    constant: float = Field(
        0.75, ge=0, le=1, description="share of the budget before the rate falls linearly to 0"
    )
