"""torch.compile as an option: the same networks and keys, and a warning where it cannot be."""

from __future__ import annotations

import shutil

import pytest
import torch

from bench.api import A2B, Budget, Context, TrainData
from bench_munit.config import MUNITConfig
from bench_munit.method import MUNIT

TINY = {"gen_dim": 2, "mlp_dim": 4, "n_res": 1, "dis_dim": 2, "dis_num_scales": 1, "crop_size": 16}


def fit(events, work_dir, iterations=2, **config):
    ctx = Context(torch.device("cpu"), emit=events.append, work_dir=work_dir)
    method = MUNIT(MUNITConfig(**{**TINY, **config}), ctx)
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=draws) for _ in "ab")
    method.fit(TrainData(a, b, ("a", "b")), Budget(iterations=iterations))
    return method


def warnings_of(events):
    return [event.message for event in events if event.kind == "warning"]


def test_without_a_compiler_one_line_says_so_and_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    from torch._inductor import config

    torch._dynamo.reset()
    plain, events = fit([], None).state_dict(), []
    with config.patch({"cpp.cxx": (None, "no-such-compiler"), "fx_graph_cache": False}):
        found = fit(events, None, compile=True).state_dict()
    (line,) = warnings_of(events)
    assert line.startswith("torch.compile is not used here (") and "\n" not in line
    assert all(torch.equal(found[key], plain[key]) for key in plain)


@pytest.mark.nightly
def test_compiled_training_gives_the_same_keys_and_nearly_the_same_weights(tmp_path, monkeypatch):
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch._dynamo.reset()
    events = []
    plain, built = fit([], None), fit(events, tmp_path / "work", compile=True)
    assert warnings_of(events) == []
    one, two = plain.state_dict(), built.state_dict()
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=3e-4)
    assert all(module._compiled_call_impl is None for module in built._generator("a").modules())
    # A compiled training goes on from where it stopped, compiled or not.
    again = fit(events, tmp_path / "work", iterations=3)
    x = torch.rand(1, 3, 16, 16)
    assert again.translate(x, A2B, samples=1, seeds=torch.tensor([[0]])).isfinite().all()
