"""What the judge of the two domains says of real pictures, of noise, and of other judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import A2B, Picture
from bench.data.images import load_item, read_image
from bench.metrics import classifier, files
from bench.metrics.context import ScoringData
from bench.storage import weights
from bench_seasons.config import SeasonsConfig
from bench_seasons.dataset import Seasons
from tests.metrics import scoring
from tests.metrics.scoring import coded, picture
from tests.metrics.test_extractors import vit_state

REFUSED = 0.1
"""Share of real test pictures that the judge may take for neither: two of twenty."""


def noise(count: int, size: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    return [picture(pixels, f"{i}") for i, pixels in enumerate(drawn)]


def translated(data: ScoringData, outputs: Sequence[Picture]) -> ScoringData:
    return replace(
        data, outputs={key: [one] for key, one in zip(data.inputs, outputs, strict=True)}
    )


@pytest.fixture(scope="module")
def seasons(tmp_path_factory) -> ScoringData:
    dataset = Seasons(SeasonsConfig(size=64, train=24, test=10))
    dataset.prepare(tmp_path_factory.mktemp("data"), offline=True, progress=lambda line: None)

    def split(which, domain) -> list[Picture]:
        return [picture(load_item(item, 64), item.id) for item in dataset.split(which, domain)]

    inputs = {one.id: one for one in split("test", "a")}
    return ScoringData(
        direction=A2B,
        domains=("summer", "winter"),
        outputs={key: [one] for key, one in inputs.items()},
        inputs=inputs,
        reference=split("test", "b"),
        reference_train=split("train", "b"),
        source_train=split("train", "a"),
    )


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    return partial(scoring.measure, cache=tmp_path_factory.mktemp("features"))


def test_a_judge_is_trained_once_for_all_trials(seasons, tmp_path, monkeypatch):
    inputs = [seasons.inputs[key] for key in seasons.inputs]
    first = scoring.measure(translated(seasons, inputs), "target_rate", cache=tmp_path)

    def refuse(*features):
        raise AssertionError("a judge was trained")

    monkeypatch.setattr(classifier, "train", refuse)
    again = scoring.measure(translated(seasons, inputs), "target_rate", cache=tmp_path)
    assert again["target_rate"] == first["target_rate"]
    other = replace(seasons, source_train=seasons.source_train[:-1])
    with pytest.raises(AssertionError, match="was trained"):
        scoring.measure(translated(other, inputs), "target_rate", cache=tmp_path)


def test_noise_is_no_winter_and_real_pictures_are_no_noise(seasons, measure):
    data = translated(seasons, noise(len(seasons.inputs), 64))
    found = measure(data, "target_rate", "target_rate_32", "target_rate_16")
    assert found["neither_rate"].value == 1.0
    for side in ("", "_32", "_16"):
        assert found[f"target_rate{side}"].value == 0.0
    assert {value for _, _, value in found["target_rate"].per_sample} == {0.0}
    # Of nothing is it sure, so nothing is said of what it is sure of.
    assert found["sure_rate"].value == 0.0 and "target_rate_sure" not in found
    assert found["classifier_neither"].value <= REFUSED


def test_real_winters_are_taken_for_winters_and_summers_are_not(seasons, measure):
    winters = measure(translated(seasons, seasons.reference), "target_rate")
    summers = measure(seasons, "target_rate")
    assert winters["neither_rate"].value <= REFUSED
    assert summers["neither_rate"].value <= REFUSED
    assert winters["target_rate"].value > 0.7 > 0.3 > summers["target_rate"].value
    # The judge is the same, whatever it is asked about.
    for name in ("classifier_accuracy", "classifier_ceiling", "classifier_sure"):
        assert winters[name].value == summers[name].value
    assert 0.5 < winters["classifier_ceiling"].value <= 1.0
    assert winters["classifier_sure_accuracy"].value >= winters["classifier_accuracy"].value - 0.05
    sure = winters["target_rate_sure"]
    assert sure.n == round(winters["sure_rate"].value * winters["sure_rate"].n)
    # What it is sure of is counted from the probabilities it gives.
    given = [value for _, _, value in winters["target_rate"].per_sample]
    assert sum(value >= 0.9 for value in given) == round(sure.value * sure.n)


def test_judges_of_other_scales_and_networks_are_asked(seasons, measure, tmp_path, monkeypatch):
    found = measure(translated(seasons, seasons.reference), "judge_agreement")
    assert set(found) == {
        "judge_agreement",
        "judge_agreement_32",
        "judge_agreement_16",
        "judge_agreement_real",
    }
    every, one, other = (found[f"judge_agreement{end}"].value for end in ("", "_32", "_16"))
    assert max(0.0, one + other - 1.0) - 1e-9 <= every <= min(one, other)
    # On noise all judges say neither, and agree.
    data = translated(seasons, noise(len(seasons.inputs), 64))
    assert measure(data, "judge_agreement")["judge_agreement"].value == 1.0

    torch.save(vit_state(depth=1), tmp_path / files.DINOV2_VITS14.name)
    trusted = weights.sha256_of

    def trusting(path: Path) -> str:
        return files.DINOV2_VITS14.sha256 if path.parent == tmp_path else trusted(path)

    monkeypatch.setattr(weights, "sha256_of", trusting)
    options = {"judge_agreement": {"networks": ["dinov2-vits14", "efficientnet-lite0"]}}
    more = measure(
        translated(seasons, seasons.reference),
        "judge_agreement",
        weights_dir=tmp_path,
        metric_options=options,
    )
    # The usual network is no second opinion of itself.
    assert set(more) == {*found, "judge_agreement_dinov2_vits14"}
    assert more["judge_agreement"].value <= every
    assert more["judge_agreement"].extractor == "efficientnet-lite0"


def test_a_judge_whose_network_is_missing_is_said(seasons, measure):
    events: list = []
    options = {"judge_agreement": {"networks": ["dinov2-vitb14"]}}
    assert not measure(seasons, "judge_agreement", metric_options=options, events=events)
    (said,) = [event.message for event in events if event.kind == "warning"]
    assert said.startswith("judge_agreement is left out: ") and files.DINOV2_VITB14.name in said


def test_photographs_are_known_whatever_their_codec_and_noise_is_not(yosemite_root, measure):
    def photographs(folder: str, count: int) -> list[Picture]:
        paths = sorted((yosemite_root / folder).glob("*.jpg"))[:: 962 // 80][:count]
        return [picture(read_image(path), path.stem) for path in paths]

    inputs = {one.id: one for one in photographs("testA", 20)}
    winters = photographs("testB", 20)
    data = ScoringData(
        direction=A2B,
        domains=("summer", "winter"),
        outputs={key: [one] for key, one in inputs.items()},
        inputs=inputs,
        reference=winters,
        reference_train=photographs("trainB", 60),
        source_train=photographs("trainA", 60),
    )
    drawn = noise(len(inputs), 256)
    assert measure(translated(data, drawn), "target_rate")["neither_rate"].value == 1.0
    found = measure(translated(data, [coded(p, 25) for p in winters[: len(inputs)]]), "target_rate")
    assert found["neither_rate"].value <= REFUSED
    assert found["classifier_neither"].value <= REFUSED
