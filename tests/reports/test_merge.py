"""Several runs made into one."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.analysis.columns import columns
from bench.analysis.compare import compare
from bench.analysis.merge import merge
from bench.analysis.summary import summary
from bench.analysis.validity import checks
from bench.api import Anchor, BenchError, Column, Declared, RunView
from bench.cli import app
from bench.cli.tables import run_lines
from bench.storage.jobs import (
    DatasetPart,
    Job,
    MachinePart,
    MethodPart,
    ScoringPart,
    write_plan,
)
from bench.storage.tables import VERSION, read_run
from bench_html import findings, gallery
from bench_html.render import render
from tests.factories import MAKERS, make_run

SMALL: dict[str, Any] = {"inputs": 2, "samples": 2, "size": 16, "failures": False}


def made(path: Path, cpu: str = "", **options: Any) -> Path:
    """A run's folder, made on this CPU."""
    make_run(path, **(SMALL | options))
    file = path / "environment.json"
    environment = json.loads(file.read_text("utf-8"))
    environment["hardware"] = {"device": "cpu", "cpu": cpu or "Small CPU", "threads": 2}
    file.write_text(json.dumps(environment), "utf-8")
    return path


def planned(path: Path, content: str = "", **sizes: int) -> None:
    """A plan with a job for each dataset, of this size."""
    jobs = [
        Job(
            trial=f"munit-{name}",
            seed=0,
            fit_key="",
            method_part=MethodPart("munit", "munit", {}),
            dataset_part=DatasetPart(name, name, {}, content or name, ("a2b", "b2a"), size),
            scoring=ScoringPart(),
            machine=MachinePart("cpu", "fp32", None, True, (), ""),
        )
        for name, size in sizes.items()
    ]
    write_plan(path, jobs)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two machines: each has a method of its own, and both have identity."""
    root = tmp_path_factory.mktemp("runs")
    return [
        made(root / "left", "Intel(R) Small CPU", methods=("munit", "identity")),
        made(root / "right", "Big CPU", methods=("cyclegan", "identity"), failures=True),
    ]


@pytest.fixture(scope="module")
def whole(parts: list[Path]) -> RunView:
    return merge(parts, parts[0].parent / "merged")


def test_every_row_and_picture_of_both_is_there(parts: list[Path], whole: RunView) -> None:
    runs = [read_run(part) for part in parts]
    for name in ("trials", "measurements", "samples", "timings", "losses"):
        assert len(getattr(whole, name)) == sum(len(getattr(run, name)) for run in runs), name
    assert whole.trials["trial"].is_unique
    assert all((whole.path / path).is_file() for path in whole.samples["path"])
    assert all((whole.path / path).is_file() for path in whole.samples["input_path"])
    for run in runs:
        for label in ("munit", "cyclegan"):
            mine = run.measurements.query(f"label == '{label}' and metric == 'kid'")["value"]
            there = whole.measurements.query(f"label == '{label}' and metric == 'kid'")["value"]
            assert mine.empty or list(mine) == list(there)


def test_what_was_measured_twice_is_labelled_by_run(whole: RunView) -> None:
    labels = list(dict.fromkeys(summary(whole)["label"]))
    assert labels[:4] == ["munit", "identity (left)", "cyclegan", "identity (right)"]
    rows = summary(whole).set_index(["direction", "label"])
    assert rows.loc[("summer2winter", "identity (left)"), "anchor"]
    # The pictures of the two are not mixed up.
    folders = whole.samples.groupby("label")["path"].agg(lambda p: p.iloc[0].split("/")[1])
    assert folders["identity (left)"] != folders["identity (right)"]


def test_quality_is_ranked_together_and_speed_on_each_hardware(whole: RunView) -> None:
    rows = summary(whole).query("direction == 'summer2winter'").set_index("label")
    assert set(rows["kid_group"].dropna()) == {1} and rows["kid_best"].sum() == 1
    speed = [c for c in columns(whole) if c.kind in ("throughput", "resource")]
    assert {c.hardware for c in speed} == {"Intel Small, 2 threads", "Big, 2 threads"}
    assert all(c.headline for c in speed) and "latency" not in rows
    small = rows["latency [Intel Small, 2 threads]"]
    assert list(small.dropna().index) == ["munit", "identity (left)"]
    # Alone on its hardware, nothing is the fastest.
    assert not rows[[f"{c.name}_best" for c in speed]].any().any()
    mixed = next(c for c in checks(whole) if c.name == "One extractor per metric")
    assert mixed.passed


def test_the_page_says_what_ran_where(whole: RunView) -> None:
    text = render(whole, whole.path / "report").read_text("utf-8")
    for words in ("The runs on this page", "left", "right", "Big CPU", "not ranked against each"):
        assert words in text
    assert "Latency on Big, 2 threads" in text and "Latency on Intel Small, 2 threads" in text


def test_the_terminal_does_not_put_speeds_side_by_side(whole: RunView) -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    for line in run_lines(whole):
        console.print(line)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "s/image" not in text and "not comparable" in text


def test_runs_of_0_1_get_a_level_for_their_dataset_and_newer_ones_keep_it(tmp_path: Path) -> None:
    old = [
        made(tmp_path / name, methods=(method,), truths=2, twins=("view-001",), version=1)
        for name, method in (("first", "munit"), ("second", "cyclegan"), ("third", "identity"))
    ]
    (old[0] / "audit" / "pairs.csv").write_text("kind\n", "utf-8")
    run = merge([merge(old[:2], tmp_path / "two").path, old[2]], tmp_path / "three")
    here = "yosemite/summer2winter"
    assert set(run.samples["input_path"].str.rpartition("/")[0]) == {
        f"inputs/{here}",
        "inputs/yosemite/winter2summer",
    }
    files = {
        file.relative_to(run.path).as_posix()
        for part in ("inputs", "truths", "audit")
        for file in (run.path / part).rglob("*.*")
    }
    assert {f"truths/{here}/view-000/1.png", "audit/yosemite/pairs.csv"} < files
    assert all(name.split("/")[1] == "yosemite" for name in files)
    # The page finds all of it, as in a run of 0.1 itself.
    for view in (run, read_run(old[0])):
        shown = gallery.build(view, tmp_path / "page" / view.path.name, {})
        assert [item["truth"]["n"] for item in shown.description["directions"][0]["inputs"]] == [
            2,
            2,
        ]
        titles = [finding.title for finding in findings.find(view, shown)]
        assert "1 of 2 test inputs of summer2winter are training images" in titles


def test_seeds_from_two_machines_are_one_row(tmp_path: Path) -> None:
    parts = [
        made(tmp_path / "first", methods=("munit",), seeds=(0, 1)),
        made(tmp_path / "second", methods=("munit",), seeds=(2,)),
    ]
    run = merge(parts, tmp_path / "merged")
    table = summary(run)
    assert list(table["label"]) == ["munit", "munit"] and list(table["seeds"]) == [3, 3]
    # The same hardware: one column, as ever.
    assert "latency" in table
    assert run.suite["seeds"] == [0, 1, 2]


def test_other_settings_are_another_row(tmp_path: Path) -> None:
    first = made(tmp_path / "first", methods=("munit",), seeds=(0,))
    second = made(tmp_path / "second", methods=("munit",), seeds=(1,))
    trials = read_run(second).trials.assign(budget="9000it")
    trials.to_parquet(second / "tables" / "trials.parquet", index=False)
    run = merge([first, second], tmp_path / "merged")
    assert set(run.trials["label"]) == {"munit (first)", "munit (second)"}


def test_a_merged_run_can_be_compared_and_merged_again(parts: list[Path], whole: RunView) -> None:
    assert compare(whole, whole.path).same
    again = merge(parts, whole.path)
    assert compare(whole, again).same and again.trials.equals(whole.trials)
    assert not list(whole.path.parent.glob(".*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 3}, "for yosemite, the number of samples is 2 in the first and 3"),
        ({"inputs": 3}, "number of test inputs is 2, 2 in the first and 3, 3"),
        ({"directions": ("summer2winter",)}, "set of directions"),
    ],
)
def test_runs_that_differ_are_refused_in_one_line(
    parts: list[Path], tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    other = made(tmp_path / "other", methods=("munit",), pictures=False, **options)
    with pytest.raises(BenchError, match="cannot be merged") as error:
        merge([parts[0], other], tmp_path / "merged")
    assert words in str(error.value) and "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_other_pictures_under_the_same_name_are_refused(tmp_path: Path) -> None:
    parts = [made(tmp_path / name, pictures=False) for name in ("a", "b")]
    for part, content in zip(parts, ("aaaa", "bbbb"), strict=True):
        planned(part, content, yosemite=8)
    with pytest.raises(BenchError, match="the content is aaaa in the first and bbbb"):
        merge(parts, tmp_path / "merged")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_runs_of_two_datasets_are_one_page_of_both(tmp_path: Path, version: int) -> None:
    options: dict[str, Any] = {"methods": ("munit", "identity"), "version": version, "truths": 1}
    parts = [
        made(tmp_path / "here", dataset="yosemite", twins=("view-001",), **options),
        made(tmp_path / "there", dataset="seasons", inputs=3, samples=3, **options),
    ]
    planned(parts[0], yosemite=256)
    planned(parts[1], seasons=64)
    run = merge(parts, tmp_path / "merged")
    assert run.environment["schema_version"] == VERSION
    assert [entry["name"] for entry in run.suite["datasets"]] == ["yosemite", "seasons"]
    # One method on two datasets is one row in each, under its own name.
    rows = summary(run)[["dataset", "label"]].drop_duplicates().to_numpy().tolist()
    assert rows == [[d, m] for d in ("yosemite", "seasons") for m in ("munit", "identity")]
    # Both datasets have a summer2winter/view-000: neither takes the other's place.
    inputs = run.samples.drop_duplicates(["dataset", "input_path"])
    assert inputs["input_path"].is_unique
    for row in inputs.itertuples():
        here = parts[row.dataset == "seasons"] / "inputs" / ("" if version == 1 else row.dataset)
        there = run.path / str(row.input_path)
        assert there.read_bytes() == (here / row.direction / there.name).read_bytes()
    assert (run.path / "truths/seasons/summer2winter/view-002/0.png").is_file()
    assert (run.path / "audit/yosemite/summer2winter.json").is_file()
    page = render(run, run.path / "report").read_text("utf-8")
    assert "1 of 2 test inputs of summer2winter are training images" in page
    # A third run must agree about each dataset it shares.
    other = made(tmp_path / "other", datasets=("third", "seasons"), **options | {"version": 2})
    planned(other, third=8, seasons=128)
    with pytest.raises(BenchError, match="for seasons, the image size is 64 in the first and 128"):
        merge([*parts, other], tmp_path / "all")


def test_a_merged_run_keeps_what_was_declared(tmp_path: Path) -> None:
    mine = Declared({"sharpness": Column("sharpness", headline=1)}, {"munit": Anchor("real")})
    parts = [
        made(tmp_path / "a", methods=("munit",), pictures=False, declared=mine),
        made(tmp_path / "b", methods=("cyclegan",), pictures=False),
    ]
    run = merge(parts, tmp_path / "merged")
    assert run.declared.columns["sharpness"].headline == 1
    assert set(run.declared.anchors) > {"munit", "identity"}
    assert set(run.comparisons["label_a"]) == set()  # an anchor and one method: no pair


def test_nothing_but_a_merged_run_is_replaced(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept", "utf-8")
    with pytest.raises(BenchError, match="not a merged run"):
        merge(parts, tmp_path)
    with pytest.raises(BenchError, match="is one of the runs"):
        merge(parts, parts[1])
    with pytest.raises(BenchError, match="named twice"):
        merge([parts[0], parts[0]], tmp_path / "merged")
    with pytest.raises(BenchError, match="two runs or more"):
        merge(parts[:1], tmp_path / "merged")
    assert (tmp_path / "mine.txt").read_text("utf-8") == "kept" and read_run(parts[1])


def test_hostile_paths_link_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    first = made(tmp_path / "first", methods=("munit",))
    second = made(tmp_path / "second", methods=(replace(MAKERS["munit"], name="other"),))
    samples = read_run(second).samples.assign(path="../secret.png")
    samples.to_parquet(second / "tables" / "samples.parquet", index=False)
    # An id that two runs share gets a folder of its own: not outside, either.
    for part in (first, second):
        trials = read_run(part).trials.assign(trial="../../../x")
        trials.to_parquet(part / "tables" / "trials.parquet", index=False)
    samples = read_run(first).samples.assign(trial="../../../x")
    samples.to_parquet(first / "tables" / "samples.parquet", index=False)
    run = merge([first, second], tmp_path / "merged")
    assert not any(p.read_bytes() == b"secret" for p in run.path.rglob("*") if p.is_file())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first", "merged", "second", "secret.png"]


def test_from_the_command_line(parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both"
    command = ["report", *map(str, parts), "--merge", "--out", str(out), "--reports", "tables"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (out / "report" / "summary.csv").is_file() and "identity (left)" in result.output
    refused = CliRunner().invoke(app, ["report", *map(str, parts)])
    assert isinstance(refused.exception, BenchError) and "--merge" in str(refused.exception)
