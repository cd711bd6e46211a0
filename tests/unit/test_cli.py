"""The verbs that need no run: list, plan, doctor, report, translate, interpolate."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench import cli
from bench.data.images import read_image
from bench.execution import forecast
from bench.metrics.files import DREAMSIM_SETUP
from bench.suite.estimate import Range
from bench.suite.probe import Rates
from tests import toys
from tests.factories import make_run
from tests.models import forgotten, write_model


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the command here; gives what it printed, and keeps what it said beside as ``err``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: str | Path, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == code, printed.err
        run.err = printed.err
        return printed.out

    return run


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (
            "methods",
            ["munit", "neural_style", "cyclegan", "bicyclegan", "cut", "fastcut", "identity"],
        ),
        ("datasets", ["yosemite", "seasons", "image_folder"]),
        ("metrics", ["kid", "fid", "lpips_diversity"]),
        ("extractors", ["inception-v3", "efficientnet-lite0", "st-lpips-alex", "lpips-0.0-alex"]),
        ("reports", ["tables", "html"]),
        ("launchers", ["local"]),
    ],
)
def test_list(command: Callable[..., str], what: str, names: list[str]) -> None:
    lines = command("list", what).splitlines()
    listed = {line.split()[0] for line in lines if line.strip()}
    assert set(names) <= listed


def test_list_runs(command: Callable[..., str]) -> None:
    assert "no runs in runs" in command("list", "runs")
    for name in ("first", "second"):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "suite.toml").touch()
    Path("runs/first/DONE").touch()
    lines = command("list", "runs").splitlines()
    assert [line.split()[-1] for line in lines if "runs/" in line] == ["finished", "unfinished"]


@pytest.fixture
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(Range(1e9, 4e9), Range(1e10, 4e10), Range(1e5, 2e5))
    monkeypatch.setattr(forecast, "probe", lambda *_: rates)
    monkeypatch.setattr(forecast._Teller, "start", Range(1.0, 1.0))


@pytest.mark.usefixtures("_no_probe")
def test_plan_says_what_it_renders_before_it_begins(command: Callable[..., str]) -> None:
    small = ("--size", "32", *(f"--set=seasons.{name}=1" for name in ("train", "test")))
    args = ("plan", "-m", "identity", "-d", "seasons", *small, "--device", "cpu")
    assert "rendering" not in command(*args, "--metrics", "ssim")
    told = "rendering 4 landscapes at 32×32, and the truth of 2\n"
    assert command.err == told  # type: ignore[attr-defined]
    command(*args, "--metrics", "ssim")
    assert command.err == ""  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_no_probe")
def test_plan_shows_trials_and_skips(command: Callable[..., str], tmp_path: Path) -> None:
    toys.make_folder(tmp_path / "data", count=2)
    out = command(
        "plan", "-m", "munit,bicyclegan,identity", "-d", "image_folder", "--data-root", "data",
        "--size", "32", "--budget", "9it", "--samples", "3", "--seeds", "0,1", "--device", "cpu",
        "--metrics", "lpips_input",
        *(f"--set=munit.{name}=2" for name in ("gen_dim", "mlp_dim", "dis_dim", "n_res")),
    )  # fmt: skip
    rows = {line.split()[0]: line for line in out.splitlines() if "-s0-" in line or "-s1-" in line}
    assert len(rows) == 6
    munit = next(row for name, row in rows.items() if name.startswith("munit-s0"))
    assert " 9it " in munit and " 12 " in munit and munit.rstrip().endswith(" counted")
    assert "by stage: start " in out and "4 of 4 trials" in out and "no GPU time" in out
    assert "cost:" not in out
    command("plan", "-m", "identity", "-d", "image_folder", "--data-root", "data",
            "--cost", code=2)  # fmt: skip
    assert "--cost needs prices: [rates] cpu_hour" in command.err  # type: ignore[attr-defined]
    bicyclegan = next(row for name, row in rows.items() if name.startswith("bicyclegan-s1"))
    assert "skipped" in bicyclegan and "trains on pairs" in bicyclegan
    assert "a2b: 2 inputs" in out
    assert not Path("runs").exists()


def test_doctor_is_content_here(command: Callable[..., str]) -> None:
    out = command("doctor")
    assert "load and import" in out and "torch" in out
    assert "broken" not in out


def test_doctor_names_what_is_broken(command: Callable[..., str], tmp_path: Path) -> None:
    plugin = tmp_path / "doctor_plugin.py"
    plugin.write_text(
        "from bench.api import MethodSpec, hookimpl\n"
        "@hookimpl\n"
        "def bench_methods():\n"
        "    return [MethodSpec('patient', 's', 'no_such_module:x')]\n",
        "utf-8",
    )
    out = command("doctor", "--plugin", plugin, code=1)
    assert "patient" in out and "no_such_module" in out


def test_what_cannot_be_fetched_says_how_it_is_had(command: Callable[..., str]) -> None:
    # No hash of it is published, so it is not downloaded.
    said = command("weights", "fetch", DREAMSIM_SETUP.name)
    assert f"{DREAMSIM_SETUP.name}: unpack {DREAMSIM_SETUP.url} into" in " ".join(said.split())


def test_report_again(command: Callable[..., str], tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "report", ignore_errors=True)
    command("report", "run", "--reports", "tables")
    assert (tmp_path / "run" / "report" / "summary.csv").is_file()


def _picture(path: Path, height: int, width: int) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_translate_keeps_sizes_and_pixels(command: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    first, second = _picture(folder / "a.png", 21, 34), _picture(folder / "b.png", 40, 17)
    (folder / "notes.txt").write_text("no picture", "utf-8")
    printed = command("translate", folder, "--to", "winter", "-m", "identity", "-o", "out")
    assert printed.split() == ["out/a_0.png", "out/b_0.png"]
    for source, made in ((first, "a_0.png"), (second, "b_0.png")):
        np.testing.assert_array_equal(read_image(tmp_path / "out" / made), read_image(source))


def test_translate_with_the_style_of_a_picture(command: Callable[..., str], tmp_path: Path) -> None:
    picture, style = _picture(tmp_path / "a.png", 20, 24), _picture(tmp_path / "s.png", 30, 18)
    base = ("translate", picture, "--to", "b", "-m", "color_transfer", "--style-from", style)
    command(*base, "-o", "one")
    command(*base, "-o", "two")
    once, twice = (read_image(tmp_path / name / "a_0.png") for name in ("one", "two"))
    assert once.shape == (20, 24, 3)
    np.testing.assert_array_equal(once, twice)


def test_samples_differ_and_synchronized_ones_agree(
    command: Callable[..., str], tmp_path: Path
) -> None:
    pictures = [_picture(tmp_path / f"{name}.png", 16, 16) for name in "ab"]
    base = ("translate", *pictures, "--to", "b", "-m", "noise", "--samples", "2")
    command(*base, "-o", "free")
    command(*base, "-o", "same", "--synchronized")

    def read(folder: str, name: str) -> bytes:
        return read_image(tmp_path / folder / f"{name}.png").tobytes()

    assert len({read("free", name) for name in ("a_0", "a_1", "b_0", "b_1")}) == 4
    assert read("same", "a_0") == read("same", "b_0") != read("same", "a_1")


# ------------------------------------------------------------------- trained models


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    """A plugin that brings models of several sides and datasets."""
    for name, changes in {
        "small": {},
        "large": {"size": 32},
        "largest": {"size": 128},
        "photos": {"training": {"dataset": "yosemite"}, "size": 256},
        "weather": {"domains": ("sun", "rain")},
    }.items():
        plugin = write_model(tmp_path, name=name, **changes)
    with forgotten():
        yield plugin


def test_translate_finds_the_model_that_goes_there(
    command: Callable[..., str], models: Path, tmp_path: Path
) -> None:
    picture = _picture(tmp_path / "a.png", 40, 71)

    def made_by(*more: object) -> str:
        command("translate", picture, *more, "--plugin", models, "-o", "out")
        (line,) = (one for one in command.err.splitlines() if "made by" in one)
        assert "bench weights show" in line
        return line.split()[2].rstrip(":")

    assert made_by("--to", "winter") == "munit@photos"  # photographs first
    assert made_by("--to", "a") == "munit@photos"
    assert made_by("--to", "rain", "-m", "munit") == "munit@weather"
    assert made_by("--to", "winter", "-m", "munit@small") == "munit@small"
    (models.parent / "weights" / "munit-photos.safetensors").unlink()
    # What is here: one answer of the better of two, or what has several.
    assert made_by("--to", "summer") == "cyclegan@yosemite-128"
    assert made_by("--to", "summer", "--samples", "2") == "munit@yosemite-128"
    command("interpolate", picture, "--to", "summer", "--plugin", models, "-o", "out.png")
    assert "made by munit@yosemite-128" in command.err
    command("translate", picture, "--to", "fog", "--plugin", models, code=2)
    assert "goes to 'fog' (there are: rain, summer, sun, winter)" in command.err


def test_translate_at_home_in_the_size_of_the_model(
    command: Callable[..., str], models: Path, tmp_path: Path
) -> None:
    tall, small = _picture(tmp_path / "tall.png", 71, 40), _picture(tmp_path / "small.png", 20, 17)
    base = ("translate", tall, small, "--to", "winter", "-m", "munit@large", "--plugin", models)
    printed = command(*base, "-o", "out", "--samples", "5").split()
    ends = ("_0", "_1", "_2", "_3", "_4", "-sheet")
    assert printed == [f"out/{stem}{end}.png" for stem in ("tall", "small") for end in ends]
    for name, shape in (("tall_2", (57, 32, 3)), ("small_0", (20, 17, 3))):
        assert read_image(tmp_path / "out" / f"{name}.png").shape == shape
    sheet = read_image(tmp_path / "out" / "tall-sheet.png")
    assert sheet.shape == (57 * 2 + 2, 32 * 4 + 6, 3)  # the input, and five in rows of three
    for number, (top, left) in {2: (0, 102), 3: (59, 34), 4: (59, 68)}.items():
        there = sheet[top : top + 57, left : left + 32]
        assert (there == read_image(tmp_path / "out" / f"tall_{number}.png")).all()
    assert (sheet[59:, :32] == 255).all() and (sheet[59:, 102:] == 255).all()
    command(*base, "-o", "whole", "--side", "71")
    assert read_image(tmp_path / "whole" / "tall_0.png").shape == (71, 40, 3)


def test_interpolate_finds_a_model(
    command: Callable[..., str], models: Path, tmp_path: Path
) -> None:
    picture = _picture(tmp_path / "a.png", 30, 40)
    name = "walk\x1b[2J.png"  # which would clear the screen
    said = command("interpolate", picture, "--to", "winter", "-o", name, "--plugin", models)
    assert said == "walk [2J.png\n"
    assert read_image(tmp_path / name).shape == (30, 40 * 9, 3)


def test_scores_in_a_pipe_keep_their_names_whole() -> None:
    from rich.console import Console

    from bench.cli.score import _show

    row = {"label": "a_method_with_a_long_name", "direction": "summer2winter", "n": 238}
    row |= {"metric": "lpips_diversity_munit", "value": 0.25, "low": 0.2, "high": 0.3}
    frame = pd.DataFrame([row | {"subset": "clean", "extractor": "lpips-0.1-squeezenet"}])
    file = io.StringIO()
    _show(Console(file=file, width=60), frame)
    assert list(row.values())[:2] == file.getvalue().splitlines()[1].split()[:2]
    assert "lpips_diversity_munit" in file.getvalue()
    assert "lpips-0.1-squeezenet" in file.getvalue()
