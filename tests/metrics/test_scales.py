"""Pictures without their detail: what is asked of them, and what it answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.api import Picture
from bench.data.images import read_image, reduce_detail
from bench.metrics.context import ScoringData
from bench.testing.metrics import toy_scoring_data
from tests.metrics.scoring import coded, measure, picture


def every(data: ScoringData, change) -> ScoringData:
    """The same data with every picture changed."""

    def one(p: Picture) -> Picture:
        return picture(change(p.load()), p.id)

    return replace(
        data,
        outputs={key: [one(p) for p in samples] for key, samples in data.outputs.items()},
        inputs={key: one(p) for key, p in data.inputs.items()},
        reference=[one(p) for p in data.reference],
        reference_train=[one(p) for p in data.reference_train],
        source_train=[one(p) for p in data.source_train],
    )


def test_detail_goes_and_what_few_pixels_hold_stays():
    rng = np.random.default_rng(0)
    ramp = np.linspace(60, 190, 64)
    smooth = (ramp[:, None, None] + ramp[None, :, None]) / 2 + np.zeros(3)
    noisy = smooth + rng.normal(0, 20, smooth.shape)
    left = reduce_detail(np.rint(np.clip(noisy, 0, 255)).astype(np.uint8), 8)
    assert left.shape == (64, 64, 3) and left.dtype == np.uint8
    # Each of 8 x 8 pixels is the mean of 64: an eighth of the noise, and all of the ramp.
    inner = (slice(8, -8), slice(8, -8))
    assert (left - smooth)[inner].std() < 20 / 6
    assert abs((left - smooth)[inner].mean()) < 1
    wide = reduce_detail(np.zeros((40, 81, 3), np.uint8), 10)
    assert wide.shape == (40, 81, 3)


def test_kid_at_a_side_is_kid_of_reduced_pictures():
    data = toy_scoring_data()
    found = measure(data, "kid", "kid_32", "kid_16", "target_rate_32")
    for side in (32, 16):
        plain = measure(every(data, lambda pixels, side=side: reduce_detail(pixels, side)), "kid")
        assert found[f"kid_{side}"].value == pytest.approx(plain["kid"].value, abs=1e-6)
        assert found[f"kid_{side}_floor"].value == pytest.approx(plain["kid_floor"].value, abs=1e-6)
    assert found["kid"].value != found["kid_32"].value
    assert 0 <= found["classifier_32_auc"].value <= 1
    assert "kid_32_train" not in found


def test_pictures_too_small_or_too_large_for_a_side_are_left_out_with_the_reason():
    events: list = []
    found = measure(toy_scoring_data(), "kid_64", "kid_32", events=events)
    assert list(found) == ["kid_32", "kid_32_floor"]
    (said,) = [event.message for event in events if event.kind == "log"]
    assert said == (
        "not measured: kid_64 (needs pictures of 128 to 512 pixels a side, these have 64)"
    )


@pytest.mark.slow
def test_codec_is_told_from_season_on_photographs(yosemite_root):
    """JPEG of real winters: far by detail, nearer than the summers without it."""
    root = yosemite_root
    names = {domain: sorted((root / domain).glob("*.jpg")) for domain in ("testA", "testB")}
    summers = [picture(read_image(path), path.stem) for path in names["testA"][:48]]
    winters = [picture(read_image(path), path.stem) for path in names["testB"][:96]]

    real = toy_scoring_data(count=2, samples=1)

    def values(outputs: list[Picture]) -> dict[str, float]:
        data = replace(
            real,
            outputs={p.id: [p] for p in outputs},
            inputs={p.id: p for p in outputs},
            reference=winters[48:],
            reference_train=(),
            source_train=(),
            truths={},
            layers={},
        )
        return {name: m.value for name, m in measure(data, "kid", "kid_64", "kid_32").items()}

    season, codec = values(summers), values([coded(p, 75) for p in winters[:48]])
    assert codec["kid"] > season["kid"]
    assert codec["kid_64"] < season["kid_64"] and codec["kid_32"] < season["kid_32"]


# --------------------------------------------------------------------- whose picture it is


def scenes(count: int) -> list[Picture]:
    """Pictures with a layout of their own: a bright block at a place for each."""
    rng = np.random.default_rng(3)
    made = []
    for number in range(count):
        cells = rng.integers(0, 200, (4, 4, 3)).astype(np.uint8)
        made.append(picture(np.kron(cells, np.ones((16, 16, 1), np.uint8)), f"{number:03d}"))
    return made


def translated(inputs: list[Picture], order: list[int]) -> ScoringData:
    """Inputs made brighter, each with the output of the input at its place in `order`."""
    outputs = [picture(np.minimum(p.load() + np.uint8(50), 255), p.id) for p in inputs]
    data = toy_scoring_data(count=len(inputs), samples=1)
    return replace(
        data,
        inputs={p.id: p for p in inputs},
        outputs={p.id: [outputs[k]] for p, k in zip(inputs, order, strict=True)},
        truths={},
        layers={},
    )


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        (lambda n: list(range(n))[::-1], "in reverse order"),
        (lambda n: [(i + 1) % n for i in range(n)], "shifted by"),
        (lambda n: [i ^ 1 for i in range(n)], "that of 000 looks like 001"),
    ],
)
def test_outputs_in_wrong_places_are_found_and_the_right_ones_named(moved, words):
    inputs = scenes(24)
    there = measure(translated(inputs, list(range(24))), "content_rank")
    assert there["content_rank"].value > 0.95 and there["mispaired"].value < 0.1
    events: list = []
    found = measure(translated(inputs, moved(24)), "content_rank", events=events)
    assert found["content_rank"].value < 0.7 and found["mispaired"].value > 0.8
    (said,) = [event.message for event in events if event.kind == "warning"]
    assert "seem to belong to other inputs" in said and words in said


def test_noise_is_in_no_wrong_place():
    rng = np.random.default_rng(0)
    inputs = scenes(24)
    data = translated(inputs, list(range(24)))
    noise = {
        p.id: [picture(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8), p.id)] for p in inputs
    }
    found = measure(replace(data, outputs=noise), "content_rank")
    assert 0.3 < found["content_rank"].value < 0.7
    assert found["mispaired"].low < 0.25
