"""The shared blocks against plain formulations, values and gradients, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from bench.nn.losses import lsgan
from bench.nn.norms import SampleNorm, adain, at_least_float32, instance_norm
from bench.nn.upsample import collapse_kernel, conv_few_outputs, upsample_conv5


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def same_with_gradients(fast, plain, inputs):
    expected = plain(*inputs)
    got = fast(*inputs)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad((got * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def plain_upsample(x, weight, bias):
    x = F.interpolate(x, scale_factor=2, mode="nearest")
    return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), weight, bias)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 4, 5, 7), (1, 2, 2, 3), (3, 1, 16, 4)])
def test_upsampling_at_low_resolution_is_exact_to_the_border(shape):
    torch.manual_seed(1)
    inputs = (draw(*shape), draw(5, shape[1], 5, 5), draw(5))
    same_with_gradients(upsample_conv5, plain_upsample, inputs)


def test_the_ring_is_what_replicate_padding_misses():
    """Without the ring the outermost pixels differ and no others: the fix is needed."""
    torch.manual_seed(2)
    x, weight, bias = draw(1, 2, 6, 6), draw(3, 2, 5, 5), draw(3)
    low = F.conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), collapse_kernel(weight))
    gap = (F.pixel_shuffle(low, 2) + bias.view(1, -1, 1, 1) - plain_upsample(x, weight, bias)).abs()
    assert gap[..., 1:-1, 1:-1].max() < 1e-12
    for edge in (gap[..., 0, :], gap[..., -1, :], gap[..., 0], gap[..., -1]):
        assert edge.max() > 1e-2


@pytest.mark.parametrize("size", [(12, 10), (11, 10), (12, 9)])
def test_few_outputs_in_blocks(size):
    torch.manual_seed(3)
    inputs = (draw(2, 4, size[0] + 6, size[1] + 6), draw(3, 4, 7, 7), draw(3))
    same_with_gradients(conv_few_outputs, F.conv2d, inputs)


def test_sample_norm():
    torch.manual_seed(4)
    norm = SampleNorm(3).double()
    assert norm.gamma.min() >= 0 and norm.gamma.max() < 1 and not norm.beta.any()
    gamma, beta = draw(3), draw(3)

    def fast(x, gamma, beta):
        return torch.func.functional_call(norm, {"gamma": gamma, "beta": beta}, (x,))

    def plain(x, gamma, beta):
        flat = x.flatten(1)
        mean = flat.mean(1).view(-1, 1, 1, 1)
        std = flat.std(1).view(-1, 1, 1, 1)
        return (x - mean) / (std + 1e-5) * gamma.view(1, -1, 1, 1) + beta.view(1, -1, 1, 1)

    x = (3 * draw(2, 3, 5, 6) + 1).detach().requires_grad_()
    same_with_gradients(fast, plain, (x, gamma, beta))
    assert gradcheck(fast, (x, gamma, beta))


def test_sample_norm_of_a_constant_is_its_shift():
    norm = SampleNorm(2)
    x = torch.full((1, 2, 4, 4), 0.5, requires_grad=True)
    y = norm(x)
    assert not y.any()
    y.sum().backward()
    assert x.grad.isfinite().all()


def test_adain_is_bias_then_weight_over_each_map():
    torch.manual_seed(5)

    def plain(x, bias, weight):
        mean = x.mean((2, 3), keepdim=True)
        var = x.var((2, 3), correction=0, keepdim=True)
        normal = (x - mean) / (var + 1e-5).sqrt()
        return normal * weight[:, :, None, None] + bias[:, :, None, None]

    same_with_gradients(adain, plain, (draw(2, 3, 6, 5), draw(2, 3), draw(2, 3)))
    x = draw(2, 3, 6, 5)
    ones, zeros = torch.ones(2, 3).double(), torch.zeros(2, 3).double()
    torch.testing.assert_close(instance_norm(x), plain(x, zeros, ones))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("norm", [instance_norm, lambda x: adain(x, None, None)])
def test_norms_take_a_gradient_in_any_memory(norm, batch):
    """Vectors picked from maps bring one whose channels lie together."""
    torch.manual_seed(6)
    x, weights = draw(batch, 3, 4, 5), torch.randn(batch, 3, 4, 5, dtype=torch.float64)
    last = weights.contiguous(memory_format=torch.channels_last)
    gradients = [torch.autograd.grad(norm(x), x, g)[0] for g in (last, weights)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_reduced_in_float32(dtype):
    """4096 squares of 1/8 sum to 64, far past where a half-precision sum stops growing."""
    prediction = torch.full((1, 1, 64, 64), 1.125, dtype=dtype)
    assert lsgan(prediction, 1.0).item() == 0.125**2
    assert at_least_float32(prediction).dtype == torch.float32
    x = torch.randn(1, 2, 16, 16)
    got = SampleNorm(2)(x.to(dtype))
    assert got.dtype == dtype


def test_lsgan_has_no_factor():
    assert lsgan(torch.tensor([0.0, 2.0]), 1.0).item() == 1.0
    assert lsgan(torch.tensor([0.0, 2.0]), 0.0).item() == 2.0


def test_the_small_kernel_is_a_sum_of_taps_to_the_bit():
    """Tap k of the five reads low-resolution pixel a - 1 for outputs of parity p."""
    taps = torch.zeros(2, 3, 5)
    for p in range(2):
        for k in range(5):
            taps[p, (p + k - 2) // 2 + 1, k] = 1
    torch.manual_seed(7)
    weight = torch.randn(6, 4, 5, 5, requires_grad=True)
    rows = torch.einsum("pak,oikl->opial", taps, weight)
    plain = torch.einsum("qbl,opial->opqiab", taps, rows).reshape(24, 4, 3, 3)
    small = collapse_kernel(weight)
    assert torch.equal(small, plain)
    grad = torch.randn_like(plain)
    one, two = (torch.autograd.grad(x, weight, grad)[0] for x in (small, plain))
    assert torch.equal(one, two)


LAYERS = {
    "instance": lambda x, b, w: instance_norm(x),
    "adain": adain,
    "adain alone": lambda x, b, w: adain(x, None, None),
    "sample": lambda x, b, w: _SAMPLE(x),
}
_SAMPLE = SampleNorm(5).double()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch", [1, 3])
def test_norms_take_maps_in_any_order_of_memory(name, batch):
    """And leave them in it: a convolution after the norm need not turn them round."""
    torch.manual_seed(8)
    bias, weight = draw(batch, 5), draw(batch, 5)
    x = draw(batch, 5, 6, 4)
    turned = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    plain, last = (LAYERS[name](each, bias, weight) for each in (x, turned))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain, rtol=1e-11, atol=1e-12)
    grad = torch.randn_like(plain)
    for one, two in zip(
        torch.autograd.grad(plain, [x, bias, weight], grad, allow_unused=True),
        torch.autograd.grad(last, [turned, bias, weight], grad, allow_unused=True),
        strict=True,
    ):
        if one is not None:
            torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-11)


def test_a_whole_generator_takes_maps_in_any_order_of_memory():
    from bench_munit.config import MUNITConfig
    from bench_munit.networks import Generator

    torch.manual_seed(9)
    plain = Generator(MUNITConfig(gen_dim=4, mlp_dim=8, n_res=1)).double()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    turned = x.contiguous(memory_format=torch.channels_last)
    results = []
    for net, images in ((plain, x), (last, turned)):
        y = net.decode(*net.encode(images))
        y.square().mean().backward()
        results.append([y, *(p.grad for p in net.parameters())])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-9, atol=1e-11)
