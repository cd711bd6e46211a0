"""A 3x3 convolution with its gradients, directly and by Winograd's filtering, in turns.

``make speed`` keeps the times for docs/performance.md, which says of each layer what
:func:`bench.nn.winograd.best_tile` decides. ``pytest -s tests/speed/test_layers.py -k holds``
prints them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F

from bench.nn import winograd
from bench.nn.layers import laid_out
from tests.speed.steps import interleaved
from tests.speed.test_steps import told

WAYS = {0: "direct", winograd.SMALL_TILE: "F(2x2)", winograd.TILE: "F(4x4)"}


class Layer(NamedTuple):
    """Channels in and out, the side of the maps, pictures at once."""

    into: int
    out: int
    side: int
    batch: int

    def ways(self) -> dict[str, Callable[[], None]]:
        """Forward and backward, the kernel's transform and its gradient counted as well."""
        side = self.side + 2
        x = laid_out(torch.randn(self.batch, self.into, side, side)).requires_grad_()
        weight = torch.randn(self.out, self.into, 3, 3, requires_grad=True)
        grad = laid_out(torch.randn(self.batch, self.out, self.side, self.side))

        def direct() -> None:
            torch.autograd.grad(F.conv2d(x, weight), (x, weight), grad)

        def filtered(tile: int) -> None:
            y = winograd.convolve(x, winograd.transform_kernel(weight, tile))
            torch.autograd.grad(y, (x, weight), grad)

        return {way: partial(filtered, tile) if tile else direct for tile, way in WAYS.items()}

    def taken(self) -> str:
        """What the rule says."""
        x = torch.empty(self.batch, self.into, self.side + 2, self.side + 2)
        return WAYS[winograd.best_tile(x, torch.empty(self.out, self.into, 3, 3))]


# Of MUNIT, CycleGAN and VGG at published widths, at 64 to 256 pixels a side.
LAYERS = [
    Layer(256, 256, 16, 1),
    Layer(256, 256, 16, 2),
    Layer(256, 256, 32, 1),
    Layer(256, 256, 32, 2),
    Layer(256, 256, 64, 1),
    Layer(128, 256, 64, 2),
    Layer(128, 128, 32, 1),
    Layer(128, 128, 64, 1),
    Layer(64, 128, 64, 2),
    Layer(64, 64, 64, 2),
]


@pytest.mark.nightly
@pytest.mark.parametrize("way", WAYS.values())
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer(benchmark: Any, layer: Layer, way: str) -> None:
    benchmark.group = f"layer: {layer}"
    told(benchmark, "layer", **layer._asdict(), way=way, taken=layer.taken())
    benchmark.pedantic(layer.ways()[way], rounds=10, warmup_rounds=2)


@pytest.mark.nightly
def test_the_rule_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """All layers as the rule says beside all directly: it is for one machine at a time."""
    ruled = direct = 0.0
    for layer in LAYERS:
        seconds = interleaved(layer.ways(), rounds=7)
        times = {way: f"{seconds['direct'] / seconds[way]:.2f}" for way in WAYS.values()}
        with capsys.disabled():
            print(f"\n  {layer}: times as fast {times}, taken: {layer.taken()}")
        direct += seconds["direct"]
        ruled += seconds[layer.taken()]
    assert ruled < direct
