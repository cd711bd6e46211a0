"""One trial, in this process: stages, cache, what a method may do wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.api import BenchError, Budget, Measurement, TrialResult
from bench.data.images import read_image
from bench.execution.stages import fit, translate
from bench.execution.trial import run_trial
from bench.plugins import resolve
from bench.training.loop import kept_path, kept_weights
from tests.trials import Bench, bench, keep, use

__all__ = ["bench"]


def _values(result: TrialResult) -> list[float]:
    return [row["value"] for row in result.measurements if row["metric"] == "brightness"]


def _pictures(run: Path) -> dict[str, bytes]:
    folder = next((run / "trials").glob("*/images"))
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.png")
    }


def test_stages_are_cached_apart(bench: Bench, tmp_path: Path) -> None:
    first = bench.run("one")
    assert first.facts["cached"] == ""
    again = bench.run("two")
    assert again.facts["cached"] == "fit+translate+score+time"
    assert _values(again) == _values(first)
    assert again.measurements == first.measurements and again.timings == first.timings
    assert again.facts["iterations"] == 6
    # More samples: trained weights are taken, the rest is made.
    more = bench.run("three", samples=3)
    assert more.facts["cached"] == "fit"
    # The same samples again, another metric list: only scoring is new.
    other = bench.run("four", metrics=[])
    assert other.facts["cached"] == "fit+translate+time"
    assert len(_pictures(tmp_path / "three")) == 18 and len(_pictures(tmp_path / "two")) == 12


def test_first_samples_stay_the_same_when_more_are_asked(bench: Bench, tmp_path: Path) -> None:
    bench.run("two", samples=2)
    bench.run("three", samples=3)
    two, three = _pictures(tmp_path / "two"), _pictures(tmp_path / "three")
    assert {name: three[name] for name in two} == two


def test_names_of_the_domains_cost_nothing(bench: Bench) -> None:
    first = bench.run("one")
    dataset = {
        "name": "image_folder",
        "root": str(bench.data),
        "config": {"domains": ["day", "night"]},
    }
    again = bench.run("two", dataset=dataset)
    assert again.facts["cached"] == "fit+translate+score+time"
    assert {row["direction"] for row in again.measurements} == {"day2night", "night2day"}
    assert {row["direction"] for row in again.timings} == {"day2night", "night2day"}
    assert [row["value"] for row in again.measurements] == [
        row["value"] for row in first.measurements
    ]


def test_pictures_of_another_key_are_removed_first(bench: Bench, tmp_path: Path) -> None:
    bench.run(test_limit=3)
    bench.run(test_limit=1)
    assert len(_pictures(tmp_path / "run")) == 4
    entries = list((tmp_path / "cache" / "stages" / "translate").glob("*/*"))
    counts = sorted(len(list(entry.rglob("*.png"))) for entry in entries)
    assert counts == [2, 2, 6, 6]


def test_a_damaged_picture_is_made_again_when_resuming(bench: Bench, tmp_path: Path) -> None:
    bench.run("whole")
    expected = _pictures(tmp_path / "whole")
    workspace = bench.workspace("part")
    run_trial(workspace)
    # As after a power cut in the middle of translating: no cache entry, a cut-off file.
    for entry in (tmp_path / "cache" / "stages" / "translate").glob("*/*"):
        for file in entry.iterdir():
            if file.is_file():
                file.unlink()
    victim = next(workspace.folder.glob("images/*/*/1.png"))
    data = victim.read_bytes()
    victim.unlink()  # the name alone: the file itself is linked elsewhere
    victim.write_bytes(data[:-20])
    bench.run("part")
    assert _pictures(tmp_path / "part") == expected


def test_work_folder_of_another_fit_is_emptied(bench: Bench) -> None:
    workspace = bench.workspace()
    work = workspace.checkpoints
    (work / "deep").mkdir(parents=True)
    (work / "deep" / "x").touch()
    (work / "last.pt").write_text("of another fit", "utf-8")
    (work / "KEY").write_text("another", "utf-8")
    assert run_trial(workspace).status == "ok"
    assert not (work / "deep").exists()


def test_changed_dataset_is_refused(bench: Bench) -> None:
    workspace = bench.workspace()
    (bench.data / "trainA" / "p0.png").unlink()
    with pytest.raises(BenchError, match="changed while the run was under way"):
        run_trial(workspace)


def test_inputs_are_kept_as_the_methods_saw_them(bench: Bench, tmp_path: Path) -> None:
    bench.run(size=48)
    file = tmp_path / "run" / "inputs" / "image_folder" / "a2b" / "p1.png"
    assert read_image(file).shape == (48, 48, 3)
    bench.run(size=32)
    np.testing.assert_array_equal(read_image(file), read_image(bench.data / "testA" / "p1.png"))


def test_truths_and_training_twins_are_kept_beside_the_inputs(bench: Bench, tmp_path: Path) -> None:
    shutil.copyfile(bench.data / "testA" / "p1.png", bench.data / "trainB" / "p0.png")
    paired = {"name": "image_folder", "root": str(bench.data), "config": {"paired": True}}
    bench.run(dataset=paired)
    run = tmp_path / "run"
    truth = read_image(run / "truths" / "image_folder" / "a2b" / "p1" / "0.png")
    np.testing.assert_array_equal(truth, read_image(bench.data / "testB" / "p1.png"))
    twins = json.loads((run / "audit" / "image_folder" / "a2b.json").read_text("utf-8"))
    assert twins == {"p1": [["b", "p0"]]}
    assert json.loads((run / "audit" / "image_folder" / "b2a.json").read_text("utf-8")) == {}


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")], ids=["host", "gpu"]
)
def test_out_of_memory_halves_the_batch(bench: Bench, tmp_path: Path, error: Exception) -> None:
    sizes = []

    def narrow(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 1:
            raise error
        return keep(images, **rest)

    use(bench, narrow)
    workspace = bench.workspace(method="negative")
    direction = workspace.directions[0]
    items = workspace.inputs(direction)
    method = fit.run(workspace).method()
    outputs = translate.translate_items(workspace, method, items, direction)
    assert sizes == [3, 2, 1, 1, 1]
    expected = [read_image(item.path) for item in items]  # type: ignore[arg-type]
    np.testing.assert_array_equal(outputs[:, 0].permute(0, 2, 3, 1).numpy(), np.stack(expected))
    assert bench.warnings() == [
        "out of memory: batch reduced to 2",
        "out of memory: batch reduced to 1",
    ]


def test_out_of_memory_parts_the_samples_of_one_input(bench: Bench) -> None:
    sizes = []

    def narrow(images: torch.Tensor, *, samples: int, seeds: torch.Tensor) -> torch.Tensor:
        sizes.append((len(images), samples))
        if len(images) * samples > 2:
            raise torch.OutOfMemoryError
        return (seeds % 251 / 251)[:, :, None, None, None].expand(-1, -1, *images.shape[1:])

    use(bench, narrow)
    spec = bench.registry.methods["negative"]
    bench.registry.methods["negative"] = dataclasses.replace(spec, multimodal=True)
    workspace = bench.workspace(method="negative", samples=5)
    direction, method = workspace.directions[0], fit.run(workspace).method()
    items = workspace.inputs(direction)[:2]
    outputs = translate.translate_items(workspace, method, items, direction)
    assert sizes == [(2, 5), (1, 5), (1, 3), *[(1, 2), (1, 2), (1, 1)] * 2]
    assert bench.warnings()[1:] == [
        f"out of memory: samples at once reduced to {n}" for n in (3, 2)
    ]
    seeds = workspace.seeds(items, direction)
    assert torch.equal(outputs[:, :, 0, 0, 0], (seeds % 251 / 251 * 255).round().byte())


def test_a_picture_that_cannot_be_written_ends_the_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, pixels: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.data.images.write_png", full)
    with pytest.raises(OSError, match="No space left"):
        bench.run(method="negative")
    assert not list((bench.root / "cache" / "stages").glob("translate/*/*"))


def test_no_memory_even_for_one(bench: Bench) -> None:
    def none(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        raise MemoryError

    use(bench, none)
    with pytest.raises(MemoryError):
        bench.run(method="negative")


def test_other_errors_are_not_taken_for_it(bench: Bench) -> None:
    def fails(images: torch.Tensor, **rest: Any) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    use(bench, fails)
    with pytest.raises(RuntimeError, match="shapes"):
        bench.run(method="negative")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x, **k: keep(x, **k) * 2 - 1, "negative gave values from -.* to .*: images lie"),
        (lambda x, **k: keep(x, **k) / 0, "not finite|images lie"),
        (lambda x, **k: keep(x, **k).log().sqrt(), "not finite"),
        (lambda x, **k: x, "Odd.translate gave shape"),
    ],
)
def test_broken_outputs_are_refused(
    bench: Bench, function: Callable[..., torch.Tensor], says: str
) -> None:
    use(bench, function)
    with pytest.raises(BenchError, match=says):
        bench.run(method="negative")
    assert not list((bench.root / "cache" / "stages").glob("translate/*/*"))


class Nothing:
    """What is said to be a method, and is none."""

    def __init__(self, config: Any, ctx: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("declared", "options", "says"),
    [
        ({"trained": True}, {}, r"negative is declared trained, but Fixed has no fit\(data"),
        ({"exemplar": True}, {}, "negative is declared to take exemplars, but Fixed has no use_ex"),
        (
            {"implementation": "toy_plugin:Nothing"},
            {},
            "declared a method, but Nothing has not all",
        ),
        ({"trained": True}, {"weights": "toy_plugin.py"}, "negative reads no file of weights"),
    ],
)
def test_a_promise_that_is_not_kept_is_one_line(
    bench: Bench, declared: dict[str, Any], options: dict[str, str], says: str
) -> None:
    sys.modules["toy_plugin"].Nothing = Nothing
    spec = bench.registry.methods["negative"]
    bench.registry.methods["negative"] = dataclasses.replace(spec, **declared)
    entry = {"name": "negative"} | {key: bench.root / name for key, name in options.items()}
    with pytest.raises(BenchError, match=says):
        bench.run(method=entry)


def test_memory_of_training_and_of_translating_are_two_numbers(bench: Bench) -> None:
    result = bench.run(method="toy")
    found = {row["metric"]: row["value"] for row in result.measurements}
    assert found["fit_memory"] == result.facts["fit_peak_memory_mb"] > 0
    again = bench.run("again", method="toy")
    assert "fit" in again.facts["cached"]
    assert again.facts["fit_peak_memory_mb"] == result.facts["fit_peak_memory_mb"]
    assert "fit_memory" not in {row["metric"] for row in bench.run(method="negative").measurements}


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (
            lambda scoring: [Measurement("m", "content", float("nan"), n=1)],
            "metric m is not finite",
        ),
        (
            lambda scoring: [Measurement("m", "content", float("inf"), n=1)],
            "metric m is not finite",
        ),
        (lambda scoring: [0.5], "gave a float, not a Measurement"),
    ],
)
def test_broken_metrics_are_refused(bench: Bench, gives: Any, says: str) -> None:
    sys.modules["toy_plugin"].brightness = gives
    with pytest.raises(BenchError, match=says):
        bench.run(method="negative")
    assert not list((bench.root / "cache" / "stages").glob("score/*/*"))


def test_code_of_the_plugin_counts_and_its_comments_do_not(bench: Bench) -> None:
    bench.run("one", method="negative")
    plugin = bench.root / "toy_plugin.py"
    source = plugin.read_text("utf-8")
    plugin.write_text(source + '\n# changed\n"""Really."""\n', "utf-8")
    assert bench.run("two", method="negative").facts["cached"] == "translate+score+time"
    plugin.write_text(source + "\n_CHANGED = 1\n", "utf-8")
    assert bench.run("three", method="negative").facts["cached"] == ""


def test_job_is_json_all_the_way(bench: Bench) -> None:
    result = bench.run(method="negative")
    assert json.loads(json.dumps(dataclasses.asdict(result)))["status"] == "ok"


# ------------------------------------------------------------------ learning curves


def _points(result: TrialResult) -> dict[int, list[float]]:
    points: dict[int, list[float]] = {}
    for row in result.curves:
        points.setdefault(row["iteration"], []).append(row["value"])
    return points


def test_a_point_of_a_curve_is_what_a_shorter_training_scores(bench: Bench) -> None:
    """The toy's rate follows no schedule, so that its points are trainings of their own."""
    result = bench.run("run", budget="9it", score_at=["6it", "3it", "3it", "90it"])
    points = _points(result)
    assert list(points) == [3, 6, 9]
    assert points[9] == _values(result) and points[3] != points[6] != points[9]
    for at in (3, 6):
        assert points[at] == _values(bench.run(f"{at}", budget=f"{at}it"))
    seconds = [row["seconds"] for row in result.curves]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert not bench.run("without", budget="9it").curves


def test_only_new_points_cost_a_training(bench: Bench) -> None:
    assert bench.run("one", score_at=["3it"]).facts["cached"] == ""
    known = "fit+translate+score+time"
    assert bench.run("two", score_at=["3it"]).facts["cached"] == known
    assert bench.run("three").facts["cached"] == known  # a fit is the same without
    more = bench.run("four", score_at=["3it", "5it"])
    assert more.facts["cached"] == "translate+score+time" and list(_points(more)) == [3, 5, 6]


def test_points_that_training_had_passed_are_trained_for_again(bench: Bench) -> None:
    job = bench.workspace(score_at=["2it"]).job
    work = bench.root / "run" / "trials" / job.trial / "checkpoints"
    bench.run("run")  # its checkpoint is beyond the point
    shutil.rmtree(bench.root / "cache" / "stages")
    result = bench.run("run", score_at=["2it"])
    assert list(_points(result)) == [2, 6] and kept_path(work, 2).is_file()


@pytest.mark.parametrize("name", ["KEY", "losses.jsonl", "seconds", "kept/*", "translate-a2b.KEY"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe{}\n"])
def test_what_is_damaged_in_the_work_folder_reaches_no_cache(
    bench: Bench, name: str, content: bytes
) -> None:
    whole = bench.run("whole", score_at=["2it"])
    folder = bench.root / "run"
    bench.run("run", score_at=["2it"])
    shutil.rmtree(bench.root / "cache" / "stages")
    bench.run("run", score_at=["2it"])  # a work folder of its own
    shutil.rmtree(bench.root / "cache" / "stages")
    file = next(folder.glob(f"trials/*/checkpoints/{name}"))
    file.unlink()
    file.write_bytes(content)
    again = bench.run("run", score_at=["2it"])
    assert _values(again) == _values(whole) and _points(again) == _points(whole)


def test_what_keeps_nothing_on_the_way_says_so(bench: Bench) -> None:
    module = sys.modules["toy_plugin"]
    original = module.run_training
    module.run_training = lambda *a, weights, **more: original(*a, **more)
    with pytest.raises(BenchError, match="toy keeps no weights on the way: leave --score-at out"):
        bench.run(score_at=["3it"])


def test_an_interrupted_training_keeps_what_an_uninterrupted_one_keeps(bench: Bench) -> None:
    workspace = bench.workspace()
    made = resolve(workspace.spec.implementation)

    def fit(name: str, iterations: int) -> Path:
        work = bench.root / name
        ctx = dataclasses.replace(workspace.ctx, work_dir=work, keep_at=(3, 8))
        config = workspace.spec.config()
        made(config, ctx).fit(workspace.train_data, Budget(iterations=iterations))
        return work

    whole = fit("whole", 10)
    fit("parts", 5)
    parts = fit("parts", 10)
    for at in (3, 8):
        one, two = (load_file(kept_path(work, at)) for work in (whole, parts))
        assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
        told = kept_weights(kept_path(parts, at))
        assert (told.iteration, told.cores) == (at, torch.get_num_threads()) and told.seconds > 0
    with pytest.raises(BenchError, match="holds no weights that were kept"):
        kept_weights(parts / "last.pt")
