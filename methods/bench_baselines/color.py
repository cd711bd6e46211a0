"""Colour statistics as pure functions: CIELAB, Reinhard's transfer, histogram matching."""

from __future__ import annotations

import torch

_RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to CIE XYZ (IEC 61966-2-1, D65); the white point is the image of (1, 1, 1)."""

_EPSILON = (6 / 29) ** 3
_KAPPA_SLOPE = (29 / 6) ** 2 / 3
_LEVELS = 256


def _matrix(like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(_RGB_TO_XYZ, dtype=like.dtype, device=like.device)


def _mix(matrix: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix, images)


def rgb_to_lab(images: torch.Tensor) -> torch.Tensor:
    """SRGB ``(..., 3, H, W)`` in ``[0, 1]`` to CIELAB: L in ``[0, 100]``, a and b about ±100."""
    linear = torch.where(
        images <= 0.04045, images / 12.92, ((images.clamp_min(0) + 0.055) / 1.055) ** 2.4
    )
    matrix = _matrix(images)
    xyz = _mix(matrix / matrix.sum(1, keepdim=True), linear)
    f = torch.where(xyz > _EPSILON, xyz.clamp_min(_EPSILON) ** (1 / 3), _KAPPA_SLOPE * xyz + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -3)


def lab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """Undo :func:`rgb_to_lab`; colours outside sRGB are clipped to ``[0, 1]``."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), -3)
    xyz = torch.where(f > 6 / 29, f.clamp_min(0) ** 3, (f - 4 / 29) / _KAPPA_SLOPE)
    matrix = _matrix(lab)
    linear = _mix(torch.linalg.inv(matrix), xyz * matrix.sum(1)[:, None, None]).clamp(0, 1)
    return torch.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-9) ** (1 / 2.4) - 0.055
    ).clamp(0, 1)


def transfer_statistics(images: torch.Tensor, exemplars: torch.Tensor) -> torch.Tensor:
    """Give each image its exemplar's mean and standard deviation in every Lab channel.

    Reinhard et al. 2001, equations 10 and 11. The decorrelated space is CIELAB instead of
    their log-LMS, whose logarithm has no value for black pixels.

    Parameters
    ----------
    images, exemplars
        ``(..., 3, H, W)`` in ``[0, 1]``; heights and widths of the two may differ.

    Returns
    -------
    torch.Tensor
        As `images`, clipped to ``[0, 1]``. A channel without spread takes the mean alone.
    """
    source, target = rgb_to_lab(images), rgb_to_lab(exemplars)
    space = (-2, -1)
    centred = source - source.mean(space, keepdim=True)
    spread = source.std(space, correction=0, keepdim=True)
    scale = target.std(space, correction=0, keepdim=True) / spread.clamp_min(1e-6)
    return lab_to_rgb(centred * scale + target.mean(space, keepdim=True))


def _cdf(levels: torch.Tensor) -> torch.Tensor:
    """Share of the pixels at or below each of the 256 levels, ``(256,)`` float64."""
    return torch.bincount(levels, minlength=_LEVELS).double().cumsum(0) / levels.numel()


def _match_channel(channel: torch.Tensor, exemplar: torch.Tensor) -> torch.Tensor:
    source, target = ((x * 255).round().long().flatten() for x in (channel, exemplar))
    quantiles, reference = _cdf(source), _cdf(target)
    present = torch.bincount(target, minlength=_LEVELS) > 0
    known, values = reference[present], present.nonzero().flatten().double()
    # Piecewise linear inverse of the exemplar's distribution, flat beyond its ends.
    right = torch.searchsorted(known, quantiles).clamp(max=len(known) - 1)
    left = (right - 1).clamp_min(0)
    gap = (known[right] - known[left]).clamp_min(1e-12)
    weight = ((quantiles - known[left]) / gap).clamp(0, 1)
    curve = values[left] + weight * (values[right] - values[left])
    return (curve[source] / 255).to(channel.dtype).reshape(channel.shape)


def match_histograms(images: torch.Tensor, exemplars: torch.Tensor) -> torch.Tensor:
    """Give each RGB channel of each image the distribution of its exemplar's channel.

    Parameters
    ----------
    images, exemplars
        ``(B, 3, H, W)`` in ``[0, 1]``, read as 8-bit levels; sizes of the two may differ.

    Returns
    -------
    torch.Tensor
        As `images`. Pixels of one level keep one level.
    """
    matched = [
        _match_channel(channel, other)
        for image, exemplar in zip(images, exemplars, strict=True)
        for channel, other in zip(image, exemplar, strict=True)
    ]
    return torch.stack(matched).reshape(images.shape)
