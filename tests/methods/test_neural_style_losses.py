"""Losses, gradients and the network of neural style, against plain computations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bench.api import BenchError
from bench_neural_style.config import LAYERS, RECIPES, NeuralStyleConfig
from bench_neural_style.losses import content_loss, gram, row_sum, style_loss, total_variation
from bench_neural_style.networks import (
    VGG19,
    Weights,
    normalize,
    read_weights,
)
from bench_neural_style.step import minimise, objective_for

WIDTH = {1: 4, 2: 5, 3: 6, 4: 7, 5: 8}


def small_weights(dtype=torch.float32):
    """A VGG-19 of a few channels."""
    g = torch.Generator().manual_seed(3)
    kernels, biases, before = [], [], 3
    for name in LAYERS:
        width = WIDTH[int(name[4])]
        std = (2 / (9 * before)) ** 0.5
        kernels.append(torch.randn(width, before, 3, 3, generator=g, dtype=dtype) * std)
        biases.append(torch.randn(width, generator=g, dtype=dtype) * 0.1)
        before = width
    return Weights(tuple(kernels), tuple(biases), (120.0, 110.0, 100.0))


def pictures(count, size=20, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=g, dtype=dtype) * 255


def plain_features(weights, images, pooling):
    """VGG-19 in six lines."""
    x, found = images - torch.tensor(weights.mean, dtype=images.dtype)[:, None, None], {}
    for name, kernel, bias in zip(LAYERS, weights.kernels, weights.biases, strict=True):
        if name.endswith("_1") and name != "relu1_1":
            x = F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2)
        x = found[name] = F.conv2d(x, kernel, bias, padding=1).clamp(min=0)
    return found


def plain_losses(config, weights, x, content, style):
    """Equations 1 to 7 of the paper with loops, one picture."""
    now, want, like = (
        plain_features(weights, i[None], config.pooling) for i in (x, content, style)
    )
    c = s = torch.zeros((), dtype=x.dtype)
    for name, weight in config.content_layers.items():
        squares = (now[name] - want[name]) ** 2
        value = 0.5 * squares.sum() if config.content_norm == "half_sum" else squares.mean()
        c = c + config.content_weight * weight * value
    for name, weight in config.style_layers.items():
        f, a = now[name][0].flatten(1), like[name][0].flatten(1)
        n, m = f.shape
        if config.style_norm == "paper":  # style picture of the same size, so M is the same
            value = ((f @ f.T - a @ a.T) ** 2).sum() / (4 * n**2 * m**2)
        else:
            value = ((f @ f.T / m - a @ a.T / m) ** 2).mean()
        s = s + config.style_weight * weight * value
    dy, dx = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    t = config.tv_weight * ((dy**2).mean() + (dx**2).mean())
    return {"content": c, "style": s, "total": c + s + t}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_losses_and_gradients_equal_the_plain_ones(recipe):
    config = NeuralStyleConfig(recipe=recipe)
    weights = small_weights(torch.float64)
    network = VGG19(weights, deepest="relu5_4", pooling=config.pooling).double()
    content, style, x = (pictures(2, seed=s) for s in (1, 2, 3))
    objective = objective_for(network, config, content, style[:, None])
    losses, grad = objective.evaluate(x)
    for row in range(2):
        z = x[row].clone().requires_grad_()
        plain = plain_losses(config, weights, z, content[row], style[row])
        for name in ("content", "style", "total"):
            torch.testing.assert_close(losses[name][row], plain[name].detach(), rtol=1e-10, atol=0)
        (expected,) = torch.autograd.grad(plain["total"], z)
        torch.testing.assert_close(grad[row], expected, rtol=1e-8, atol=1e-10 * grad.abs().max())


def test_gradcheck():
    config = NeuralStyleConfig(
        content_layers={"relu2_2": 1.0},
        style_layers={"relu1_1": 1.0, "relu2_1": 0.5},
        tv_weight=0.1,
    )
    network = VGG19(small_weights(torch.float64), deepest="relu2_2", pooling="avg").double()
    content, style, x = (pictures(1, 5, seed=s) / 255 for s in (1, 2, 3))
    objective = objective_for(network, config, content, style[:, None])
    assert torch.autograd.gradcheck(lambda z: objective.losses(z)["total"], x.requires_grad_())


def test_gram_gradcheck_and_scale():
    x = pictures(2, 4, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(gram, x / 255)
    bigger = torch.cat([x, x], dim=3)
    torch.testing.assert_close(gram(bigger), gram(x))  # as many again of the same positions


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_fused_convolutions_equal_plain_ones(pooling):
    weights = small_weights()
    network = VGG19(weights, deepest="relu5_4", pooling=pooling)
    x = pictures(2, 32, torch.float32)
    z, reference = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = network(z, LAYERS), plain_features(weights, reference, pooling)
    for name in LAYERS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-3)
    (a,) = torch.autograd.grad(sum(f.square().mean() for f in found.values()), z)
    (b,) = torch.autograd.grad(sum(f.square().mean() for f in expected.values()), reference)
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))


def test_normalize_gives_mean_activation_one():
    x = pictures(3, 64, torch.float32)
    weights = normalize(small_weights(), x, pooling="avg")
    network = VGG19(weights, deepest="relu5_4", pooling="avg")
    for name, features in network(x, LAYERS).items():
        means = features.mean((0, 2, 3))
        alive = means > 0.9
        assert alive.sum() >= len(means) // 2, name
        torch.testing.assert_close(means[alive], torch.ones_like(means[alive]), rtol=1e-3, atol=0)


def test_the_three_layouts_agree():
    """The same network, published in three ways, gives the same features."""
    weights = small_weights()
    x = pictures(1, 32, torch.float32)
    caffe, embedded, torchvision, position = {}, {}, {}, 0
    std, mean = torch.tensor((0.229, 0.224, 0.225)), (0.485, 0.456, 0.406)
    for name, kernel, bias in zip(LAYERS, weights.kernels, weights.biases, strict=True):
        block, index = name[4], name[6]
        if name.endswith("_1") and block != "1":
            position += 1
        raw = kernel.flip(1) if name == "relu1_1" else kernel
        caffe |= {f"conv{block}_{index}.weight": raw, f"conv{block}_{index}.bias": bias}
        palette, codes = raw.unique(return_inverse=True)
        stem = f"block{block}_conv{index}"
        embedded |= {f"{stem}_W_table": palette, f"{stem}_W_q": codes.to(torch.int16)}
        embedded |= {f"{stem}_b": bias}
        normal = kernel * 255 * std[:, None, None] if name == "relu1_1" else kernel
        torchvision |= {f"features.{position}.weight": normal, f"features.{position}.bias": bias}
        position += 2
    read = {n: read_weights(s) for n, s in (("c", caffe), ("e", embedded), ("t", torchvision))}
    assert read["c"].mean == read["e"].mean == (123.68, 116.779, 103.939)
    assert read["t"].mean == pytest.approx([255 * m for m in mean])
    for one in read.values():
        same = Weights(one.kernels, one.biases, weights.mean)
        found = VGG19(same, deepest="relu5_4", pooling="max")(x, ["relu5_4"])["relu5_4"]
        torch.testing.assert_close(
            found, plain_features(weights, x, "max")["relu5_4"], rtol=1e-4, atol=1e-4
        )
    with pytest.raises(BenchError, match=r"no VGG-19"):
        read_weights({"conv1_1.weight": weights.kernels[0]})
    with pytest.raises(BenchError, match=r"no VGG-19"):
        read_weights({"fc.weight": weights.kernels[0]})


def test_row_sum_and_simple_losses():
    x = pictures(2, 9)
    torch.testing.assert_close(row_sum(x.flatten(1)), x.sum((1, 2, 3)))
    assert total_variation(torch.full((1, 3, 4, 4), 7.0)).item() == 0
    other = pictures(2, 9, seed=8)
    mean, half = (content_loss(x, other, norm) for norm in ("mean", "half_sum"))
    torch.testing.assert_close(half, mean * x[0].numel() / 2)
    a, b = gram(x), gram(other)
    torch.testing.assert_close(style_loss(a, b, "paper") * 4, style_loss(a, b, "mean"))


def test_several_styles_are_the_weighted_sum_of_losses():
    """Same gradient as the sum over style images; the losses differ by a constant."""
    network = VGG19(small_weights(torch.float64), deepest="relu4_1", pooling="max").double()
    mixed = NeuralStyleConfig(exemplars=2, exemplar_weights=(3.0, 1.0), content_weight=0)
    content, x = pictures(1, seed=1), pictures(1, seed=2)
    styles = pictures(2, seed=5)[None]
    _, grad = objective_for(network, mixed, content, styles).evaluate(x)
    one = NeuralStyleConfig(content_weight=0)
    parts = [
        objective_for(network, one, content, styles[:, k : k + 1]).evaluate(x)[1] for k in (0, 1)
    ]
    torch.testing.assert_close(grad, 0.75 * parts[0] + 0.25 * parts[1])


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_minimise_lowers_the_loss_and_keeps_the_best(optimizer):
    rate = 1.0 if optimizer == "lbfgs" else 5.0
    config = NeuralStyleConfig(optimizer=optimizer, learning_rate=rate, content_weight=1.0)
    network = VGG19(small_weights(), deepest="relu4_1", pooling="max")
    content, style = pictures(2, 32, torch.float32, 1), pictures(2, 32, torch.float32, 2)
    objective = objective_for(network, config, content, style[:, None])
    seen = []
    before = content.clone()
    out = minimise(objective, content, 15, on_step=lambda i, x, v: seen.append(v["total"]))
    assert torch.equal(content, before)  # the start is not written to
    best = torch.stack(seen).amin(0)
    torch.testing.assert_close(objective.evaluate(out)[0]["total"], best)
    assert bool((best < 0.7 * seen[0]).all())


def test_unknown_layer_lists_the_known_and_sizes_are_checked():
    with pytest.raises(BenchError, match=r"unknown layer 'relu6_1'.*relu1_1.*relu5_4"):
        NeuralStyleConfig(style_layers={"relu6_1": 1.0})
    assert NeuralStyleConfig(content_layers={"conv4_2": 1.0}).content_layers == {"relu4_2": 1.0}
    network = VGG19(small_weights(), deepest="relu4_1", pooling="max")
    with pytest.raises(BenchError, match=r"1x1 pixels is too small for relu4_1.*at least 8"):
        network(torch.zeros(1, 3, 1, 1), ["relu4_1"])
    with pytest.raises(BenchError, match=r"RGB"):
        network(torch.zeros(1, 1, 32, 32), ["relu4_1"])
    for wrong in ({"scales": (0.5,)}, {"exemplars": 2, "exemplar_weights": (1.0,)}):
        with pytest.raises(BenchError, match=r"neural_style"):
            NeuralStyleConfig(**wrong)
