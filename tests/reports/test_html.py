"""What the page, its thumbnails and its exports are made of, without a browser."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.analysis.summary import summary
from bench.api import RunView
from bench_html import figures, gallery, thumbs
from bench_html.export import render_figures, render_zip
from bench_html.render import json_script, render
from tests.factories import HOSTILE, MAKERS, Maker, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return make_run(tmp_path_factory.mktemp("runs") / "first", inputs=2, samples=3)


@pytest.fixture(scope="module")
def page(run: RunView) -> Path:
    return render(run, run.path / "report")


class Page(HTMLParser):
    """Every tag with its attributes, and the JSON the page carries."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, Any] = {}
        self._json = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._json = tag == "script" and dict(attrs).get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self._json:
            self.data = json.loads(data)
            self._json = False


def test_learning_curves_are_drawn(tmp_path: Path) -> None:
    view = make_run(tmp_path / "run", methods=("munit", "identity"), inputs=2, points=(100, 400))
    drawn = [f for f in figures.build(view, summary(view)) if f.section == "learning"]
    titles = [figure.title for figure in drawn]
    assert len(titles) == len(set(titles)) == 2 * 2 * 2  # directions, KID and diversity, axes
    assert titles[:2] == [
        "summer2winter: KID over iterations",
        "summer2winter: KID over core-hours",
    ]
    kid = view.measurements.query("metric == 'kid' and direction == 'summer2winter'")
    kid = kid[kid["subset"] == "all"].set_index("label")["value"]
    for figure, x in zip(drawn, ("iteration", "hours"), strict=False):
        data = [row for rows in figure.spec["datasets"].values() for row in rows]
        points = [row for row in data if x in row and row["label"] == "munit"]
        ends = {row[x]: row["value"] for row in points}
        at = (100, 400) if x == "iteration" else (100 * 0.2 / 3600, 400 * 0.2 / 3600)
        assert ends == pytest.approx({at[0]: kid["munit"] * 2, at[1]: kid["munit"] * 1.25})
        anchors = {row["label"]: row["value"] for row in data if x not in row}
        assert anchors == pytest.approx({"identity": kid["identity"]})
    text = render(view, tmp_path / "report").read_text("utf-8")
    assert 'href="#learning"' in text and "How long is long enough" in text


def test_one_page_and_its_thumbnails(page: Path) -> None:
    assert sorted(p.name for p in page.parent.iterdir()) == ["index.html", "thumbs"]
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "How long is long enough" not in text
    for word in ("munit", "cyclegan", "identity", "summer2winter", "sharpness", "out of memory"):
        assert word in text


def test_the_page_names_no_address_to_load(page: Path) -> None:
    for tag, attributes in Page(page.read_text("utf-8")).tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?i)\s*(https?:|//|javascript:|ftp:)", value), (tag, value)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)


def test_the_policy_allows_no_connection(page: Path) -> None:
    tags = Page(page.read_text("utf-8")).tags
    (policy,) = (
        a["content"] or "" for _, a in tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    script = next(part for part in policy.split(";") if part.strip().startswith("script-src"))
    assert "'unsafe-inline'" not in script and script.count("'sha256-") == 2


def test_every_picture_is_listed_and_there(run: RunView, page: Path) -> None:
    data = Page(page.read_text("utf-8")).data["gallery"]
    assert [direction["name"] for direction in data["directions"]] == [
        "summer2winter",
        "winter2summer",
    ]
    for direction in data["directions"]:
        for item in direction["inputs"]:
            assert (page.parent / item["full"]).is_file()
            assert (page.parent / "thumbs" / item["strip"]).is_file()
        for series in direction["series"]:
            assert len(series["cells"]) == 2
            for cell in series["cells"]:
                assert cell["n"] == cell["in"] == 3
                for sample in range(3):
                    assert (page.parent / f"{cell['base']}/{sample}.png").is_file()


def test_headline_metrics_come_first_below_the_pictures(run: RunView, tmp_path: Path) -> None:
    extra = run.samples.assign(metric="spread", value=1.0)
    samples = pd.concat([extra, run.samples], ignore_index=True)
    made = gallery.build(replace(run, samples=samples), tmp_path, {}).description
    assert made["metrics"] == ["lpips_diversity", "lpips_input", "spread"]


def test_a_strip_shows_its_samples_in_order(run: RunView, page: Path) -> None:
    data = Page(page.read_text("utf-8")).data["gallery"]
    cell = data["directions"][0]["series"][0]["cells"][1]
    with Image.open(page.parent / "thumbs" / cell["strip"]) as strip:
        size = data["size"]
        assert strip.size == (3 * size, size)
        for sample in range(3):
            with Image.open(page.parent / f"{cell['base']}/{sample}.png") as full:
                expected = np.asarray(full.resize((size, size)), dtype=float)
            box = (sample * size, 0, (sample + 1) * size, size)
            shown = np.asarray(strip.convert("RGB").crop(box), dtype=float)
            assert np.abs(shown - expected).mean() < 12


def test_rendering_again_makes_no_thumbnail_twice(run: RunView, page: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in (page.parent / "thumbs").iterdir()}
    stray = page.parent / "thumbs" / "0123456789.webp"
    stray.write_bytes(b"left over")
    render(run, page.parent)
    after = {p.name: p.stat().st_mtime_ns for p in (page.parent / "thumbs").iterdir()}
    assert after == before


def test_thumbnails_keep_to_their_budget(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    strips = []
    for number in range(4):
        files = []
        for sample in range(6):
            file = tmp_path / f"{number}-{sample}.png"
            Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)).save(file)
            files.append(file)
        strips.append(files)
    rich = thumbs.plan(strips)
    assert rich == thumbs.Plan(thumbs.SIZES[0], 6)
    chosen = thumbs.plan(strips, budget=100_000)
    assert chosen.samples < 6 or chosen.size < 224
    made = thumbs.make_strips(strips, tmp_path / "thumbs", chosen)
    assert {count for _, count in made} == {chosen.samples}
    assert sum(p.stat().st_size for p in (tmp_path / "thumbs").iterdir()) <= 100_000


@pytest.mark.parametrize(
    "path",
    [
        "../outside.png",
        "/etc/hostname",
        "javascript:alert(1)",
        "a\\b.png",
        "",
        "x\0y.png",
        "gone.png",
    ],
)
def test_paths_that_leave_the_run_are_not_linked(tmp_path: Path, path: str) -> None:
    run = make_run(tmp_path / "run", methods=("identity",), inputs=1, samples=1)
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    samples = run.samples.assign(path=path, input_path=path).astype({"path": "string"})
    made = gallery.build(replace(run, samples=samples), tmp_path / "out", {}).description
    for direction in made["directions"]:
        assert [item["full"] for item in direction["inputs"]] == [""]
        assert [cell["n"] for series in direction["series"] for cell in series["cells"]] == [0]


def test_odd_file_names_become_quoted_links(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", methods=("identity",), inputs=1, samples=1)
    odd = 'a "b" onerror=x #1?.png'
    Image.new("RGB", (8, 8)).save(run.path / odd)
    samples = run.samples.assign(path=odd)
    made = gallery.build(replace(run, samples=samples), run.path / "report", {}).description
    (link,) = made["directions"][0]["series"][0]["cells"][0]["full"]
    assert link == "./../a%20%22b%22%20onerror%3Dx%20%231%3F.png"


@pytest.mark.parametrize("change", ["pictures", "losses", "timings", "measurements", "everything"])
def test_a_run_with_something_missing_still_has_a_page(tmp_path: Path, change: str) -> None:
    run = make_run(tmp_path / "run", inputs=1, samples=1, pictures=change != "pictures")
    gone = ["samples", "losses", "timings", "measurements"] if change == "everything" else [change]
    for name in set(gone) - {"pictures"}:
        run = replace(run, **{name: getattr(run, name).iloc[:0]})
    text = render(run, run.path / "report").read_text("utf-8")
    assert "munit" in text
    assert ('id="pictures"' in text) == (change not in ("pictures", "everything"))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", inputs=1, samples=2, hostile=True)
    page = Page(render(run, run.path / "report").read_text("utf-8"))
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert attributes.get("src") != "x"
    labels = page.data["labels"]
    assert all(any(label.startswith(bad) for label in labels) for bad in HOSTILE[:3])


def test_json_in_the_page_cannot_end_its_script() -> None:
    text = str(json_script({"</script>": ["<!--", float("nan"), "&\u2028"]}))
    assert "<" not in text and ">" not in text and "&" not in text
    assert json.loads(text) == {"</script>": ["<!--", None, "&\u2028"]}


def test_a_failed_write_leaves_the_old_page(
    run: RunView, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = page.read_bytes()

    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="No space"):
        render(run, page.parent)
    assert page.read_bytes() == before
    assert sorted(p.name for p in page.parent.iterdir()) == ["index.html", "thumbs"]


def test_the_pareto_front_by_hand(tmp_path: Path) -> None:
    from bench.analysis.summary import summary

    makers = [
        Maker("good", 0.02, 0.8, 0.0, 0.01),
        Maker("varied", 0.04, 0.8, 0.3, 0.01),
        Maker("beaten", 0.06, 0.8, 0.2, 0.01),
        MAKERS["identity"],
    ]
    run = make_run(tmp_path, methods=makers, inputs=1, samples=2, pictures=False)
    plots = [f for f in figures.build(run, summary(run)) if f.section == "plot"]
    spec = plots[0].spec
    front = spec["datasets"][spec["layer"][0]["data"]["name"]]
    assert [round(point["x"], 2) for point in front] == [0.0, 0.24]
    assert [f.direction for f in plots] == ["summer2winter"] * 2 + ["winter2summer"] * 2


@pytest.mark.slow
def test_figures_and_zip(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a run", inputs=1, samples=2, size=16, methods=("munit", "identity"))
    out = run.path / "report"
    folder = render_figures(run, out)
    stems = {p.stem for p in folder.iterdir()}
    assert {p.name for p in folder.iterdir()} == {
        f"{stem}.{ending}" for stem in stems for ending in ("svg", "png", "pdf")
    }
    assert "plot-summer2winter-quality-and-diversity" in stems
    for file in folder.iterdir():
        start = file.read_bytes()[:8]
        kind = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}[file.suffix]
        assert start.startswith(kind)
    packed = render_zip(run, out)
    assert packed == out / "a-run.zip"
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert all(name.startswith("a-run/") and ".." not in name for name in names)
    for name in ("report/index.html", "tables/summary.csv", "suite.toml", "environment.json"):
        assert f"a-run/{name}" in names
