"""What plugins declare reaches table, terminal, page and verdict: no name is known beforehand."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.analysis.columns import columns, leading
from bench.analysis.summary import summary
from bench.analysis.tables import table_files
from bench.analysis.validity import judged, open_run, reasons
from bench.api import (
    SPEED_COLUMNS,
    Anchor,
    BenchError,
    Column,
    Declared,
    MethodSpec,
    MetricSpec,
    Rule,
    RunView,
)
from bench.cli.tables import run_lines
from bench.storage.declared import read_declared, write_declared
from bench.storage.tables import write_table
from bench_html.render import render
from tests.factories import DECLARED, Maker, make_run

SHARPNESS = Column(
    "sharpness",
    "Sharpness",
    "how sharp outputs are",
    higher_is_better=True,
    headline=1,
    short="sharp",
    question="Sharpest",
)
MIRROR = MethodSpec(
    "mirror",
    "The input from the other side.",
    "nowhere:Mirror",
    baseline=True,
    rules=(Rule("sharpness", "above", "identity", "a mirror is as sharp as what it shows"),),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    """A run with a metric and a baseline that no list of the harness can hold."""
    metric = MetricSpec("sharp", "", "", "quality", gives=(SHARPNESS,))
    return make_run(
        tmp_path_factory.mktemp("run"),
        methods=("munit", "cyclegan", "identity", Maker("mirror", 0.3, 0.4, 0.0, 0.001)),
        declared=DECLARED | Declared.of([MIRROR], [metric]),
        inputs=2,
        samples=2,
        size=8,
    )


def test_a_strangers_metric_is_a_headline_everywhere(run: RunView) -> None:
    known = columns(run)
    first = known[0]
    assert (first.metric, first.title, first.arrow) == ("sharpness", "Sharpness", "↑")
    assert leading(known, "quality") == first
    files = table_files(run)
    assert (
        "Sharpness" in files["summary.md"].splitlines()[0] and "Sharpness" in files["summary.tex"]
    )
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    for line in run_lines(run):
        console.print(line)
    assert "sharp↑" in console.file.getvalue()  # type: ignore[attr-defined]
    page = render(run, run.path / "report").read_text("utf-8")
    assert "<h2>Sharpest</h2>" in page and "highest Sharpness: how sharp outputs are" in page
    # Who is best by it is said in a sentence, and it is the quality of the trade-off plots.
    assert "the sharpest pictures" in page and "Scatter plot of Sharpness against" in page


def test_a_strangers_baseline_is_an_anchor_and_its_rule_counts(run: RunView) -> None:
    frame = summary(run).set_index("label")
    assert frame.loc["mirror", "anchor"].all() and not frame.loc["munit", "anchor"].any()
    assert frame.loc["mirror", "sharpness_group"].isna().all()
    assert run.verdict != "invalid"
    dull = run.measurements.copy()
    hit = (dull["label"] == "mirror") & (dull["metric"] == "sharpness")
    dull.loc[hit, ["value", "low", "high"]] = [0.1, 0.05, 0.15]
    broken = judged(replace(run, measurements=dull))
    assert broken.verdict == "invalid"
    assert "mirror (0.1) is not above identity" in reasons(broken)[0]
    assert "a mirror is as sharp as what it shows" in reasons(broken)[0]


def test_the_declared_side_counts_where_it_is_declared(run: RunView) -> None:
    by_name = {column.metric: column for column in columns(run)}
    # The table says lower is better; the declaration, that a floor has no better side.
    assert by_name["fid_floor"].higher_is_better is None
    bare = {c.metric: c for c in columns(replace(run, declared=Declared()))}
    assert bare["fid_floor"].higher_is_better is False and bare["fid_floor"].title == "fid floor"
    assert not any(column.headline for column in bare.values())
    page = render(replace(run, declared=Declared()), run.path / "bare").read_text("utf-8")
    assert "No method gave a number yet." in page and "Trade-offs" not in page


def test_a_column_beside_another_is_a_note_in_its_cells(run: RunView) -> None:
    page = render(run, run.path / "report").read_text("utf-8")
    assert "<small>floor 61.0</small>" in page and "FID floor <span" not in page
    columns = {n: replace(c, beside="") for n, c in DECLARED.columns.items()}
    alone = Declared(columns, DECLARED.anchors)
    page = render(replace(run, declared=alone), run.path / "alone").read_text("utf-8")
    assert "<small>floor 61.0</small>" not in page and "FID floor <span" in page


def test_however_many_headlines_there_are_the_terminal_has_room(run: RunView) -> None:
    wide = {c.name: replace(c, short="nine long", headline=1) for c in DECLARED.columns.values()}
    wide["sharpness"] = replace(SHARPNESS, short="first one", headline=0)
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    for line in run_lines(replace(run, declared=Declared(wide, DECLARED.anchors))):
        console.print(line)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    head = next(line for line in text.splitlines() if line.startswith("method"))
    assert head.count("first one") == 1 and head.count("nine long") == 4
    assert "…" not in head and max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_what_was_declared_is_kept_with_the_run(run: RunView, tmp_path: Path) -> None:
    assert open_run(run.path).declared == run.declared
    whole = Declared(DECLARED.columns, {"mirror": Anchor("untouched", MIRROR.rules)})
    write_declared(tmp_path, whole)
    assert read_declared(tmp_path, {}) == whole
    (tmp_path / "declared.json").write_text('{"columns": {"kid": {"title": "KID"}}}', "utf-8")
    with pytest.raises(BenchError, match=r"declared.json is damaged: .*columns.kid.name") as error:
        read_declared(tmp_path, {})
    assert "\n" not in str(error.value)


def test_a_run_of_the_first_version_gets_what_is_declared_today(tmp_path: Path) -> None:
    strange = Declared(anchors=DECLARED.anchors | {"mirror": Anchor()})
    run = make_run(
        tmp_path,
        methods=("munit", "identity", Maker("mirror", 0.3, 0.4, 0.0, 0.001)),
        declared=strange,
        inputs=2,
        pictures=False,
        failures=False,
        version=1,
    )
    assert not (tmp_path / "declared.json").exists()
    frame = summary(run).drop_duplicates("label").set_index("label")
    assert list(frame.index[frame["anchor"]]) == ["identity", "mirror"]
    assert frame.loc["identity", "role"] == "untouched"
    rows = run.measurements.copy()
    rows.loc[(rows["label"] == "identity") & (rows["metric"] == "lpips_input"), "value"] = 0.5
    write_table(tmp_path, "measurements", rows)
    assert open_run(tmp_path).verdict == "invalid"


def test_what_a_metric_says_of_itself_completes_its_column() -> None:
    metric = MetricSpec("blur", "how blurred", "", "quality", unit="px", higher_is_better=False)
    parts = MetricSpec("mood", "a mood", "", "quality", gives=(Column("mood"), Column("mood_*")))
    declared = Declared.of([], [metric, parts])
    assert declared.column("blur") == Column("blur", "", "how blurred", "px", False)
    assert declared.column("mood") == Column("mood", meaning="a mood")
    assert declared.column("mood_of_the_sky") == Column("mood_of_the_sky")
    assert declared.column("mo") is None and declared.column("mood_") is None
    speed = [column.name for column in SPEED_COLUMNS]
    assert list(declared.columns) == ["blur", "mood", "mood_*", *speed]


def test_a_column_of_parts_is_declared_by_its_beginning(run: RunView) -> None:
    rows = run.measurements[run.measurements["metric"] == "sharpness"]
    parts = rows.assign(metric="sharp_sky", higher_is_better=True)
    declared = Declared({"sharp_*": Column("sharp_*", "Sharp *", "in the *", "", False, 2)})
    known = columns(replace(run, measurements=parts, declared=declared))
    assert [(c.name, c.title, c.meaning) for c in known] == [
        ("sharp_sky", "Sharp sky", "in the sky")
    ]
    assert known[0].headline and known[0].higher_is_better is False


def test_tiles_stand_as_declared_and_say_what_the_winner_has(run: RunView) -> None:
    page = render(run, run.path / "report").read_text("utf-8")
    places = [
        page.index(f"<h2>{title}</h2>") for title in ("Most realistic", "Most varied", "Fastest")
    ]
    assert places == sorted(places)
    assert "closest to real pictures of the target domain" in page
