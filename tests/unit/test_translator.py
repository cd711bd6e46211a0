"""Pictures of any size, styles, and refusals; paths between styles."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bench
from bench.api import BenchError, MethodSpec
from bench.cli import app
from bench.interpolation import lerp, slerp, write_strip
from bench.translator import Translator, pad_to_multiple


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 8, 16]))
def test_padding_reaches_the_multiple_and_keeps_the_picture(
    height: int, width: int, multiple: int
) -> None:
    images = torch.rand(1, 3, height, width)
    padded = pad_to_multiple(images, multiple)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert padded.shape[-2] < height + multiple and padded.shape[-1] < width + multiple
    assert torch.equal(padded[..., :height, :width], images)


class Coded:
    """Content is the picture at 1/4 of its size; style is one brightness."""

    def translate(self, images: Any, direction: Any, *, samples: int, seeds: Any) -> Any:
        assert images.shape[-1] % 4 == images.shape[-2] % 4 == 0
        shift = (seeds % 97).float().view(*seeds.shape, 1, 1, 1) / 970
        return (images[:, None] * 0.5 + shift).clamp(0, 1)

    def encode(self, images: Any, domain: str) -> Any:
        return images[..., ::4, ::4], images.mean((1, 2, 3))[:, None]

    def decode(self, content: Any, style: Any, domain: str) -> Any:
        flat = torch.ones_like(content) * style[..., None, None]
        return torch.nn.functional.interpolate(flat, scale_factor=4)

    def sample_styles(self, seeds: Any) -> Any:
        return (seeds % 7).float()[..., None] / 7

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


class Exemplar:
    """Gives the exemplar's mean colour."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass

    def use_exemplars(self, images: Any, direction: Any) -> None:
        assert images.dtype == torch.uint8
        self.color = images.float().mean((0, 2, 3)) / 255

    def translate(self, images: Any, direction: Any, *, samples: int, seeds: Any) -> Any:
        out = torch.ones_like(images) * self.color.view(1, 3, 1, 1)
        return out[:, None].expand(-1, samples, -1, -1, -1)


def _translator(method: Any, **traits: Any) -> Translator:
    spec = MethodSpec("m", "s", "x:Y", multiple_of=4, **traits)
    return Translator(method, spec, torch.device("cpu"), ("summer", "winter"))


def test_any_size_comes_back_in_its_size() -> None:
    translator = _translator(Coded())
    for height, width in [(1, 1), (3, 50), (17, 18), (32, 32)]:
        images = torch.rand(2, 3, height, width)
        out = translator.translate(images, "summer2winter", samples=3)
        assert out.shape == (2, 3, 3, height, width)


def test_seeds_repeat_and_differ() -> None:
    translator = _translator(Coded())
    images = torch.rand(1, 3, 8, 8)
    first = translator.translate(images, "a2b", samples=4, seed=1)
    assert torch.equal(first, translator.translate(images, "a2b", samples=4, seed=1))
    assert not torch.equal(first, translator.translate(images, "a2b", samples=4, seed=2))
    assert torch.equal(first[:, :2], translator.translate(images, "a2b", samples=2, seed=1))


def test_a_single_picture_needs_no_batch() -> None:
    assert _translator(Coded()).translate(torch.rand(3, 9, 9), "a2b").shape == (1, 1, 3, 9, 9)


def test_style_of_a_picture_is_taken() -> None:
    translator = _translator(Coded())
    styles = torch.stack([torch.full((3, 10, 10), value) for value in (0.25, 0.75)])
    out = translator.translate(torch.rand(2, 3, 9, 11), "a2b", style_from=styles)
    assert out.shape == (2, 2, 3, 9, 11)
    torch.testing.assert_close(out[:, 0], torch.full((2, 3, 9, 11), 0.25))
    torch.testing.assert_close(out[:, 1], torch.full((2, 3, 9, 11), 0.75))


def test_given_styles_are_used_for_every_input() -> None:
    translator = _translator(Coded())
    styles = translator.sample_styles(3, seed=5)
    assert styles.shape == (3, 1) and torch.equal(styles, translator.sample_styles(3, seed=5))
    out = translator.translate(torch.rand(2, 3, 8, 8), "a2b", styles=styles)
    torch.testing.assert_close(out[1, :, 0, 0, 0], styles[:, 0])
    content, style = translator.encode(torch.rand(1, 3, 8, 8), "summer")
    assert translator.decode(content, style, "winter").shape == (1, 3, 8, 8)


def test_exemplars_stand_in_for_style() -> None:
    translator = _translator(Exemplar(), exemplar=True)
    style = torch.full((3, 6, 6), 0.4)
    out = translator.translate(torch.rand(1, 3, 9, 9), "a2b", style_from=style)
    torch.testing.assert_close(out, torch.full((1, 1, 3, 9, 9), 102 / 255))
    with pytest.raises(BenchError, match="needs a picture to take the style from"):
        translator.translate(torch.rand(1, 3, 9, 9), "a2b")


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.rand(1, 1, 8, 8), "shape"),
        (torch.rand(8, 8), "shape"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.rand(1, 3, 8, 8) * 255, "outside"),
        (torch.rand(1, 3, 8, 8) - 0.5, "outside"),
        (torch.full((1, 3, 8, 8), float("nan")), "outside"),
        (torch.zeros(0, 3, 8, 8), "no images"),
    ],
)
def test_wrong_pictures_are_refused(images: torch.Tensor, says: str) -> None:
    with pytest.raises(BenchError, match=says):
        _translator(Coded()).translate(images, "a2b")


def test_wrong_wishes_are_refused() -> None:
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(BenchError, match="summer2winter, winter2summer"):
        _translator(Coded()).translate(images, "summer2spring")
    with pytest.raises(BenchError, match="cannot go winter2summer"):
        _translator(Coded(), directions=("a2b",)).translate(images, "b2a")
    with pytest.raises(BenchError, match="samples is 0"):
        _translator(Coded()).translate(images, "a2b", samples=0)
    with pytest.raises(BenchError, match="domain 'spring' is unknown"):
        _translator(Coded()).encode(images, "spring")
    plain = bench.load("identity", device="cpu")
    with pytest.raises(BenchError, match="takes no style from a picture"):
        plain.translate(images, "a2b", style_from=images)
    with pytest.raises(BenchError, match="no content and style codes"):
        plain.encode(images, "a")


ABLE = '''
from bench.api import MethodSpec, hookimpl


class Plain:
    """No ability but to train and to translate."""

    def __init__(self, config, ctx):
        pass

    def fit(self, data, budget):
        pass

    def translate(self, images, direction, *, samples, seeds):
        return images[:, None].expand(-1, samples, -1, -1, -1)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Read(Plain):
    @classmethod
    def from_weights(cls, path, ctx, *, save_every=0):
        return cls(None, ctx)


@hookimpl
def bench_methods():
    return [
        MethodSpec("plain", "s", "able:Plain", trained=True, budgets={"demo": "1it"}),
        MethodSpec("read", "s", "able:Read", trained=True, budgets={"demo": "1it"}),
    ]
'''


def test_abilities_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "able.py").write_text(ABLE)
    (tmp_path / "w.pt").touch()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    plugin = ["--plugin", str(tmp_path / "able.py")]
    weights, film = str(tmp_path / "w.pt"), str(tmp_path / "o.gif")
    picture = ["translate", str(tmp_path / "a.png"), "--to", "b", "--domains", "a,b"]
    asked = ["--weights", weights, "--out", str(tmp_path / "out"), *plugin]
    try:
        for arguments, says in [
            (
                [*picture, "-m", "plain", *asked],
                "plain reads no file of weights: it has no from_weights",
            ),
            ([*picture, "-m", "read", "--save-every", "2", *asked], "read shows no frames"),
            (
                ["weights", "convert", weights, str(tmp_path / "folder"), "-m", "read", *plugin],
                "method read has no original format",
            ),
            (
                ["interpolate", *picture[1:], "-m", "read", *asked[:3], film, *plugin],
                "read has no content and style codes",
            ),
        ]:
            with pytest.raises(BenchError, match=says):
                app(arguments, standalone_mode=False)
    finally:
        sys.modules.pop("able", None)


def test_load_refuses_what_does_not_fit(tmp_path: Path) -> None:
    for name, options, says in [
        ("identiti", {}, "did you mean 'identity'"),
        ("identity", {"colour": 1}, "colour"),
        ("identity", {"device": "abacus"}, "abacus"),
        ("identity", {"weights": tmp_path / "w"}, "takes no trained weights"),
        ("munit", {}, "is trained: name its weights"),
        ("munit", {"weights": tmp_path / "w.pt"}, "does not exist"),
    ]:
        with pytest.raises(BenchError, match=says):
            bench.load(name, **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------- interpolation


def test_slerp_stays_on_the_sphere_and_meets_its_ends() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        a, b = torch.randn(2, 8, dtype=torch.float64).unbind()
        a, b = a / a.norm(), b / b.norm()
        torch.testing.assert_close(slerp(a, b, 0.0), a)
        torch.testing.assert_close(slerp(a, b, 1.0), b)
        angle = math.acos(float(a @ b))
        for t in (0.25, 0.5, 0.9):
            point = slerp(a, b, t)
            assert float(point.norm()) == pytest.approx(1)
            assert math.acos(min(1.0, float(a @ point))) == pytest.approx(t * angle, abs=1e-6)


def test_slerp_without_a_circle_is_a_line() -> None:
    a = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(slerp(a, 3 * a, 0.5), 2 * a)
    torch.testing.assert_close(slerp(a, -a, 0.5), torch.zeros(2))
    assert slerp(torch.zeros(2), a, 0.5).isfinite().all()
    torch.testing.assert_close(lerp(a, 2 * a, 0.5), 1.5 * a)
    assert slerp(torch.randn(2, 3), torch.randn(2, 3), 0.3).shape == (2, 3)


def test_strips_and_films(tmp_path: Path) -> None:
    images = torch.linspace(0, 1, 4).view(4, 1, 1, 1).expand(4, 3, 6, 5)
    write_strip(tmp_path / "deep" / "strip.png", images)
    strip = np.asarray(Image.open(tmp_path / "deep" / "strip.png"))
    assert strip.shape == (6, 20, 3)
    assert strip[0, ::5, 0].tolist() == [0, 85, 170, 255]
    write_strip(tmp_path / "film.gif", images)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 6 and film.size == (5, 6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "film.gif"]
