"""The three questions: who passes which, who comes first, and what makes a run invalid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.columns import columns
from bench.analysis.questions import answers, in_order
from bench.analysis.summary import summary
from bench.analysis.validity import judged
from bench.api import RunView
from bench.cli.tables import run_lines
from bench_html import figures
from bench_html.result import sentences
from tests.factories import DECLARED, Maker, make_run

# What each is known for, on photographs: taken for the target, KID at 32 pixels and at full
# size, change of layout, rank of the own input.
KNOWN = {
    "decent": (0.82, 0.006, 0.050, 0.020, 0.99),
    "color_transfer": (0.28, 0.014, 0.014, 0.008, 0.99),
    "identity": (0.15, 0.022, 0.017, 0.000, 1.00),
    "nearest_target": (0.88, 0.001, 0.001, 0.080, 0.70),
    "noise": (0.40, 0.300, 0.900, 0.120, 0.50),
    "real_target": (0.87, 0.000, 0.000, 0.100, 0.50),
}
NAMES = ("target_rate", "kid_32", "kid", "structure_distance", "content_rank")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    path: Path = tmp_path_factory.mktemp("run")
    makers = [Maker(name, 0.05, 0.5, 0.0, 0.01, trained=False) for name in reversed(KNOWN)]
    made = make_run(path, methods=makers, samples=1, pictures=False, failures=False)
    rows = made.measurements
    kept = rows[~rows["metric"].isin([*NAMES, "fid", "fid_floor", "fid_excess"])]
    template = rows[rows["metric"] == "kid"]
    added = []
    for place, name in enumerate(NAMES):
        column = DECLARED.column(name)
        assert column is not None
        values = template["label"].map(lambda label, at=place: KNOWN[label][at]).astype(float)
        added.append(
            template.assign(
                metric=name,
                kind="content" if column.aspect == "scene" else "quality",
                higher_is_better=column.higher_is_better,
                value=values,
                low=values - 0.002,
                high=values + 0.002,
            )
        )
    return replace(made, measurements=pd.concat([kept, *added], ignore_index=True))


def test_each_anchor_fails_what_it_stands_for(run: RunView) -> None:
    frame, known = summary(run), columns(run)
    rows = frame[frame["direction"] == "summer2winter"]
    found = answers(rows, known).assign(label=rows["label"]).set_index("label")
    said = {label: "".join("✓" if yes else "✗" for yes in row) for label, row in found.iterrows()}
    assert said == {
        "decent": "✓✓✗",  # taken for winter, the same scene, saved as JPEG
        "color_transfer": "✗✓✓",
        "identity": "✗✓✓",
        "nearest_target": "✓✗✓",
        "noise": "✗✗✗",
        "real_target": "✓✗✓",
    }


def test_a_yes_takes_the_whole_interval(run: RunView) -> None:
    rows = run.measurements
    wide = (rows["label"] == "decent") & (rows["metric"] == "target_rate")
    unsure = rows.assign(low=rows["low"].where(~wide, 0.4))
    frame, known = summary(replace(run, measurements=unsure)), columns(run)
    found = answers(frame, known).assign(label=frame["label"]).set_index("label")
    assert not found.loc["decent", "target"].any()
    said = sentences(frame, known)
    assert said[0] == (
        "decent keeps the scene, but is not clearly taken for the target and does not look real, "
        "in both directions."
    )


def test_the_best_translation_comes_first_wherever_it_is_shown(run: RunView) -> None:
    frame, known = summary(run), columns(run)
    rows = in_order(frame[frame["direction"] == "summer2winter"], known)
    assert list(rows["label"])[:2] == ["decent", "color_transfer"]
    assert list(rows["label"])[-1] == "noise"
    (table, *_) = run_lines(run)
    shown = [str(cell) for cell in table.columns[0]._cells]  # type: ignore[union-attr]
    assert shown == list(rows["label"])
    assert [str(c) for c in table.columns[1]._cells][:2] == ["✓✓✗", "✗✓✓"]  # type: ignore[union-attr]


def test_sentences_say_who_passes_what(run: RunView) -> None:
    said = sentences(summary(run), columns(run))
    assert said[0] == (
        "decent is taken for the target and keeps the scene, but does not look real, in both "
        "directions."
    )


def test_without_anchors_nothing_is_asked_and_rows_stay(run: RunView) -> None:
    bare = replace(
        run,
        measurements=run.measurements[~run.measurements["label"].isin(["identity", "real_target"])],
        trials=run.trials[~run.trials["label"].isin(["identity", "real_target"])],
    )
    frame, known = summary(bare), columns(bare)
    rows = frame[frame["direction"] == "summer2winter"]
    assert answers(rows, known).isna().all(axis=None)
    assert list(in_order(rows, known)["label"]) == list(rows["label"])


def test_figures_of_season_against_scene_and_of_scale(run: RunView) -> None:
    made = figures.build(run, summary(run))
    titles = [figure.title for figure in made]
    assert "summer2winter: season and scene" in titles
    (scaled,) = [f for f in made if f.title == "summer2winter: KID by scale"]
    data = next(iter(scaled.spec["datasets"].values()))
    assert {row["scale"] for row in data} == {"32 px", "full size"}
    # Noise is far off the scale.
    assert {row["label"] for row in data} == set(KNOWN) - {"noise"}


def test_outputs_of_other_inputs_make_a_run_invalid(run: RunView) -> None:
    template = run.measurements[run.measurements["metric"] == "kid"]

    def mispaired(label: str) -> RunView:
        share = (template["label"] == label).astype(float) * 0.9
        rows = template.assign(
            metric="mispaired", kind="content", value=share, low=share - 0.1, high=share + 0.1
        )
        return judged(
            replace(run, measurements=pd.concat([run.measurements, rows], ignore_index=True))
        )

    found = mispaired("decent")
    check = found.checks.set_index("name").loc["No outputs assigned to the wrong inputs"]
    assert check["verdict"] == "invalid" and found.verdict == "invalid"
    assert check["detail"].startswith(
        "decent seems to have outputs of other inputs (summer2winter: 90%)"
    )
    # Of a baseline that is what it is.
    check = mispaired("nearest_target").checks.set_index("name")
    assert check.loc["No outputs assigned to the wrong inputs", "verdict"] == "valid"
