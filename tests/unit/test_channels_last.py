"""On a CPU the channels of a pixel lie together: who sees to it, who keeps it."""

from __future__ import annotations

import pytest
import torch

from bench.nn.layers import laid_out
from bench.nn.norms import adain, instance_norm
from bench.nn.patch import PatchDiscriminator
from bench.nn.resnet import ResnetGenerator
from bench.nn.upsample import edges
from bench_munit.config import MUNITConfig
from bench_munit.networks import Discriminator, Generator

TOGETHER = torch.channels_last


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    draws = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype)


def test_images_are_laid_out_once():
    images = draw(2, 3, 8, 6)
    ready = laid_out(images)
    assert torch.equal(ready, images) and ready.is_contiguous(memory_format=TOGETHER)
    assert laid_out(ready) is ready
    assert laid_out(images.to("meta")).is_contiguous()  # no CPU: left as it is


@pytest.mark.parametrize("batch", [1, 2])
def test_networks_keep_it_all_the_way(batch):
    images = draw(batch, 3, 32, 32, dtype=torch.float32)
    content, style = (gen := Generator(MUNITConfig(gen_dim=4, mlp_dim=8, n_res=1))).encode(images)
    resnet = ResnetGenerator(4, 2)
    maps = [
        content,
        gen.decode(content, style),
        *resnet.encode(images, range(resnet.last_block + 1)),
        resnet(images),
        *(cnn[:-1](laid_out(images)) for cnn in Discriminator(MUNITConfig(dis_dim=4)).cnns),
        PatchDiscriminator(width=4).model[:-1](laid_out(images)),
    ]
    assert [m.is_contiguous(memory_format=TOGETHER) for m in maps] == [True] * len(maps)


@pytest.mark.parametrize("side", [16, 128])
def test_float32_norms_lose_as_little_as_elsewhere(side):
    """Torch's own batch norm of such maps adds pixels up one by one; that is not to come back."""
    maps = 3 + draw(1, 8, side, side)
    exact = instance_norm(maps)

    def error(y: torch.Tensor) -> float:
        return float((y.double() - exact).abs().max())

    apart, together = maps.float(), laid_out(maps.float())
    assert error(instance_norm(together)) < 2e-6
    assert error(instance_norm(together)) < 4 * error(instance_norm(apart))


@pytest.mark.parametrize("memory", [torch.contiguous_format, TOGETHER])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_norms_are_those_of_float64(dtype, batch, memory):
    half = laid_out(draw(batch, 8, 16, 12, dtype=dtype)).requires_grad_()
    affine = [draw(batch, 8, dtype=torch.float32).requires_grad_() for _ in "bw"]
    exact = [t.detach().double().requires_grad_() for t in (half, *affine)]
    y, want = adain(half, *affine), adain(*exact)
    assert y.dtype == dtype and y.is_contiguous(memory_format=TOGETHER)
    lost = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), want, rtol=lost, atol=lost)
    grad = draw(batch, 8, 16, 12, dtype=dtype)
    got = torch.autograd.grad(y, [half, *affine], grad.contiguous(memory_format=memory))
    assert got[0].dtype == dtype and got[1].dtype == got[2].dtype == torch.float32
    for one, two in zip(got, torch.autograd.grad(want, exact, grad.double()), strict=True):
        torch.testing.assert_close(one.double(), two, rtol=4 * lost, atol=4 * lost)
    alone = instance_norm(half)
    assert alone.dtype == dtype
    torch.testing.assert_close(alone.double(), instance_norm(exact[0]), rtol=lost, atol=lost)
    assert torch.autograd.grad(alone, half, grad)[0].dtype == dtype


@pytest.mark.parametrize("depth", [1, 2])
def test_edges_and_their_gradient(depth):
    x = laid_out(draw(2, 3, 5, 4)).requires_grad_()
    plain = x[:, :, :depth], x[:, :, -depth:], x[..., :depth], x[..., -depth:]
    for edge, want in zip(edges(x, depth), plain, strict=True):
        assert torch.equal(edge, want)
    assert torch.autograd.gradcheck(lambda x: edges(x, depth), (x,))
    # Where only some of them are used, and lines overlap.
    used = lambda top, bottom, left, right: top.sum() + (2 * left).sum()  # noqa: E731
    (got,) = torch.autograd.grad(used(*edges(x, depth)), x)
    (want,) = torch.autograd.grad(used(*plain), x)
    assert torch.equal(got, want)
