"""A report card of metrics: what is spoilt, what counts as noticed, the file of one command."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.api import A2B, ImageItem, Measurement, MetricSpec
from bench.metrics import report_card as card
from tests import toys
from tests.metrics.scoring import picture


def scored(value, half=0.1, n=8, better=False):
    return Measurement("m", "quality", value, "", better, n, value - half, value + half)


@pytest.mark.parametrize("damage", card.DAMAGES[:4], ids=lambda d: d.name)
def test_each_step_changes_a_picture_more(damage):
    smooth = np.tile(np.linspace(40, 200, 160).astype(np.uint8)[:, None, None], (1, 160, 3))
    whole = [
        picture(np.where(np.arange(160)[None, :, None] % 40 < 20, smooth, 90).astype(np.uint8))
    ]
    apart = []
    for step in damage.steps:
        (spoilt,) = damage.spoil(whole, (), step)
        pixels = spoilt.load()
        assert pixels.shape == (160, 160, 3) and pixels.dtype == np.uint8
        apart.append(np.abs(pixels.astype(float) - whole[0].load()).mean())
    assert all(np.diff(apart) > 0), apart


def test_shares_are_shares():
    real = [picture(np.full((8, 8, 3), i, np.uint8), f"r{i}") for i in range(20)]
    wrong = [picture(np.full((8, 8, 3), 100 + i, np.uint8), f"w{i}") for i in range(7)]
    *_, season, duplicates = card.DAMAGES
    for percent, count in ((10, 2), (25, 5), (50, 10), (100, 20)):
        mixed = season.spoil(real, wrong, percent)
        assert sum(one.load()[0, 0, 0] >= 100 for one in mixed) == count and len(mixed) == 20
    for percent, left in ((25, 15), (50, 10), (90, 2)):
        doubled = duplicates.spoil(real, wrong, percent)
        assert len({one.digest for one in doubled}) == left and len(doubled) == 20


def test_what_counts_as_noticed():
    clean = scored(1.0)
    assert card.change(scored(1.3), clean) == 1 and card.change(scored(0.7), clean) == -1
    assert card.change(scored(1.15), clean) == 0
    assert card.change(scored(0.7, better=True), scored(1.0, better=True)) == 1
    steps = (1, 2, 3, 4)

    def judged(*values, fewer=()):
        return card.Noticed.of(steps, [scored(v) for v in values], clean, fewer)

    assert str(judged(1.0, 1.1, 1.3, 1.5)) == "3 (n 8)"
    # Noticed once and not again is not noticed from there on.
    assert str(judged(1.3, 1.1, 1.3, 1.25)) == "3 (n 8) ~"
    assert str(judged(1.3, 1.4, 1.5, 1.1)) == "–"
    assert str(judged(0.7, 1.4, 1.5, 1.6)) == "**likes it**"
    small = [(scored(1.1, n=2), clean), (scored(1.5, n=4), clean)]
    assert str(judged(1.0, 1.3, 1.4, 1.5, fewer=small)) == "2 (n 4)"


class Shades:
    """Dark and light pictures; two training pictures are test pictures, too."""

    domains = ("dark", "light")
    paired = False

    def split(self, split, domain):
        def item(index):
            rng = np.random.default_rng([split == "test", domain == "b", index])
            pixels = (rng.integers(0, 80, (40, 40, 3)) + 120 * (domain == "b")).astype(np.uint8)
            return ImageItem(f"{split}{index}", picture(pixels).digest, render=lambda: pixels)

        mine = [item(index) for index in range(8 if split == "test" else 30)]
        return mine if split == "test" else [*mine, *self.split("test", domain)[:2]]


def test_sets_share_no_picture():
    data, sources = card.material(Shades(), A2B, 32, None)
    sets = [data.pictures(w) for w in ("outputs", "reference", "reference_train", "source_train")]
    digests = [one.digest for part in (*sets, sources) for one in part]
    assert len(set(digests)) == len(digests)
    assert [len(part) for part in sets] == [8, 8, 22, 30] and data.side == 32


def test_too_few_pictures_are_one_line(tmp_path):
    toys.make_folder(tmp_path / "data", count=3)
    done = toys.bench(
        *("metrics", "audit", "--dataset", "image_folder", "--data-root", "data", "--size", "32"),
        *("--out", "card.md"),
        cwd=tmp_path,
    )
    assert done.returncode == 2 and "a report card needs 8 test pictures" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "card.md").exists()


def brightness(data, names):
    """Each metric is the mean of all outputs; lower is better, with an interval of one level."""
    values = [picture.load().mean() for picture in data.pictures("outputs")]
    mean = float(np.mean(values))
    for name in names:
        yield replace(scored(mean, 1.0, len(values)), metric=name)
    for scale in ("", "_32"):
        yield replace(scored(0.9), metric=f"classifier{scale}_auc")


def test_the_card_says_what_the_numbers_say():
    names = [f"{name}{scale}" for name in ("kid", "target_rate") for scale in ("", "_32")]

    def score(data, asked):
        return brightness(data, [name for name in asked if name in [*names, "bright"]])

    made = card.report_card(
        Shades(),
        A2B,
        title="shades",
        size=32,
        limit=None,
        metrics=[MetricSpec("bright", "", "x:y", "quality"), MetricSpec("no", "", "x:y", "truth")],
        score=score,
        translations={"white": lambda sources, targets: [np.full_like(p, 255) for p in sources]},
        progress=[].append,
    )
    lines = made.markdown().splitlines()
    assert "8 real pictures beside 8 others, 32 px; the judge has seen 30 and 22 more." in lines
    # Dark pictures mixed in lower the number, which this metric takes for better.
    assert "| wrong season (10, 25, 50, 100 %) | **likes it** |" in lines
    assert "| crop (95, 90, 75, 50 %) | – |" in lines
    mean = next(brightness(made.data, ["bright"])).value
    assert f"| untouched | {mean:.4g} |" in lines
    assert next(line for line in lines if line.startswith("| wrong season 100 %")).endswith("* |")
    dark, white, real, coded, judge = lines[-5:]
    assert dark.startswith("| untouched dark pictures | 39.") and "(39." in dark
    assert white == "| white of them | 255.0000 (255.00) | 255.0000 (255.00) |"
    assert real.startswith(f"| other light pictures | {mean:.4f} ")
    assert coded.startswith("| other light pictures, JPEG q75 | ") and f" {mean:.4f} " not in coded
    assert judge == "| the judge's AUC | 0.90 | 0.90 |"


@pytest.mark.slow
def test_one_command_writes_the_file(tmp_path):
    toys.make_folder(tmp_path / "data", count=8, size=64, parts={"trainA": 16, "trainB": 24})
    done = toys.bench(
        *("metrics", "audit", "--dataset", "image_folder", "--data-root", "data", "--size", "64"),
        *("--metrics", "kid,kid_32,duplicates,spread,lpips_diversity", "--out", "card.md"),
        cwd=tmp_path,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "card.md").read_text("utf-8")
    command = " ".join(text.partition("Written by")[2].replace("\\\n", " ").split())
    assert command.startswith(
        "bench metrics audit --dataset image_folder --direction a2b --size 64 "
    )
    # No better side, or not measurable: no column.
    assert text.count("| damage | kid | kid_32 | duplicates |\n") == 2
    (row,) = [line for line in text.splitlines() if line.startswith("| duplicates (25, 50")]
    assert "(n " in row.split("|")[4]
    lines = [line for line in text.split("by scale\n")[1].splitlines() if line[:2] == "| "]
    assert [line.split(" |")[0] for line in lines[2:]] == [
        "| untouched a pictures",
        "| color_transfer of them",
        "| other b pictures",
        "| other b pictures, JPEG q75",
        "| the judge's AUC",
    ]
