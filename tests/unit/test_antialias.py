"""Anti-aliased halving and doubling against their definitions, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bench.nn.antialias import BlurDown, BlurUp, BlurUpConv, blur_up_conv3
from bench.nn.patch import PatchDiscriminator, smallest_side
from bench.nn.resnet import ResnetGenerator
from bench.nn.sharing import sharing


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def doubled(x):
    """The transposed blur as it is defined: pad, spread, blur, cut the rim off."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = (row[:, None] * row / 16).repeat(x.shape[1], 1, 1, 1)
    padded = F.pad(x, (1, 1, 1, 1), "replicate")
    y = F.conv_transpose2d(padded, kernel, stride=2, padding=2, groups=x.shape[1])
    return y[:, :, 1:-1, 1:-1]


def plain(x, weight, bias):
    return F.conv2d(doubled(x), weight, bias, padding=1)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 4, 5, 7), (1, 2, 1, 3), (3, 1, 16, 4)])
def test_convolving_small_maps_is_doubling_first_to_the_border(shape):
    torch.manual_seed(1)
    inputs = (draw(*shape), draw(5, shape[1], 3, 3), draw(5))
    got, expected = blur_up_conv3(*inputs), plain(*inputs)
    assert got.shape == (shape[0], 5, 2 * shape[2], 2 * shape[3])
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    gradients = (torch.autograd.grad((y * weights).sum(), inputs) for y in (got, expected))
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-11, atol=1e-11)


def test_the_collapsed_kernel_is_shared_and_its_gradients_add_up():
    torch.manual_seed(2)
    layer, x = BlurUpConv(2, 3).double(), draw(1, 2, 4, 4)
    with sharing():
        (layer(x).sum() + layer(2 * x).square().sum()).backward()
    fast = layer.weight.grad.clone()
    layer.weight.grad = None
    out = [plain(scale * x, layer.weight, layer.bias) for scale in (1, 2)]
    (out[0].sum() + out[1].square().sum()).backward()
    torch.testing.assert_close(fast, layer.weight.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("height", "width"), [(8, 6), (7, 9), (2, 3)])
def test_halving_is_every_second_pixel_of_a_blur(height, width):
    torch.manual_seed(3)
    x = draw(2, 3, height, width)
    padded = F.pad(x, (1, 1, 1, 1), "reflect")
    row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype)
    expected = sum(
        row[i] * row[j] * padded[:, :, i : i + height, j : j + width]
        for i in range(3)
        for j in range(3)
    )[:, :, ::2, ::2]
    torch.testing.assert_close(BlurDown(3).double()(x), expected, rtol=1e-12, atol=1e-12)


def test_both_leave_a_constant_as_it_is():
    x = torch.full((1, 2, 6, 6), 0.7)
    assert torch.allclose(BlurDown(2)(x), torch.full((1, 2, 3, 3), 0.7))
    layer = BlurUpConv(2, 1)
    torch.nn.init.zeros_(layer.weight)
    layer.weight.data[0, 1, 1, 1] = 1.0
    torch.nn.init.zeros_(layer.bias)
    assert torch.allclose(layer(x), torch.full((1, 1, 12, 12), 0.7))


def test_kernels_are_kept_as_original_files_have_them():
    assert BlurDown(4).filt.shape == (4, 1, 3, 3)
    rows = [[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]]
    assert BlurDown(4).filt[2, 0].tolist() == rows
    assert BlurUp(4).filt.shape == (4, 1, 4, 4)
    assert BlurUp(4).filt[1, 0, 0].tolist() == [1 / 16, 3 / 16, 3 / 16, 1 / 16]


@pytest.mark.parametrize("strided", [1, 2, 3])
def test_smallest_side_of_an_anti_aliased_discriminator(strided):
    net, side = PatchDiscriminator(3, 2, strided, antialias=True), smallest_side(strided)
    assert net(torch.zeros(1, 3, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises((RuntimeError, ValueError)):
        net(torch.zeros(1, 3, side - 1, side - 1))


@pytest.mark.parametrize("antialias", [False, True])
def test_maps_of_a_generator(antialias):
    """The same on the way to an image and alone, also where an activation works in place."""
    torch.manual_seed(4)
    net = ResnetGenerator(4, 2, 1, antialias=antialias)
    assert type(net.model[net.last_block]).__name__ == "ResidualBlock"
    x = torch.randn(1, 3, 16, 16)
    layers = (0, 2, 4, net.last_block)
    out, maps = net.translate(x, layers)
    assert torch.equal(out, net(x))
    for got, expected in zip(net.encode(x, layers), maps, strict=True):
        assert torch.equal(got, expected)
    assert maps[0].shape == (1, 3, 22, 22) and maps[1].min() < 0
    torch.testing.assert_close(maps[3], net.model[: net.last_block + 1](x))
    assert len(net.encode(x, layers[:1])) == 1
