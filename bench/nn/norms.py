"""Normalisations that hold no running statistics: every sample is normalised on its own.

Statistics are computed in float32 at least, whatever the precision of the activations.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Instance normalisation without parameters (Ulyanov et al. 2016).

    Parameters
    ----------
    x
        ``(B, C, H, W)``. Mean and biased variance are taken over H and W.
    """
    if x.device.type == "cpu" and not _channels_last(x):
        # Groups of one channel: on a CPU two to three times as fast as a batch norm.
        return F.group_norm(x, x.shape[1], eps=eps)
    return adain(x, None, None, eps)


def _channels_last(x: Tensor) -> bool:
    """Whether the channels of a pixel lie together in memory, and not the pixels of a map."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _rows(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as ``(B, C·H·W)``, in whatever order it lies in memory."""
    return (x.permute(0, 2, 3, 1) if _channels_last(x) else x).reshape(len(x), -1)


class _ChannelsLast(torch.autograd.Function):
    """What :func:`adain` does, on maps whose channels lie together.

    Written out because torch's batch norm adds their pixels up one after the other, which in
    float32 loses a digit and a half on large maps, and autograd's own chain takes twice as long.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, weight: Tensor | None, eps: float
    ) -> Tensor:
        wide = at_least_float32(x)
        mean = wide.mean((2, 3), keepdim=True)
        y = wide - mean
        inverse = (y.square().mean((2, 3), keepdim=True) + eps).rsqrt_()
        scale = inverse if weight is None else inverse * weight[:, :, None, None]
        ctx.save_for_backward(x, mean, inverse, scale)
        y *= scale
        if bias is not None:
            y += bias[:, :, None, None]
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, mean, inverse, scale = ctx.saved_tensors
        _, to_bias, to_weight, _ = ctx.needs_input_grad
        g = at_least_float32(grad.contiguous(memory_format=torch.channels_last))
        centred = at_least_float32(x) - mean
        total = g.sum((2, 3), keepdim=True)
        dot = (g * centred).sum((2, 3), keepdim=True)
        # y = (x - m) / s · w: dx = (g - mean(g) - (x - m) · mean(g (x - m)) / s²) / s · w
        share = scale / -x[0, 0].numel()
        dx = torch.addcmul(total * share, g, scale)
        dx.addcmul_(centred, dot * inverse.square() * share)
        return (
            dx.to(x.dtype),
            total.flatten(1) if to_bias else None,
            (dot * inverse).flatten(1) if to_weight else None,
            None,
        )


class _HalfChannelsLast(torch.autograd.Function):
    """Likewise in half precision on a CPU: by torch's batch norm, for each sample on its own.

    It reads and writes half precision and computes in float32. What its sums lose is a
    hundredth of what the maps have lost, and it takes half as long.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, weight: Tensor | None, eps: float
    ) -> Tensor:
        y, shape = torch.empty_like(x), x.shape[:2]
        # Given in any case: without them the statistics would be in half precision, too.
        bias = torch.zeros(shape) if bias is None else bias.float().contiguous()
        weight = torch.ones(shape) if weight is None else weight.float().contiguous()
        mean, inverse = torch.empty(shape), torch.empty(shape)
        for i in range(len(x)):
            one, w, b = x[i : i + 1], weight[i], bias[i]
            kept = {"save_mean": mean[i], "save_invstd": inverse[i]}
            torch.ops.aten.native_batch_norm.out(
                one, w, b, None, None, True, 0.0, eps, out=y[i : i + 1], **kept
            )
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        _, to_bias, to_weight, _ = ctx.needs_input_grad
        # In the maps' own memory: of a gradient in another torch's norm makes a wrong one.
        grad = grad.contiguous(memory_format=torch.channels_last)
        wanted = [True, to_weight, to_bias]
        found = []
        for i in range(len(x)):
            g, one, statistics = grad[i : i + 1], x[i : i + 1], (mean[i], inverse[i])
            found.append(
                torch.ops.aten.native_batch_norm_backward(
                    g, one, weight[i], None, None, *statistics, True, ctx.eps, wanted
                )
            )
        d_x, d_weight, d_bias = zip(*found, strict=True)
        return (
            torch.cat(d_x),
            torch.stack(d_bias) if to_bias else None,
            torch.stack(d_weight) if to_weight else None,
            None,
        )


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
    another; they are left where they are.
    """
    if _channels_last(x):
        half = x.device.type == "cpu" and x.dtype.itemsize < 4
        z: Tensor = (_HalfChannelsLast if half else _ChannelsLast).apply(x, bias, weight, eps)
        return z
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
        sum_g = g.sum((2, 3))
        if _channels_last(x):
            dot = (g * xw).sum((2, 3))
        else:  # without a temporary of the maps' size
            row = (batch * channels, 1, -1)
            dot = torch.bmm(g.contiguous().view(row), xw.view(row).transpose(1, 2))
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
