"""From pictures to measurements: subsets, anchors, caches, and every trap that is known."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from bench.api import BenchError, MetricSpec
from bench.metrics import files
from bench.metrics.context import ScoringData
from bench.metrics.explain import explain
from bench.metrics.networks import Networks
from bench.metrics.plugin import METRICS
from bench.metrics.score import available
from bench.plugins import Registry
from bench.storage import weights
from bench.testing.metrics import toy_scoring_data
from tests.metrics import clip_golden, dreamsim_golden
from tests.metrics.scoring import REGISTRY, picture, scored
from tests.metrics.test_extractors import vit_state

BY_NAME, EXTRACTORS = REGISTRY.metrics, REGISTRY.extractors


@pytest.fixture(scope="session")
def feature_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def measure(feature_cache):
    def run(data, *names, **options):
        run.events = []
        found = scored(data, *names, events=run.events, **{"cache": feature_cache} | options)
        return {(m.metric, m.subset): m for m in found}

    return run


# ------------------------------------------------------------------------------ the whole


def test_every_default_metric_gives_its_headline(measure):
    found = measure(toy_scoring_data())
    for spec in METRICS:
        if spec.default and 2 * spec.side <= 64:
            headline = found[spec.name, "all"]
            assert np.isfinite(headline.value), spec.name
            assert headline.n > 0
            assert headline.kind == spec.kind
            assert (headline.extractor is None) == (not spec.extractors)
            if headline.low is not None:
                assert headline.low <= headline.value <= headline.high
                assert headline.interval
    assert found["kid", "all"].extractor == "efficientnet-lite0"
    assert found["lpips_diversity", "all"].extractor == "st-lpips-alex"
    assert not any(subset == "clean" for _, subset in found)
    for name, _ in found:
        assert explain(name, REGISTRY)


def test_what_has_no_weights_is_left_out_with_the_reason(make_data, measure):
    found = measure(make_data(n=3), "lpips_diversity_v00", "spread")
    assert ("spread", "all") in found
    assert ("lpips_diversity_v00", "all") not in found
    (warning,) = [e.message for e in measure.events if e.kind == "warning"]
    assert files.ALEXNET.name in warning
    assert files.ALEXNET.url in warning


def test_what_cannot_be_measured_is_one_line_for_each_cause(make_data, measure):
    assert not measure(make_data(n=3), "psnr", "ssim", "factor_error")
    assert [(e.kind, e.message) for e in measure.events] == [
        ("log", "not measured: psnr, ssim (need true translations, this dataset has none)"),
        (
            "log",
            "not measured: factor_error "
            "(needs the factors behind the pictures, this dataset has none)",
        ),
    ]


def test_dinov2_is_left_out_until_its_weights_are_given(make_data, measure, tmp_path, monkeypatch):
    names = ("fd_dinov2", "structure_distance_dino")
    assert not measure(make_data(n=3), *names)
    told = [e.message for e in measure.events if e.kind == "warning"]
    assert len(told) == 2 and all(files.DINOV2_VITS14.url in text for text in told)
    torch.save(vit_state(depth=1), tmp_path / files.DINOV2_VITS14.name)
    monkeypatch.setattr(weights, "sha256_of", lambda path: files.DINOV2_VITS14.sha256)
    data = make_data(n=3)
    same = {key: [one] for key, one in data.inputs.items()}
    found = measure(make_data(n=3, outputs=same), *names, weights_dir=tmp_path, cache=None)
    assert {metric for metric, _ in found} == {
        *names,
        "fd_dinov2_floor",
        "fd_dinov2_excess",
    }
    assert {m.extractor for m in found.values()} == {"dinov2-vits14"}
    assert found["structure_distance_dino", "all"].value == pytest.approx(0, abs=1e-9)


def test_cmmd_is_left_out_until_its_weights_are_given(make_data, measure, tmp_path, monkeypatch):
    assert not measure(make_data(n=3), "cmmd")
    (told,) = [e.message for e in measure.events if e.kind == "warning"]
    assert told.startswith("cmmd is left out: ") and files.CLIP_VITL14_336.url in told
    assert files.CLIP_VITL14_336.sha256 in told and "--weights-dir" in told
    torch.save(clip_golden.state(), tmp_path / files.CLIP_VITL14_336.name)
    monkeypatch.setattr(weights, "sha256_of", lambda path: files.CLIP_VITL14_336.sha256)
    data = make_data(n=4, train=4)
    real = dict(zip(data.inputs, ([one] for one in data.reference), strict=False))
    found, best = (
        measure(given, "cmmd", weights_dir=tmp_path, cache=None)
        for given in (data, make_data(n=4, train=4, outputs=real))
    )
    assert {metric for metric, _ in found} == {"cmmd", "cmmd_floor", "cmmd_train"}
    assert {m.extractor for m in found.values()} == {"clip-vitl14-336"}
    assert best["cmmd", "all"].value < found["cmmd", "all"].value


def test_dreamsim_is_left_out_until_its_weights_are_given(make_data, measure, tmp_path):
    names = ("dreamsim_input", "dreamsim_truth")
    data = make_data(n=2, k=2)
    key = next(iter(data.inputs))
    # The first input is answered with itself, then with what is true.
    true = data.outputs[key][0]
    outputs = data.outputs | {key: [data.inputs[key], true]}
    given = make_data(n=2, k=2, outputs=outputs, truths={key: [true, data.reference[0]]})
    assert not measure(given, *names)
    told = [e.message for e in measure.events if e.kind == "warning"]
    assert [text.split(" is left out: ")[0] for text in told] == list(names)
    wanted = (files.DINO_VITB16, files.DREAMSIM_SETUP, files.DREAMSIM_ADAPTER)
    assert all(file.name in text and file.url in text for text in told for file in wanted)
    dreamsim_golden.write(tmp_path)
    found = measure(given, *names, weights_dir=tmp_path, cache=None)
    assert {metric for metric, _ in found} == {
        *names,
        "dreamsim_truth_best_of_k",
        "dreamsim_truth_pair",
    }
    assert {m.extractor for m in found.values()} == {"dreamsim-dino-vitb16"}
    changed = {(k, s): value for k, s, value in found["dreamsim_input", "all"].per_sample}
    assert changed[key, 0] == 0.0 < changed[key, 1] < 2
    assert found["dreamsim_truth_best_of_k", "all"].value == 0.0
    assert found["dreamsim_truth", "all"].value > 0


def test_available_names_the_network_or_the_reason():
    found = {
        a.metric: a
        for a in available(
            [BY_NAME["kid"], BY_NAME["lpips_diversity_v00"], BY_NAME["psnr"]],
            EXTRACTORS,
            weights_dir=None,
            offline=True,
        )
    }
    assert found["kid"].extractor == "efficientnet-lite0"
    assert found["kid"].reason is None
    assert files.ALEXNET.sha256 in found["lpips_diversity_v00"].reason
    assert (found["psnr"].extractor, found["psnr"].reason) == (None, None)


# -------------------------------------------------------------------------- known answers


def test_a_deterministic_method_has_a_diversity_of_exactly_zero(make_data, measure):
    data = make_data(n=4)
    one = {key: [samples[0]] * 3 for key, samples in data.outputs.items()}
    found = measure(
        make_data(n=4, outputs=one),
        "lpips_diversity",
        "lpips_diversity_munit",
        "cis_proxy",
        "lpips_input",
    )
    for name in ("lpips_diversity", "lpips_diversity_munit", "cis_proxy"):
        assert found[name, "all"].value == 0.0
        assert found[name, "all"].high == 0.0
    # Its one output is listed once, not three times.
    assert len(found["lpips_input", "all"].per_sample) == 4


def test_a_copy_of_the_input_changes_nothing(make_data, measure):
    data = make_data(n=5)
    copies = {key: [data.inputs[key]] for key in data.inputs}
    found = measure(make_data(n=5, outputs=copies), "lpips_input", "structure_distance")
    assert found["lpips_input", "all"].value == 0.0
    assert found["structure_distance", "all"].value == 0.0


def test_real_images_beat_the_untouched_input_and_noise(make_data, measure):
    data = make_data(n=12, train=40)
    rng = np.random.default_rng(0)

    def kid_of(outputs):
        changed = {
            key: [picture(p.load(), key)] for key, p in zip(data.inputs, outputs, strict=False)
        }
        return measure(make_data(n=12, train=40, outputs=changed), "kid")["kid", "all"].value

    real = kid_of(data.reference_train)
    untouched = kid_of(list(data.inputs.values()))
    noise = kid_of([picture(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(12)])
    assert real < untouched < noise


def test_copies_collapse_and_duplicates_are_seen(make_data, measure):
    data = make_data(n=6)
    copied = {
        key: [picture(data.reference_train[i].load(), key)] for i, key in enumerate(data.inputs)
    }
    found = measure(make_data(n=6, outputs=copied), "memorised", "duplicates", "spread")
    assert found["memorised", "all"].value == 1.0
    assert found["duplicates", "all"].value == 0.0
    constant = {key: [data.reference[0]] for key in data.inputs}
    found = measure(make_data(n=6, outputs=constant), "duplicates", "spread")
    assert found["duplicates", "all"].value == 1.0
    assert found["spread", "all"].value == pytest.approx(0.0, abs=1e-6)


def test_distinct_outputs_are_counted_to_the_pixel(make_data, measure):
    data = make_data(n=3)
    a, b, c = data.reference[:3]
    keys = list(data.inputs)
    outputs = {keys[0]: [a, b, c], keys[1]: [a, a, b], keys[2]: [c, c, c]}
    found = measure(make_data(n=3, outputs=outputs), "distinct")
    assert (found["distinct", "all"].value, found["distinct", "all"].n) == (2.0, 3)


def test_equal_inputs_may_share_their_output(make_data, measure):
    data = make_data(n=3)
    keys = list(data.inputs)
    inputs = dict(data.inputs) | {keys[1]: data.inputs[keys[0]]}
    outputs = dict(data.outputs) | {keys[1]: data.outputs[keys[0]]}
    found = measure(make_data(n=3, inputs=inputs, outputs=outputs), "duplicates")
    assert found["duplicates", "all"].value == 0.0
    assert found["duplicates", "all"].n == 2


def test_truth_metrics_take_the_nearest_truth_and_the_best_sample(make_data, measure):
    data = make_data(n=3, k=2)
    key = next(iter(data.outputs))
    truths = {key: [data.inputs[key], data.outputs[key][1]]}
    found = measure(
        make_data(n=3, k=2, truths=truths), "psnr", "ssim", "lpips_truth", "truth_coverage"
    )
    assert found["psnr_best_of_k", "all"].value == 100.0
    assert found["ssim_best_of_k", "all"].value == pytest.approx(1.0)
    assert found["lpips_truth_best_of_k", "all"].value == 0.0
    assert 10 < found["psnr", "all"].value < 100
    assert found["psnr", "all"].n == 1
    assert found["truth_coverage", "all"].value in (0.5, 1.0)


# -------------------------------------------------------------------------------- subsets


def test_clean_leaves_out_training_images_on_both_sides(make_data, measure):
    data = make_data()
    keys = list(data.inputs)
    train = [*data.reference_train, data.reference[0]]
    dirty = make_data(contaminated=frozenset(keys[:2]), reference_train=train)
    found = measure(dirty, "kid", "lpips_input")
    assert found["kid", "all"].n == len(keys)
    assert found["kid", "clean"].n == len(keys) - 2
    assert found["lpips_input", "clean"].n == len(keys) - 2
    clean = dirty.clean()
    assert len(clean.reference) == len(data.reference) - 1
    assert found["kid", "all"].value != found["kid", "clean"].value


def test_all_inputs_contaminated_leaves_no_clean_subset(make_data, measure):
    data = make_data(n=3)
    found = measure(make_data(n=3, contaminated=frozenset(data.inputs)), "spread")
    assert set(found) == {("spread", "all")}


def test_the_floor_has_as_many_images_as_the_outputs(make_data, measure):
    found = measure(make_data(n=10, train=30), "fid")
    assert found["fid", "all"].n == found["fid_floor", "all"].n == 10
    excess = found["fid", "all"].value - found["fid_floor", "all"].value
    assert found["fid_excess", "all"].value == pytest.approx(excess)


def test_too_few_real_images_give_no_floor_rather_than_an_unequal_one(make_data, measure):
    found = measure(make_data(n=10, train=9), "fid")
    assert ("fid", "all") in found
    assert ("fid_floor", "all") not in found
    assert any("needs 10 training images" in e.message for e in measure.events)


# ----------------------------------------------------------------------------------- traps


@pytest.mark.parametrize(
    ("n", "metric", "least"), [(1, "kid", 2), (1, "fid", 2), (3, "precision", 4)]
)
def test_too_few_images_are_named_with_the_minimum(make_data, measure, n, metric, least):
    found = measure(make_data(n=n), metric)
    assert not found
    (warning,) = [e.message for e in measure.events if e.kind == "warning"]
    assert f"{metric} needs at least {least} pictures in outputs, there are {n}" in warning


def test_two_images_are_enough_for_a_value_without_interval(make_data, measure):
    found = measure(make_data(n=2), "kid", "fid", "lpips_diversity")
    assert found["kid", "all"].low is None
    assert np.isfinite(found["fid", "all"].value)


def test_no_outputs_uneven_samples_and_strangers_are_refused(make_data):
    data = make_data(n=2)
    a, b = data.outputs
    with pytest.raises(BenchError, match="nothing to score"):
        make_data(n=2, outputs={}, inputs={})
    with pytest.raises(BenchError, match="different numbers of samples"):
        make_data(n=2, outputs={a: data.outputs[a], b: data.outputs[b][:1]})
    with pytest.raises(BenchError, match="in one of them only"):
        make_data(n=2, outputs={a: data.outputs[a]})


def test_an_output_of_another_size_than_its_input_is_refused(make_data, measure):
    data = make_data(n=2, k=1)
    key = next(iter(data.outputs))
    small = picture(np.zeros((24, 24, 3), np.uint8), key)
    with pytest.raises(BenchError, match=f"{key} have different sizes .24x24, 32x32"):
        measure(make_data(n=2, k=1, outputs=dict(data.outputs) | {key: [small]}), "lpips_input")


def test_references_of_mixed_sizes_are_each_resized(make_data, measure):
    # Directories of mixed sizes crash torch-fidelity; features do not need one size.
    data = make_data()
    big = picture(np.kron(data.reference[0].load(), np.ones((2, 2, 1), np.uint8)))
    found = measure(make_data(reference=[big, *data.reference[1:]]), "kid")
    assert np.isfinite(found["kid", "all"].value)


class _Broken:
    preprocessing = "none"

    def describe(self, images):
        features = torch.ones(len(images), 8)
        features[0, 3] = float("nan")
        return features, torch.zeros(len(images), 1176)


@pytest.mark.parametrize("metric", ["precision", "kid", "fid", "target_rate"])
def test_one_feature_that_is_not_finite_stops_the_score(make_data, measure, monkeypatch, metric):
    # torch-fidelity answers such features with a plausible precision.
    monkeypatch.setattr(Networks, "build", lambda self, chosen: _Broken())
    with pytest.raises(BenchError, match="not finite"):
        measure(make_data(), metric, cache=None)


def test_weights_that_were_tampered_with_stop_the_score(make_data, measure, tmp_path):
    (tmp_path / files.EFFICIENTNET.name).write_bytes(b"other bytes")
    with pytest.raises(BenchError, match=files.EFFICIENTNET.name):
        measure(make_data(n=3), "kid", weights_dir=tmp_path)


# ----------------------------------------------------------------------------------- cache


def test_a_second_score_passes_no_picture_through_a_network(
    make_data, measure, tmp_path, monkeypatch
):
    first = measure(make_data(n=4), "kid", "lpips_diversity", cache=tmp_path)

    def refuse(self, images):
        raise AssertionError("a network ran")

    monkeypatch.setattr("bench.metrics.extractors.efficientnet.EfficientNetLite0._forward", refuse)
    monkeypatch.setattr("bench.metrics.extractors.perceptual.Perceptual.embed", refuse)
    again = measure(make_data(n=4), "kid", "lpips_diversity", "lpips_input", "fid", cache=tmp_path)
    assert again["kid", "all"] == first["kid", "all"]
    assert again["lpips_diversity", "all"] == first["lpips_diversity", "all"]
    assert ("fid", "all") in again


@pytest.mark.parametrize("fault", ["flipped", "truncated", "swapped", "pickle", "empty"])
def test_a_poisoned_cache_is_computed_anew(make_data, measure, tmp_path, fault):
    data = make_data(n=4, k=2)
    clean = measure(data, "kid", "lpips_diversity", cache=tmp_path)
    entries = sorted(tmp_path.rglob("*.bin"))
    assert entries
    contents = [entry.read_bytes() for entry in entries]
    for index, entry in enumerate(entries):
        old = bytearray(contents[index])
        if fault == "flipped":
            old[len(old) // 2] ^= 0xFF
        elif fault == "truncated":
            old = old[: len(old) // 2]
        elif fault == "swapped":
            old = bytearray(contents[(index + 1) % len(contents)])
        elif fault == "pickle":
            with entry.open("wb") as file:
                file.write(contents[index][:32])
                np.save(file, np.array([object()], dtype=object), allow_pickle=True)
            continue
        else:
            old = bytearray()
        entry.write_bytes(bytes(old))
    again = measure(data, "kid", "lpips_diversity", cache=tmp_path)
    assert again == clean


def test_other_pictures_under_the_same_names_are_not_taken_from_the_cache(
    make_data, measure, tmp_path
):
    data = make_data(n=4, k=1)
    before = measure(data, "kid", cache=tmp_path)["kid", "all"].value
    swapped = {key: [picture(255 - s[0].load(), key)] for key, s in data.outputs.items()}
    after = measure(make_data(n=4, k=1, outputs=swapped), "kid", cache=tmp_path)
    assert after["kid", "all"].value != before


def test_order_of_inputs_and_batches_does_not_matter(make_data, measure):
    data = make_data(n=6)
    keys = list(reversed(list(data.outputs)))
    turned = make_data(
        n=6,
        outputs={key: data.outputs[key] for key in keys},
        inputs={key: data.inputs[key] for key in keys},
        reference=list(reversed(data.reference)),
    )
    one = measure(data, "kid", "fid", "lpips_diversity", cache=None)
    other = measure(turned, "kid", "fid", "lpips_diversity", cache=None)
    for name in ("kid", "fid", "lpips_diversity"):
        assert one[name, "all"].value == pytest.approx(other[name, "all"].value, rel=1e-3)


# -------------------------------------------------------------------------------- the rest


def test_declaring_metrics_imports_nothing_heavy():
    code = (
        "import sys, bench.metrics.plugin as p; p.bench_metrics(); "
        "print([m for m in ('torch', 'pandas', 'scipy', 'lpips') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_metric_explains_itself():
    for spec in METRICS:
        text = explain(spec.name, REGISTRY)
        assert spec.explanation in text
        assert len(spec.explanation) > 50
        assert spec.name in text
        assert "; " in text.splitlines()[0] and "\nSource: " in text
    with pytest.raises(BenchError, match="metric 'kit' is unknown, did you mean 'kid'"):
        explain("kit", REGISTRY)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("kid_floor", "kid: "),
        ("fid_excess", "fid: "),
        ("precision_k5", "precision: "),
        ("classifier_accuracy", "target_rate: "),
        ("classifier_calibration_error", "target_rate: "),
        ("lpips_diversity_munit", "lpips_diversity_munit: "),
        ("fd_dinov2_floor", "fd_dinov2: "),
        ("psnr_pair", "psnr [dB]: "),
        ("factor_error_floor", "factor_error: "),
        ("factor_error_snow", "factor_error: "),
        ("season_error_sky", "season_error: "),
        ("latency", "latency [s]: seconds for one image"),
    ],
)
def test_numbers_beside_a_metric_are_explained_with_it(name, first):
    assert explain(name, REGISTRY).startswith(first)


def test_what_stands_beside_a_metric_has_a_line_of_its_own():
    text = explain("season_error_sky", REGISTRY)
    assert "\nseason_error_sky: of the region sky alone; lower is better\n" in text
    # Not of the prose: the explanation of another metric names it, too.
    assert "lpips_diversity" in BY_NAME["distinct"].explanation
    assert explain("lpips_diversity", REGISTRY).startswith("lpips_diversity: ")


def test_every_implementation_exists():
    import importlib

    for spec in METRICS:
        module, _, name = spec.implementation.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def stranger(monkeypatch, measure, **fields):
    """The registry of a plugin whose only metric is that function."""
    import types

    module = types.ModuleType("tests_strangers_metric")
    module.measure = measure
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = MetricSpec(
        "mean_red", "mean of the red channel", f"{module.__name__}:measure", "content", **fields
    )
    return Registry(metrics={spec.name: spec}, extractors=EXTRACTORS)


def mean_red(context, name="mean_red"):
    values = [picture.load()[..., 0].mean() for picture in context.pictures("outputs")]
    yield context.measurement(name, float(np.mean(values)), n=len(context.ids))


def test_a_strangers_metric_works_like_a_built_in_one(make_data, monkeypatch):
    registry = stranger(monkeypatch, mean_red, unit="levels", higher_is_better=False)
    (found,) = scored(make_data(n=3), registry=registry)
    assert 0 < found.value < 255
    assert (found.unit, found.higher_is_better, found.extractor) == ("levels", False, None)


def test_a_measurement_that_is_not_declared_is_refused(make_data, monkeypatch):
    registry = stranger(monkeypatch, lambda context: mean_red(context, "mean_blue"))
    with pytest.raises(BenchError, match="mean_red gives mean_blue, which it does not declare"):
        scored(make_data(n=3), registry=registry)


def test_a_metric_that_asks_a_network_names_it(make_data, monkeypatch):
    def measure(context):
        return [context.measurement("mean_red", float(context.features("outputs").mean()), n=1)]

    with pytest.raises(BenchError, match="mean_red asks a network, and declares no extractors"):
        scored(make_data(n=3), registry=stranger(monkeypatch, measure))
    distances = stranger(monkeypatch, measure, extractors=("st-lpips-alex",))
    with pytest.raises(BenchError, match="st-lpips-alex gives no features"):
        scored(make_data(n=3), registry=distances)


def test_a_network_that_no_plugin_offers_leaves_the_metric_out(make_data, monkeypatch):
    registry = stranger(monkeypatch, mean_red, extractors=("efficientnet-lite1",))
    events = []
    assert scored(make_data(n=3), registry=registry, events=events) == []
    assert events[0].message.startswith(
        "mean_red is left out: extractor 'efficientnet-lite1' is unknown, did you mean"
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metric_options": {"kid": {"draws": 5}}}, "metric kid: option 'draws' is unknown"),
        ({"metric_options": {"kit": {}}}, "metric 'kit' is unknown, did you mean 'kid'"),
        ({"extractors": {"inception": {}}}, "extractor 'inception' is unknown"),
        (
            {"extractors": {"efficientnet-lite0": {"size": 5}}},
            "extractor efficientnet-lite0: option 'size' is unknown",
        ),
    ],
)
def test_an_option_that_does_not_exist_is_one_line(make_data, options, says):
    with pytest.raises(BenchError, match=says):
        scored(make_data(n=3), "kid", **options)


def test_a_metric_that_cannot_be_imported_is_named(make_data):
    spec = MetricSpec("ghost", "", "no_such_module:measure", "quality")
    with pytest.raises(BenchError, match="metric ghost: no_such_module"):
        scored(make_data(n=3), registry=Registry(metrics={"ghost": spec}))


def test_scoring_data_is_what_the_harness_builds(make_data):
    assert isinstance(make_data(), ScoringData)
    assert make_data(k=2).samples == 2
