"""Settings that trained methods share."""

from __future__ import annotations

from pydantic import Field

from bench.api import Config


class StepConfig(Config):
    """What every method has whose step is :class:`bench.training.trainer.StepTrainer`'s."""

    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="translate with averaged weights: how much of the average a step leaves, "
        "as 0.999; 0: with those of the last step",
    )

    warmup: int = Field(
        0,
        ge=0,
        description="iterations in which the discriminators train alone; in as many again the "
        "generators' rate rises. For generators that begin trained; 0: all train from the start",
    )

    # speed; does not change results beyond rounding
    capture: bool = Field(True, description="replay the step as a CUDA graph where there is CUDA")
    tune: bool = Field(
        True,
        description="before a long training on a GPU, try whether cuDNN's search for kernels and "
        "channels-last memory are faster",
    )


class SourceNegatives(Config):
    """What a method has whose discriminators can be shown the untouched input, too."""

    source_negatives: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of a discriminator's negatives that are real images of the other "
        "domain: what leaves an image as it was does not pass; not published",
    )


class ResnetConfig(StepConfig):
    """Resnet generators against patch discriminators: widths and training settings.

    The defaults are CycleGAN's: 256×256 crops of images resized to 286×286.
    """

    ngf: int = Field(64, ge=1, description="channels of the generators' first convolution")
    n_blocks: int = Field(9, ge=1, description="residual blocks of a generator")
    n_downsampling: int = Field(2, ge=1, le=2, description="times a generator halves its images")
    input_skip: bool = Field(
        False,
        description="generators change their input instead of painting anew; not published, "
        "for trainings too short to learn to reproduce an image",
    )
    antialias: bool = Field(
        False,
        description="generators halve and double their maps through a blur, as CUT's do: no "
        "checkerboard",
    )
    ndf: int = Field(64, ge=1, description="channels of the discriminators' first convolution")
    n_layers_d: int = Field(
        3, ge=1, description="convolutions of a discriminator that halve; 3 see 70×70 pixels"
    )
    lambda_gan: float = Field(1.0, ge=0, description="adversarial loss of a generator")

    lr: float = Field(2e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)
    constant: float = Field(
        0.5, ge=0, le=1, description="share of the budget before the rate falls linearly to 0"
    )
    batch_size: int = Field(1, ge=1)

    load: int | None = Field(286, ge=8, description="resize to this square first; none: no resize")
    crop: int | None = Field(256, ge=8, description="random square crop; none: the whole image")

    sample_every: int = Field(
        0, ge=0, description="iterations between sheets of sample translations; 0: none"
    )
