"""Winograd's convolution against the plain one, values and every gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bench.nn import winograd


def _case(batch, into, out, height, width, dtype=torch.float64):
    draws = torch.Generator().manual_seed(height * 100 + width)
    x = torch.randn(batch, into, height + 2, width + 2, generator=draws, dtype=dtype)
    weight = torch.randn(out, into, 3, 3, generator=draws, dtype=dtype) / (9 * into) ** 0.5
    bias = torch.randn(out, generator=draws, dtype=dtype)
    return [t.requires_grad_() for t in (x, weight, bias)]


tiles = pytest.mark.parametrize("tile", [winograd.SMALL_TILE, winograd.TILE])


@tiles
@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 12), (1, 1), (5, 7), (6, 3), (17, 2)])
def test_values_and_gradients_are_those_of_the_plain_convolution(height, width, tile):
    x, weight, bias = _case(2, 3, 5, height, width)
    plain = F.conv2d(x, weight, bias)
    fast = winograd.convolve(x, winograd.transform_kernel(weight, tile), bias)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-13)
    ahead = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, (x, weight, bias), ahead)
    for got, want in zip(
        torch.autograd.grad(fast, (x, weight, bias), ahead), expected, strict=True
    ):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@tiles
def test_gradcheck(tile):
    x, weight, bias = _case(1, 2, 2, 5, 4)

    def fast(x, weight, bias):
        return winograd.convolve(x, winograd.transform_kernel(weight, tile), bias)

    assert torch.autograd.gradcheck(fast, (x, weight, bias))


def test_only_the_gradients_that_are_asked_for():
    x, weight, _ = _case(1, 2, 3, 8, 8)
    kernel = winograd.transform_kernel(weight.detach())
    (grad,) = torch.autograd.grad(winograd.convolve(x, kernel).square().sum(), x)
    (want,) = torch.autograd.grad(F.conv2d(x, weight).square().sum(), x)
    torch.testing.assert_close(grad, want)


@pytest.mark.parametrize(("side", "tile", "worse"), [(32, 4, 12), (16, 2, 4)])
def test_float32_loses_little_more_than_the_plain_convolution(side, tile, worse):
    x, weight, _ = (t.detach() for t in _case(1, 256, 256, side, side))
    exact = F.conv2d(x, weight)

    def error(y):
        return float((y.double() - exact).square().mean().sqrt() / exact.std())

    plain = error(F.conv2d(x.float(), weight.float()))
    fast = error(winograd.conv2d(x.float(), weight.float()))
    assert winograd.best_tile(x.float(), weight.float()) == tile
    assert plain < fast < min(worse * plain, 2e-6)


def test_the_usual_points_lose_more(monkeypatch):
    from fractions import Fraction

    x, weight, _ = (t.detach() for t in _case(1, 64, 64, 32, 32))
    exact = F.conv2d(x, weight)

    def error():
        y = winograd.convolve(x.float(), winograd.transform_kernel(weight.float()))
        return float((y.double() - exact).square().mean())

    ours = error()
    points = [Fraction(point) for point in (0, 1, -1, 2, -2)]
    monkeypatch.setattr(winograd, "_EXACT", {winograd.TILE: winograd._transforms(points)})
    monkeypatch.setattr(winograd, "_made", {})
    usual = error()
    assert ours < 0.7 * usual


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "stride", "dtype", "expected"),
    [
        (256, 32, 3, 1, torch.float32, 4),
        (128, 48, 3, 1, torch.float32, 4),
        (128, 32, 3, 1, torch.float32, 4),
        (64, 64, 3, 1, torch.float32, 4),
        (256, 28, 3, 1, torch.float32, 2),  # few tiles
        (256, 16, 3, 1, torch.float32, 2),
        (256, 14, 3, 1, torch.float32, 0),  # fewer
        (128, 16, 3, 1, torch.float32, 0),  # few of both
        (64, 60, 3, 1, torch.float32, 0),
        (32, 128, 3, 1, torch.float32, 0),  # few channels
        (256, 32, 3, 1, torch.bfloat16, 0),
        (256, 32, 5, 1, torch.float32, 0),
    ],
)
def test_it_is_used_where_it_pays(channels, size, kernel, stride, dtype, expected):
    x = torch.zeros(1, channels, size + kernel - 1, size + kernel - 1, dtype=dtype)
    weight = torch.zeros(channels, channels, kernel, kernel, dtype=dtype)
    assert winograd.best_tile(x, weight) == expected
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert winograd.best_tile(x, weight) == 0


def test_the_layer_is_torchs():
    torch.manual_seed(0)  # one draw of weights in twelve has a pixel beyond the bound
    ours = winograd.Conv2d(256, 128, 3, padding=1)
    theirs = torch.nn.Conv2d(256, 128, 3, padding=1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 256, 31, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)
    assert not torch.equal(ours(x), theirs(x))  # else it went the plain way


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 1, "padding_mode": "reflect"}])
def test_what_the_layer_cannot_speed_up_goes_the_plain_way(options):
    layer = winograd.Conv2d(128, 128, 3, **options)
    x = torch.randn(1, 128, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), torch.nn.Conv2d.forward(layer, x), rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 7), (1, 2)])
def test_a_frozen_layer_is_the_plain_one(height, width):
    x, weight, bias = _case(2, 3, 5, height, width)
    x = x[:, :, 1:-1, 1:-1].detach().requires_grad_()
    weight, bias = weight.detach(), bias.detach()
    plain = F.relu(F.conv2d(x, weight, bias, padding=1))
    fast = winograd.frozen_conv_relu(x, winograd.FrozenKernel.of(weight, bias))
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-13)
    ahead = torch.randn_like(plain)
    (got,), (want,) = torch.autograd.grad(fast, x, ahead), torch.autograd.grad(plain, x, ahead)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_the_transforms_are_made_once_and_never_by_pretence(monkeypatch):
    from torch._subclasses.fake_tensor import FakeTensorMode

    monkeypatch.setattr(winograd, "_made", {})
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert type(winograd.matrices(4, single).image) is not torch.Tensor
    once = winograd.matrices(4, single)
    assert type(once.image) is torch.Tensor and once.image.dtype == torch.float32
    assert winograd.matrices(4, single) is once
    assert winograd.matrices(4, double) is not once
    assert winograd.matrices(2, single).image.shape == (16, 16)
