"""Normalisations that hold no running statistics: every sample is normalised on its own.

Statistics are computed in float32 at least, whatever the precision of the activations.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Instance normalisation without parameters (Ulyanov et al. 2016).

    Parameters
    ----------
    x
        ``(B, C, H, W)``. Mean and biased variance are taken over H and W.
    """
    if x.device.type == "cpu":
        # Groups of one channel: on a CPU two to three times as fast as a batch norm.
        return F.group_norm(x, x.shape[1], eps=eps)
    return adain(x, None, None, eps)


def _channels_last(x: Tensor) -> bool:
    """Whether the channels of a pixel lie together in memory, and not the pixels of a map."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _rows(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as ``(B, C·H·W)``, in whatever order it lies in memory."""
    return (x.permute(0, 2, 3, 1) if _channels_last(x) else x).reshape(len(x), -1)


def adain(x: Tensor, bias: Tensor | None, weight: Tensor | None, eps: float = 1e-5) -> Tensor:
    """Adaptive instance normalisation (Huang & Belongie 2017, equation 8).

    Parameters
    ----------
    x
        ``(B, C, H, W)``.
    bias, weight
        ``(B, C)``: added to and multiplied with the normalised maps, used as they are (a
        weight of 0 gives 0). None: 0 and 1.

    Notes
    -----
    One training-mode batch norm over a ``(1, B·C, H, W)`` view: a single fused kernel
    forward and backward, including the scale and shift, and no buffers to keep or repeat.
    Where the channels of a pixel lie together that view would be a copy, and the norm
    another; the plain arithmetic then leaves everything where it is.
    """
    if _channels_last(x):
        wide = at_least_float32(x)
        variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
        scale = (variance + eps).rsqrt()
        if weight is not None:
            scale = scale * weight[:, :, None, None]
        y = (wide - mean) * scale
        return (y if bias is None else y + bias[:, :, None, None]).to(x.dtype)
    batch, channels, height, width = x.shape
    # One sample is that view already, and must not go through it: of a gradient in
    # channels-last memory that comes by a view, torch's batch norm makes a wrong one on a CPU.
    y = F.batch_norm(
        x if batch == 1 else x.reshape(1, batch * channels, height, width),
        None,
        None,
        None if weight is None else weight.reshape(-1),
        None if bias is None else bias.reshape(-1),
        training=True,
        eps=eps,
    )
    return y if batch == 1 else y.view(batch, channels, height, width)


class _SampleNorm(torch.autograd.Function):
    """``gamma · (x - mean) / (std + eps) + beta`` with statistics over a whole sample.

    Written out because autograd's own chain (mean, std, subtract, divide, multiply, add)
    walks over the activations more than twice as often.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        batch = x.shape[0]
        wide = torch.promote_types(x.dtype, torch.float32)
        flat = _rows(x)
        mean = flat.mean(1, dtype=wide).view(batch, 1, 1, 1)
        centred = x.to(wide) - mean
        square = torch.linalg.vector_norm(_rows(centred), dim=1).square_()
        std = (square / (flat.shape[1] - 1)).sqrt_().view(batch, 1, 1, 1)
        inverse = (std + eps).reciprocal_()
        scale = inverse * gamma.to(wide).view(1, -1, 1, 1)
        ctx.save_for_backward(x, gamma, mean, std, inverse)
        return torch.addcmul(beta.to(wide).view(1, -1, 1, 1), centred, scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gamma, mean, std, inverse = ctx.saved_tensors
        batch, channels = x.shape[:2]
        wide = mean.dtype
        g, xw = grad.to(wide), x.to(wide)
        row = (batch * channels, 1, -1)
        sum_g = g.sum((2, 3))
        dot = torch.bmm(
            g.contiguous().view(row), xw.contiguous().view(row).transpose(1, 2)
        )  # sum of grad · x for every map, without a temporary of their size
        centred_dot = dot.view(batch, channels) - mean.view(batch, 1) * sum_g
        scaled = inverse.view(batch, 1)
        weights = gamma.to(wide)
        # y = (x - m) / (s + eps): dx = (g - mean(g)) / (s + eps)
        #   - (x - m) · sum(g (x - m)) / ((n - 1) s (s + eps)²)
        n = x[0].numel()
        mean_g = (sum_g @ weights / n).view(batch, 1, 1, 1)
        spread = (centred_dot @ weights).view(batch, 1, 1, 1)
        slope = spread * inverse.square() / (std.clamp_min(torch.finfo(wide).tiny) * (n - 1))
        dx = torch.addcmul(mean * slope - mean_g * inverse, xw, slope, value=-1)
        dx.addcmul_(g, inverse * weights.view(1, -1, 1, 1))
        d_gamma = (centred_dot * scaled).sum(0).to(gamma.dtype)
        return dx.to(x.dtype), d_gamma, sum_g.sum(0).to(gamma.dtype), None


class SampleNorm(nn.Module):
    """The layer norm of MUNIT's decoder.

    Mean and *unbiased* standard deviation over all of C, H and W of one sample; divided by
    ``std + eps`` (eps outside the root); then a scale and a shift for each channel.

    Parameters
    ----------
    channels
        C of the ``(B, C, H, W)`` maps. ``gamma`` starts uniform in [0, 1), ``beta`` at 0.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape and type."""
        y: Tensor = _SampleNorm.apply(x, self.gamma, self.beta, self.eps)
        return y


def at_least_float32(x: Tensor) -> Tensor:
    """The same values in float32 when they came in half precision; else `x` itself."""
    return x.float() if x.dtype.itemsize < 4 else x
