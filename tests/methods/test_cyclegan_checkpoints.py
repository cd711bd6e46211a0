"""CycleGAN's files: the official layout in and out, old files, and refusals of one line."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import save_file

from bench.api import A2B, B2A, BenchError, Budget, Context, TrainData
from bench_cyclegan.config import CycleGANConfig
from bench_cyclegan.method import CycleGAN
from tests.methods.checkpoints import CPU, FAULTS, SEEDS, lacks, refused, same

SMALL = CycleGANConfig(ngf=5, n_blocks=2, load=None, crop=None)


@pytest.fixture
def method():
    return CycleGAN(SMALL, CPU)


@pytest.fixture
def image():
    return torch.rand(1, 3, 32, 32)


def generator(method, direction="a2b"):
    return method.generators[direction].state_dict()


def test_recorded_file_translates_as_recorded(golden, tmp_path):
    """An original checkpoint under its official name, widths read from it."""
    io = torch.load(golden / "cyclegan_io.pt", weights_only=True)
    path = tmp_path / "latest_net_G_A.pth"
    shutil.copy(golden / "cyclegan_net_G.pth", path)
    method = CycleGAN.from_weights(path, CPU)
    assert (method.config.ngf, method.config.n_blocks) == (4, 9)
    seeds = torch.zeros(len(io["x"]), 1, dtype=torch.long)
    out = method.translate((io["x"] + 1) / 2, A2B, samples=1, seeds=seeds)[:, 0]
    torch.testing.assert_close(out, (io["g"] + 1) / 2, rtol=0, atol=1e-5)


def test_official_pair_there_and_back(method, image, tmp_path):
    paths = method.save_official(tmp_path, epoch="200")
    assert [p.name for p in paths] == ["200_net_G_A.pth", "200_net_G_B.pth"]
    assert sorted(tmp_path.iterdir()) == paths, "nothing half-written is left"
    plain = torch.load(paths[0], weights_only=True)
    assert list(plain) == list(generator(method)), "original key names"
    for path in (*paths, tmp_path):
        same(method, CycleGAN.from_weights(path, CPU), image)


@pytest.mark.parametrize(
    ("name", "direction", "other"),
    [
        ("summer2winter_yosemite.pth", A2B, B2A),
        ("winter2summer_yosemite.pth", B2A, A2B),
        ("zebra2horse.pth", B2A, A2B),
        ("mine.pth", A2B, B2A),
    ],
)
def test_published_file_holds_one_direction(method, image, tmp_path, name, direction, other):
    torch.save(generator(method), tmp_path / name)
    loaded = CycleGAN.from_weights(tmp_path / name, CPU)
    expected = method.translate(image, A2B, samples=1, seeds=SEEDS)
    assert torch.equal(loaded.translate(image, direction, samples=1, seeds=SEEDS), expected)
    with pytest.raises(BenchError, match=f"no weights for {other.key}"):
        loaded.translate(image, other, samples=1, seeds=SEEDS)
    with pytest.raises(BenchError, match="trains both"):
        empty = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
        loaded.fit(TrainData(empty, empty, ("a", "b")), Budget(iterations=1))
    # Such a method's own state goes back into a method built with both.
    whole = CycleGAN(loaded.config, CPU)
    whole.load_state_dict(loaded.state_dict())
    assert torch.equal(whole.translate(image, direction, samples=1, seeds=SEEDS), expected)


def test_direction_can_be_named(method, image, tmp_path):
    torch.save(generator(method), tmp_path / "mine.pth")
    loaded = CycleGAN.from_weights(tmp_path / "mine.pth", CPU, direction="b2a")
    assert list(loaded.generators) == ["b2a"]
    with pytest.raises(BenchError, match="choose from a2b, b2a"):
        CycleGAN.from_weights(tmp_path / "mine.pth", CPU, direction="up")


def test_old_files_lose_their_statistics_and_wrappers(method, image, tmp_path):
    old = {}
    for key, value in generator(method).items():
        old["module." + key.replace("conv_block.5.", "conv_block.6.")] = value
    old["module.model.2.running_mean"] = torch.zeros(5)
    old["module.model.2.running_var"] = torch.ones(5)
    old["module.model.10.conv_block.2.num_batches_tracked"] = torch.tensor(7)
    torch.save(old, tmp_path / "summer2winter_yosemite.pth")
    same(method, CycleGAN.from_weights(tmp_path / "summer2winter_yosemite.pth", CPU), image, (A2B,))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_own_files_bring_widths_and_options(tmp_path, image, depth, skip):
    config = SMALL.model_copy(update={"n_downsampling": depth, "input_skip": skip})
    method = CycleGAN(config, CPU)
    save_file(method.state_dict(), tmp_path / "weights.safetensors")
    loaded = CycleGAN.from_weights(tmp_path / "weights.safetensors", CPU, lr=1e-3)
    assert loaded.config.lr == 1e-3
    assert (loaded.config.n_downsampling, loaded.config.input_skip) == (depth, skip)
    same(method, loaded, image)


@pytest.mark.parametrize("skip", [False, True])
def test_training_checkpoint_can_be_loaded(tmp_path, image, skip):
    change = {"ndf": 4, "pool_size": 2, "n_layers_d": 2, "input_skip": skip}
    config = SMALL.model_copy(update=change)
    method = CycleGAN(config, Context(torch.device("cpu"), work_dir=tmp_path))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    method.fit(TrainData(images, images, ("a", "b")), Budget(iterations=1))
    same(method, CycleGAN.from_weights(tmp_path / "last.pt", CPU), image)


def test_input_skip_has_no_official_form(tmp_path):
    method = CycleGAN(SMALL.model_copy(update={"input_skip": True}), CPU)
    with pytest.raises(BenchError, match="no official form"):
        method.save_official(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("spoil", "message"), [lacks("model.11.conv_block.1.bias"), *FAULTS])
def test_bad_files_are_refused_in_one_line(method, tmp_path, spoil, message):
    refused(CycleGAN, generator(method), tmp_path / "latest_net_G_A.pth", spoil, message)


def test_missing_files_and_bad_options(method, tmp_path):
    with pytest.raises(BenchError, match="does not exist"):
        CycleGAN.from_weights(tmp_path / "none.pth", CPU)
    with pytest.raises(BenchError, match="holds no <epoch>_net_G_A"):
        CycleGAN.from_weights(tmp_path, CPU)
