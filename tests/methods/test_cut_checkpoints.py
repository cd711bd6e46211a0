"""CUT's files: the official layout in and out, and refusals of one line."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from bench.api import A2B, B2A, BenchError, Budget, Context, TrainData
from bench_cut.config import CUTConfig, FastCUTConfig
from bench_cut.method import CUT, FastCUT
from bench_cut.networks import PatchHeads
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN
from tests.methods.checkpoints import CPU, FAULTS, SEEDS, lacks, refused, same

SMALL = CUTConfig(ngf=5, n_blocks=2, load=None, crop=None)


@pytest.fixture
def method():
    return CUT(SMALL, CPU)


@pytest.fixture
def image():
    return torch.rand(1, 3, 32, 32)


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_recorded_weights_translate_as_recorded(golden, tmp_path, name):
    """Original keys under the official name, widths read from them."""
    recorded = torch.load(golden / f"{name}_float64.pt", weights_only=True)
    state = {key: value.float() for key, value in recorded["init"]["G"].items()}
    torch.save(state, tmp_path / "latest_net_G.pth")
    method = CUT.from_weights(tmp_path / "latest_net_G.pth", CPU)
    assert (method.config.ngf, method.config.n_blocks) == (recorded["config"]["ngf"], 9)
    x = (recorded["batches"][0][0].float() + 1) / 2
    out = method.translate(x, A2B, samples=1, seeds=SEEDS)[:, 0]
    expected = (recorded["out"]["fake"].float() + 1) / 2
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    # Written again it is the same file: every key, the blurs' kernels among them.
    (path,) = method.save_official(tmp_path / "again")
    again = torch.load(path, weights_only=True)
    assert list(again) == list(state)
    assert all(torch.equal(again[key], value) for key, value in state.items())
    heads = PatchHeads(
        [v.shape[1] for k, v in recorded["init"]["F"].items() if "0.weight" in k],
        recorded["config"]["netF_nc"],
    )
    heads.load_state_dict(recorded["init"]["F"], strict=True)


def test_official_pair_there_and_back(method, image, tmp_path):
    paths = method.save_official(tmp_path / "out", epoch="200")
    names = [f"{direction}/200_net_G.pth" for direction in ("a2b", "b2a")]
    assert [str(p.relative_to(tmp_path / "out")) for p in paths] == names
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == paths
    same(method, CUT.from_weights(tmp_path / "out", CPU), image)
    for path, direction, other in zip(paths, (A2B, B2A), (B2A, A2B), strict=True):
        loaded = CUT.from_weights(path, CPU)
        same(method, loaded, image, (direction,))
        with pytest.raises(BenchError, match=f"no weights for {other.key}"):
            loaded.translate(image, other, samples=1, seeds=SEEDS)
        # Such a method's own state goes back into a method built with both.
        whole = CUT(loaded.config, CPU)
        whole.load_state_dict(loaded.state_dict())
        same(method, whole, image, (direction,))


def test_of_several_epochs_the_last_written_is_read(method, image, tmp_path):
    import os

    (path, _) = method.save_official(tmp_path, epoch="5")
    other = CUT(SMALL, Context(torch.device("cpu"), seed=4))
    (late, _) = other.save_official(tmp_path, epoch="latest")
    os.utime(late, ns=(path.stat().st_mtime_ns + 10**9,) * 2)
    for place in (tmp_path, tmp_path / "a2b"):
        same(other, CUT.from_weights(place, CPU), image, (A2B,))


def test_direction_can_be_named(method, image, tmp_path):
    path = tmp_path / "latest_net_G.pth"
    torch.save(method.generators["a2b"].state_dict(), path)
    for place in (path, tmp_path):
        assert list(CUT.from_weights(place, CPU).generators) == ["a2b"]
        assert list(CUT.from_weights(place, CPU, direction="b2a").generators) == ["b2a"]
    with pytest.raises(BenchError, match="choose from a2b, b2a"):
        CUT.from_weights(path, CPU, direction="up")
    method.save_official(tmp_path / "pair")
    one = CUT.from_weights(tmp_path / "pair", CPU, direction="b2a")
    assert list(one.generators) == ["b2a"]
    same(method, one, image, (B2A,))


def test_wrappers_and_old_statistics_are_dropped(method, image, tmp_path):
    old = {f"module.{k}": v for k, v in method.generators["a2b"].state_dict().items()}
    old["module.model.2.running_mean"] = torch.zeros(5)
    torch.save(old, tmp_path / "latest_net_G.pth")
    same(method, CUT.from_weights(tmp_path / "latest_net_G.pth", CPU), image, (A2B,))


@pytest.mark.parametrize("model", [CUT, FastCUT])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_own_files_bring_widths_and_options(tmp_path, image, model, depth, skip):
    change = {"n_downsampling": depth, "input_skip": skip}
    method = model(
        model.config_type(**SMALL.model_dump(include={"ngf", "n_blocks"}), **change), CPU
    )
    save_file(method.state_dict(), tmp_path / "weights.safetensors")
    loaded = model.from_weights(tmp_path / "weights.safetensors", CPU, lr=1e-3)
    assert type(loaded.config) is {CUT: CUTConfig, FastCUT: FastCUTConfig}[model]
    assert loaded.config.lr == 1e-3
    assert (loaded.config.n_downsampling, loaded.config.input_skip) == (depth, skip)
    same(method, loaded, image)


def test_training_checkpoint_can_be_loaded(tmp_path, image):
    config = SMALL.model_copy(update={"ndf": 4, "n_layers_d": 2, "head_width": 4})
    method = CUT(config, Context(torch.device("cpu"), work_dir=tmp_path))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    method.fit(TrainData(images, images, ("a", "b")), Budget(iterations=1))
    same(method, CUT.from_weights(tmp_path / "last.pt", CPU), image)


def test_one_loaded_generator_is_trained_alone(method, tmp_path):
    path = method.save_official(tmp_path)[1]
    extra = {"ndf": 4, "n_layers_d": 2, "head_width": 4, "load": None, "crop": None}
    loaded = CUT.from_weights(path, CPU, **extra)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    loaded.fit(TrainData(images, images, ("a", "b")), Budget(iterations=1))
    assert {key.partition(".")[0] for key in loaded.state_dict()} == {"b2a"}
    assert not torch.equal(
        loaded.state_dict()["b2a.model.1.weight"], method.state_dict()["b2a.model.1.weight"]
    )


def test_input_skip_has_no_official_form(tmp_path):
    method = CUT(SMALL.model_copy(update={"input_skip": True}), CPU)
    with pytest.raises(BenchError, match="no official form"):
        method.save_official(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def heads(state, path):
    torch.save(PatchHeads([3, 4], 5).state_dict(), path)


def strided(state, path):
    other = CycleGAN(CycleGANConfig(ngf=5, n_blocks=2), CPU)
    torch.save(other.generators["a2b"].state_dict(), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        lacks("model.13.conv_block.1.bias"),
        lacks("model.7.filt"),
        (heads, r"first key is 'mlp_0\.0\.weight'"),
        (strided, r"is not a CUT resnet generator: it is not anti-aliased"),
        *FAULTS,
    ],
)
def test_bad_files_are_refused_in_one_line(method, tmp_path, spoil, message):
    state = method.generators["a2b"].state_dict()
    refused(CUT, state, tmp_path / "latest_net_G.pth", spoil, message)


def test_a_cyclegan_may_have_an_anti_aliased_generator(method, image, tmp_path):
    path = tmp_path / "latest_net_G_A.pth"
    torch.save(method.generators["a2b"].state_dict(), path)
    loaded = CycleGAN.from_weights(path, CPU)
    assert loaded.config.antialias
    same(method, loaded, image, (A2B,))


def test_a_strided_generator_is_not_cuts():
    with pytest.raises(ValueError, match="antialias"):
        CUTConfig(antialias=False)


def test_missing_files(tmp_path):
    with pytest.raises(BenchError, match="does not exist"):
        CUT.from_weights(tmp_path / "none.pth", CPU)
    with pytest.raises(BenchError, match=r"holds no <epoch>_net_G\.pth"):
        CUT.from_weights(tmp_path, CPU)
