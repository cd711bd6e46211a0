"""Losses that several methods share, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def lsgan(prediction: Tensor, target: float) -> Tensor:
    """Least-squares GAN loss: ``mean((prediction - target)²)`` (Mao et al. 2017, equation 9).

    Parameters
    ----------
    prediction
        A discriminator's raw map, of any shape; computed in float32 at least.
    target
        1 for "real", 0 for "generated".

    Returns
    -------
    Tensor
        A scalar. There is no factor 1/2: a method that wants one multiplies by it.
    """
    if prediction.dtype.itemsize < 4:
        prediction = prediction.float()
    return (prediction - target).square().mean()


def lsgan_negatives(fake: Tensor, source: Tensor | None, share: float) -> Tensor:
    """Return a discriminator's least-squares loss of what it is to call generated.

    Parameters
    ----------
    fake
        Raw scores of generated images.
    source, share
        Those of real images of the other domain, and their share among the negatives; None: all
        are generated.
    """
    negative = lsgan(fake, 0.0)
    return negative if source is None else (1 - share) * negative + share * lsgan(source, 0.0)


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, in float32 at least.

    Parameters
    ----------
    output, target
        Of one shape.

    Returns
    -------
    Tensor
        A scalar.
    """
    if output.dtype.itemsize < 4:
        output = output.float()
    return (output - target).abs().mean()
