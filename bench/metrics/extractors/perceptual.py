"""LPIPS (Zhang et al. 2018, CVPR) and its shift-tolerant variant (Ghildyal & Liu 2022, ECCV).

The distance of two images is the sum over layers of the weighted squared difference of
their unit-normalised features, averaged over positions. With ``f_l = normalise(trunk_l) *
sqrt(w_l) / sqrt(H_l W_l)`` it is a squared Euclidean distance, so every image passes the
trunk once however many pairs it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from bench.api import BenchError, Config
from bench.nn.vgg import trunk
from bench.storage import weights

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10


class _BlurPool(nn.Module):
    """Binomial 3 x 3 low pass with stride 2 over a reflected border of 2 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        kernel = (row[:, None] * row[None, :]) / 16.0
        self.register_buffer("filt", kernel.repeat(channels, 1, 1, 1))
        self.filt: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(x, self.filt, stride=2, groups=x.shape[1])


class _BlurredConv(nn.Module):
    """A convolution of stride 1 and the :class:`_BlurPool` after it, in one of stride 2.

    Both are linear, so away from the border their kernels make one kernel, two pixels wider:
    a quarter of the positions for 1.4 times the work at each. The reflected border changes
    little: with lines ``0 … n - 1``, the first low-passed line weighs ``2, 1, 0`` as the second
    weighs ``0, 1, 2``; the last one is its neighbour for odd n, and the mean of the last two
    lines for even n.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        self.padding, self.size = int(conv.padding[0]), conv.kernel_size[0]
        self.register_buffer("bias", conv.bias.detach())
        self.bias: torch.Tensor
        inner, last = torch.tensor([1.0, 2.0, 1.0]) / 4, torch.tensor([1.0, 1.0]) / 2
        for name, rows, columns in (
            ("inner", inner, inner),
            ("right", inner, last),
            ("bottom", last, inner),
            ("corner", last, last),
        ):
            low_pass = (rows[:, None] * columns[None, :])[None, None]
            border = (len(columns) - 1, len(columns) - 1, len(rows) - 1, len(rows) - 1)
            flat = F.pad(conv.weight.detach().flatten(0, 1)[:, None], border)
            made = F.conv2d(flat, low_pass)
            out, into = conv.weight.shape[:2]
            self.register_buffer(name, made.reshape(out, into, *made.shape[-2:]))

    def _apply_kernel(self, x: torch.Tensor, name: str, stride: tuple[int, int]) -> torch.Tensor:
        return F.conv2d(x, self.get_buffer(name), self.bias, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (self.padding,) * 4)
        even_rows, even_columns = ((x.shape[axis] - self.size) % 2 == 1 for axis in (-2, -1))
        reach = self.size + 1
        body = self._apply_kernel(x, "inner", (2, 2))
        right = (
            self._apply_kernel(x[..., -reach:], "right", (2, 1)) if even_columns else body[..., -1:]
        )
        body = torch.cat([body[..., :1], body, right], -1)
        if not even_rows:
            return torch.cat([body[..., :1, :], body, body[..., -1:, :]], -2)
        strip = x[..., -reach:, :]
        bottom = self._apply_kernel(strip, "bottom", (1, 2))
        corner = (
            self._apply_kernel(strip[..., -reach:], "corner", (1, 1))
            if even_columns
            else bottom[..., -1:]
        )
        bottom = torch.cat([bottom[..., :1], bottom, corner], -1)
        return torch.cat([body[..., :1, :], body, bottom], -2)


class _MaxPool(nn.Module):
    """The largest of `size` x `size` neighbours at every position: by rows, then by columns."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for axis in (-2, -1):
            length = x.shape[axis] - self.size + 1
            y = x.narrow(axis, 0, length)
            for shift in range(1, self.size):
                y = torch.maximum(y, x.narrow(axis, shift, length))
            x = y
        return x


class _Fire(nn.Module):
    """SqueezeNet's module: a 1 x 1 squeeze, then 1 x 1 and 3 x 3 expansions side by side."""

    def __init__(self, incoming: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(incoming, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


def _alexnet() -> tuple[list[nn.Module], tuple[int, ...]]:
    """The layers of AlexNet up to its last ReLU, and after which the features are taken."""
    pool = nn.MaxPool2d(3, 2)
    layers = [
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), pool),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), pool),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]
    return layers, (1, 4, 7, 9, 11)


def _vgg16() -> tuple[list[nn.Module], tuple[int, ...]]:
    return trunk("vgg16", lambda channels: [nn.MaxPool2d(2, 2)])


def _squeezenet() -> tuple[list[nn.Module], tuple[int, ...]]:
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    layers = [
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool),
        *(_Fire(64, 16, 64), _Fire(128, 16, 64), pool),
        *(_Fire(128, 32, 128), _Fire(256, 32, 128), pool),
        *(_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)),
    ]
    return layers, (1, 4, 7, 9, 10, 11, 12)


def _st_alexnet() -> tuple[list[nn.Module], tuple[int, ...]]:
    """AlexNet made shift-tolerant: stride 1 first, low-passed wherever it subsamples."""
    layers = [
        *(nn.Conv2d(3, 64, 11, padding=2), _BlurPool(64), nn.ReLU()),
        *(_MaxPool(3), _BlurPool(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
        *(_MaxPool(3), _BlurPool(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]
    return layers, (2, 6, 10, 12, 14)


def _st_vgg16() -> tuple[list[nn.Module], tuple[int, ...]]:
    return trunk("vgg16", lambda channels: [_MaxPool(2), _BlurPool(channels)])


class Perceptual(nn.Module):
    """A trunk, the layers it is tapped at, and a weight for each of their channels.

    Parameters
    ----------
    layers, taps
        The trunk and the indices of the layers whose output counts.
    heads
        For each tap a non-negative weight per channel.
    name
        What stands beside numbers made with it.
    rescale
        Standardise the input first; version 0.0 of LPIPS forgot to, which halves its
        distances.
    smallest
        The smallest side in pixels that the trunk can take.
    """

    preprocessing = "native-size"

    def __init__(
        self,
        layers: Sequence[nn.Module],
        taps: Sequence[int],
        heads: Sequence[torch.Tensor],
        *,
        name: str,
        rescale: bool,
        smallest: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        if any(bool((head < 0).any()) for head in heads):
            raise BenchError(f"{name}: a head has negative weights; it is no LPIPS head")
        self.layers = nn.ModuleList(layers)
        self.taps = tuple(taps)
        self.name, self.smallest, self.rescale = name, smallest, rescale
        self.roots = nn.ParameterList(
            [nn.Parameter(head.reshape(1, -1, 1, 1).sqrt(), requires_grad=False) for head in heads]
        )
        self.requires_grad_(False)
        self.eval().to(device).to(memory_format=torch.channels_last)
        self.device = device

    @torch.inference_mode()
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Vectors whose squared Euclidean distances are the perceptual distances.

        Parameters
        ----------
        images
            uint8 ``(B, 3, H, W)``, no side smaller than `smallest`.

        Returns
        -------
        torch.Tensor
            float32 ``(B, F)``; F depends on H and W.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 (B, 3, H, W), got {images.dtype} {images.shape}")
        x = images.to(self.device).float().div_(127.5).sub_(1.0)
        if self.rescale:
            x = (x - x.new_tensor(_SHIFT)[:, None, None]) / x.new_tensor(_SCALE)[:, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        parts = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                root = self.roots[self.taps.index(index)]
                norm = x.square().sum(1, keepdim=True).sqrt() + _EPSILON
                part = x / norm * (root / (x.shape[-1] * x.shape[-2]) ** 0.5)
                # Rows of one image side by side; channels-last order costs no copy.
                parts.append(part.permute(0, 2, 3, 1).reshape(len(x), -1))
        return torch.cat(parts, 1)


def _load(
    layers: Sequence[nn.Module], trunk: Mapping[str, torch.Tensor], path: Path
) -> Sequence[nn.Module]:
    """Fill the layers from ``{"<index>.<name>": tensor}``."""
    try:
        nn.ModuleList(layers).load_state_dict(trunk)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise BenchError(f"{path} does not hold the expected trunk: {reason}") from error
    return layers


def _heads(state: Mapping[str, torch.Tensor], count: int, path: Path) -> list[torch.Tensor]:
    try:
        return [state[f"lin{index}.model.1.weight"].flatten() for index in range(count)]
    except KeyError as error:
        raise BenchError(f"{path} holds no LPIPS heads: it lacks {error}") from error


Build = Callable[[Config, Sequence[Path], torch.device], Perceptual]
_TRUNKS = {"alex": (_alexnet, 63), "vgg": (_vgg16, 16), "squeeze": (_squeezenet, 33)}


def _lpips(net: Literal["alex", "vgg", "squeeze"], version: str = "0.1") -> Build:
    """Return what builds LPIPS on one of torchvision's trunks, from the trunk and the heads."""

    def build(config: Config, paths: Sequence[Path], device: torch.device) -> Perceptual:
        trunk_path, head_path = paths
        make, smallest = _TRUNKS[net]
        layers, taps = make()
        state = weights.read_state(trunk_path)
        last = taps[-1]
        trunk = {
            key.removeprefix("features."): value
            for key, value in state.items()
            if key.startswith("features.") and int(key.split(".")[1]) <= last
        }
        return Perceptual(
            _load(layers, trunk, trunk_path),
            taps,
            _heads(weights.read_state(head_path), len(taps), head_path),
            name=f"lpips-{version}-{net}",
            rescale=version != "0.0",
            smallest=smallest,
            device=device,
        )

    return build


lpips_alex, lpips_alex_v00 = _lpips("alex"), _lpips("alex", "0.0")
lpips_vgg, lpips_vgg_v00 = _lpips("vgg"), _lpips("vgg", "0.0")
lpips_squeeze, lpips_squeeze_v00 = _lpips("squeeze"), _lpips("squeeze", "0.0")


def _shift_tolerant(net: Literal["alex", "vgg"]) -> Build:
    """Return what builds shift-tolerant LPIPS, whole in one file."""

    def build(config: Config, paths: Sequence[Path], device: torch.device) -> Perceptual:
        (path,) = paths
        layers, taps = _st_alexnet() if net == "alex" else _st_vgg16()
        state = weights.read_state(path)
        trunk = {
            ".".join(key.split(".")[2:]): value
            for key, value in state.items()
            if key.startswith("net.slice")
        }
        layers = list(_load(layers, trunk, path))
        if isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], _BlurPool):
            layers[:2] = [_BlurredConv(layers[0])]
            taps = tuple(tap - 1 for tap in taps)
        return Perceptual(
            layers,
            taps,
            _heads(state, len(taps), path),
            name=f"st-lpips-{net}",
            rescale=True,
            smallest=22 if net == "alex" else 18,
            device=device,
        )

    return build


st_alex, st_vgg = _shift_tolerant("alex"), _shift_tolerant("vgg")
