"""BicycleGAN's configuration; the defaults are the published ones."""

from __future__ import annotations

from pydantic import Field

from bench.training.config import StepConfig


class BicycleGANConfig(StepConfig):
    """Widths, loss weights and training settings of one direction's networks.

    The defaults train 256×256 crops of images resized to 286×286, as published for photos.
    """

    ngf: int = Field(64, ge=1, description="channels of the generator's first convolution")
    depth: int = Field(8, ge=5, le=10, description="halvings of the U-Net; 8 suit 256×256")
    dropout: bool = Field(True, description="dropout 0.5 at the U-Net's bottom, in training")
    antialias: bool = Field(
        False,
        description="the generator's last two doublings are a blur and a 3x3 convolution each, "
        "instead of a transposed 4x4: no checkerboard; not published",
    )
    input_skip: bool = Field(
        False,
        description="the generator changes its input instead of painting anew: its finest "
        "detail stays; not published",
    )
    nef: int = Field(64, ge=1, description="channels of the encoder's first convolution")
    n_blocks_e: int = Field(4, ge=1, description="residual blocks of the encoder")
    ndf: int = Field(64, ge=1, description="channels of the discriminators' first convolution")
    n_scales_d: int = Field(2, ge=1, le=3, description="scales a discriminator looks at")
    n_layers_d: int = Field(3, ge=1, description="stride-2 convolutions at each scale")
    nz: int = Field(8, ge=1, description="numbers in a latent code")

    lambda_gan: float = Field(1.0, ge=0, description="adversarial loss, encoded codes")
    lambda_gan2: float = Field(1.0, ge=0, description="adversarial loss, drawn codes")
    lambda_l1: float = Field(10.0, ge=0, description="reconstruction from the encoded code")
    lambda_kl: float = Field(0.01, ge=0, description="divergence of the codes from N(0, 1)")
    lambda_z: float = Field(0.5, ge=0, description="recovery of the drawn code")

    lr: float = Field(2e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)
    constant: float = Field(
        0.5, ge=0, le=1, description="share of the budget before the rate falls linearly to 0"
    )
    batch_size: int = Field(2, ge=2, multiple_of=2, description="even: each branch takes half")

    load: int | None = Field(286, ge=8, description="resize to this square first; none: no resize")
    crop: int | None = Field(256, ge=8, description="random square crop; none: the whole image")

    sample_every: int = Field(
        0, ge=0, description="iterations between sheets of sample translations; 0: none"
    )
