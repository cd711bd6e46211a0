"""MUNIT's files: the original's in and out, and one clear line for every wrong one."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from bench.api import A2B, B2A, BenchError, Context
from bench_munit.checkpoints import read_generators, write_original
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT
from bench_munit.networks import UpBlock

CTX = Context(device=torch.device("cpu"))
TINY = MUNITConfig(gen_dim=2, mlp_dim=4, style_dim=3, n_res=1, n_downsample=1, dis_dim=2)


def one_line(excinfo):
    message = str(excinfo.value)
    assert "\n" not in message
    return message


@pytest.fixture
def method():
    return MUNIT(TINY, CTX)


@pytest.fixture
def weights(method, tmp_path):
    path = tmp_path / "munit.safetensors"
    save_file({k: v.contiguous() for k, v in method.state_dict().items()}, path)
    return path


def test_the_originals_file_gives_the_recorded_translation(golden):
    recorded = torch.load(golden / "munit_float64.pt", weights_only=True)
    method = MUNIT.from_weights(golden / "munit_gen_00000010.pt", CTX)
    assert (method.config.gen_dim, method.config.mlp_dim) == (4, 8)
    assert (method.config.n_res, method.config.n_downsample, method.config.style_dim) == (4, 2, 8)
    file = torch.load(golden / "munit_gen_00000010.pt", weights_only=True)
    if all(torch.equal(file["a"][k], v.float()) for k, v in recorded["init"]["gen"]["a"].items()):
        images = (recorded["x_a"].float() + 1) / 2
        content, style = method.encode(images, "a")
        torch.testing.assert_close(
            content, recorded["out"]["content_a"].float(), rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(
            style, recorded["out"]["style_a"].float().flatten(1), rtol=1e-5, atol=1e-5
        )


def test_the_originals_file_written_again_is_the_same(golden, tmp_path):
    source = golden / "munit_gen_00000010.pt"
    (path,) = MUNIT.from_weights(source, CTX).save_official(tmp_path / "new")
    expected = torch.load(source, weights_only=True)
    got = torch.load(path, weights_only=True)
    for domain in "ab":
        assert set(got[domain]) == set(expected[domain])
        for name, value in expected[domain].items():
            if "running" not in name:
                assert torch.equal(got[domain][name], value), name
    assert list(path.parent.iterdir()) == [path]


def test_discriminators_written_as_the_original_does(golden, tmp_path):
    expected = torch.load(golden / "munit_dis_00000010.pt", weights_only=True)
    write_original(tmp_path / "dis_00000010.pt", expected)
    got = torch.load(tmp_path / "dis_00000010.pt", weights_only=True)
    for domain in "ab":
        assert list(got[domain]) == list(expected[domain])
        assert all(torch.equal(got[domain][k], v) for k, v in expected[domain].items())


def test_old_files_with_instance_norm_statistics(golden, tmp_path):
    """torch 0.3 kept statistics for the content encoder's norms too: 22 more keys."""
    content = torch.load(golden / "munit_gen_00000010.pt", weights_only=True)
    for state in content.values():
        for name in [k for k in state if k.startswith("enc_content") and k.endswith("weight")]:
            norm = name.replace("conv.weight", "norm")
            state[f"{norm}.running_mean"] = torch.zeros(len(state[name]))
            state[f"{norm}.running_var"] = torch.ones(len(state[name]))
    assert len(content["a"]) == 82 + 22
    torch.save(content, tmp_path / "gen_old.pt")
    old = MUNIT.from_weights(tmp_path / "gen_old.pt", CTX).state_dict()
    new = MUNIT.from_weights(golden / "munit_gen_00000010.pt", CTX).state_dict()
    assert all(torch.equal(old[k], new[k]) for k in new)


def test_ours_round_trips_and_float16_comes_back_wide(method, weights, tmp_path):
    again = MUNIT.from_weights(weights, CTX, lr=0.5)
    assert again.config.lr == 0.5
    x, seeds = torch.rand(2, 3, 16, 16), torch.tensor([[1, 2], [3, 4]])
    for direction in (A2B, B2A):
        expected = method.translate(x, direction, samples=2, seeds=seeds)
        assert torch.equal(expected, again.translate(x, direction, samples=2, seeds=seeds))
    half = tmp_path / "half.safetensors"
    save_file({k: v.half().contiguous() for k, v in method.state_dict().items()}, half)
    state = MUNIT.from_weights(half, CTX).state_dict()
    assert all(v.dtype == torch.float32 for v in state.values())


@pytest.mark.parametrize("option", ["antialias", "pixel_skip"])
def test_another_decoder_says_so_itself(option, tmp_path):
    ours = MUNIT(TINY.model_copy(update={option: True}), CTX)
    path = tmp_path / "munit.safetensors"
    save_file({k: v.contiguous() for k, v in ours.state_dict().items()}, path)
    again = MUNIT.from_weights(path, CTX)
    assert getattr(again.config, option)
    images, seeds = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, dtype=torch.long)
    pair = [m.translate(images, A2B, samples=1, seeds=seeds) for m in (ours, again)]
    assert torch.equal(*pair)
    with pytest.raises(BenchError, match=option) as caught:
        ours.save_official(tmp_path)
    one_line(caught)
    with pytest.raises(BenchError, match=f"{option}=True, asked for False"):
        MUNIT.from_weights(path, CTX, **{option: False})


@pytest.mark.parametrize("antialias", [False, True])
def test_a_ramp_stays_one_where_a_decoder_blurs(antialias):
    """What is one to the eye in small maps has no steps of two pixels in the doubled ones."""
    up = UpBlock(8, 8, antialias=antialias)
    ramp = up.conv(torch.arange(8.0).expand(1, 8, 8, 8))[..., 4:-4, 4:-4]
    bend = ramp[..., 2:] - 2 * ramp[..., 1:-1] + ramp[..., :-2]
    assert (bend.abs().max() < 1e-5) == antialias


def test_a_training_checkpoint_is_read_too(method, tmp_path):
    modules = {f"gen_{d}": m.state_dict() for d, m in method.generators.items()}
    torch.save({"format": 1, "modules": modules}, tmp_path / "last.pt")
    again = MUNIT.from_weights(tmp_path / "last.pt", CTX)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in method.state_dict().items())


def test_wrong_kinds_of_files(golden, tmp_path):
    for name, words in {
        "munit_dis_00000010.pt": ["discriminators", "cnns.0.0.conv.weight", "enc_style.model.0"],
        "cyclegan_net_G.pth": ["model.1.", "expected 'a' and 'b'"],
    }.items():
        with pytest.raises(BenchError) as excinfo:
            MUNIT.from_weights(golden / name, CTX)
        message = one_line(excinfo)
        assert name in message
        assert all(word in message for word in words), message
    with pytest.raises(BenchError, match="does not exist"):
        MUNIT.from_weights(tmp_path / "nothing.pt", CTX)
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(BenchError, match=r"\.pt, \.pth or \.safetensors"):
        MUNIT.from_weights(tmp_path / "picture.png", CTX)
    torch.save([1, 2], tmp_path / "odd.pt")
    with pytest.raises(BenchError, match="holds a list"):
        MUNIT.from_weights(tmp_path / "odd.pt", CTX)
    for content, words in (
        ({"a": {}, "c": 1}, "it lacks 'b'"),
        ({"a": {"x": 1}, "b": {}}, "'a' and 'b' hold other things"),
    ):
        torch.save(content, tmp_path / "odd.pt")
        with pytest.raises(BenchError, match=f"not a MUNIT generator file: {words}, expected"):
            MUNIT.from_weights(tmp_path / "odd.pt", CTX)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files(golden, weights, tmp_path, share):
    for source, name in (
        (golden / "munit_gen_00000010.pt", "cut.pt"),
        (weights, "cut.safetensors"),
    ):
        content = source.read_bytes()
        path = tmp_path / name
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(BenchError) as excinfo:
            MUNIT.from_weights(path, CTX)
        assert name in one_line(excinfo)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"a": Evil(), "b": {}}, tmp_path / "evil.pt")
    with pytest.raises(BenchError, match="cannot be read"):
        read_generators(tmp_path / "evil.pt")


def test_the_first_mismatching_key_is_named(method, tmp_path):
    state = {k: v.contiguous() for k, v in method.state_dict().items()}
    path = tmp_path / "w.safetensors"

    def message(changed, **config):
        save_file(changed, path)
        with pytest.raises(BenchError) as excinfo:
            MUNIT.from_weights(path, CTX, **config)
        return one_line(excinfo)

    key = "b.dec.model.2.norm.beta"
    got = message({k: v for k, v in state.items() if k != key})
    assert key in got and "has no" in got and "shape (2,)" in got
    got = message(state | {key: torch.zeros(7)})
    assert key in got and "shape (7,) where the network has (2,)" in got
    got = message(state | {"b.extra": torch.zeros(1)})
    assert "b.extra" in got
    got = message(state, gen_dim=64)
    assert "gen_dim=2" in got and "64" in got
    got = message({k: v for k, v in state.items() if not k.startswith("a.mlp")})
    assert "a.mlp.model.0.fc.weight" in got


def test_load_state_dict_refuses_another_width(method):
    other = MUNIT(TINY.model_copy(update={"gen_dim": 3}), CTX)
    with pytest.raises(BenchError, match=r"'a\.enc_style\.model\.0\..* has \(2, 3, 7, 7\)"):
        method.load_state_dict(other.state_dict())
