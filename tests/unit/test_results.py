"""A run from Python: the same from ``run`` and ``open``, with plots and a face in a notebook."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

import bench
from bench.analysis.results import Results
from bench.api import BenchError, Context
from bench.data.translations import Translations
from bench.plugins import load_plugins, make_config, resolve
from bench.storage.weights import domains_in
from tests import toys
from tests.contract.test_contracts import TINY
from tests.factories import make_run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    make_run(folder, points=(10, 20))
    return folder


@pytest.fixture(scope="module")
def results(path: Path) -> Results:
    return bench.open(path)


def test_tables_and_verdict(results: Results, path: Path) -> None:
    for name in ("measurements", "comparisons", "checks"):
        assert isinstance(getattr(results, name), pd.DataFrame) and len(getattr(results, name))
    assert results.verdict in ("valid", "remarks", "invalid")
    assert list(results.summary()["label"].unique()) == list(results.trials["label"].unique())
    assert bench.open(str(path)).path == path


PLOTS = {
    "tradeoff": lambda r: r.plot_tradeoff(direction="winter2summer"),
    "intervals": lambda r: r.plot_intervals("kid"),
    "curves": lambda r: r.plot_curves(over="hours"),
    "curves of one metric": lambda r: r.plot_curves("kid"),
    "losses": lambda r: r.plot_losses("munit"),
    "sheet": lambda r: r.plot_sheet(inputs=2, samples=2, anchors=True),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_saved_as_what_their_name_ends_in(
    name: str, results: Results, tmp_path: Path
) -> None:
    plot = PLOTS[name](results)
    assert plot._repr_svg_().startswith("<svg")
    for ending, begins in (("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG")):
        assert plot.save(tmp_path / f"x.{ending}").read_bytes().startswith(begins)
    with Image.open(tmp_path / "x.png") as picture:
        assert len(picture.convert("L").getcolors(256) or ()) > 8  # something is drawn
    with pytest.raises(BenchError, match=r"as \.png, \.pdf or \.svg"):
        plot.save(tmp_path / "x.gif")


def test_what_is_plotted_is_what_was_asked_for(results: Results) -> None:
    assert results.plot_intervals("fid").svg != results.plot_intervals("kid").svg
    one, other = (results.plot_intervals(direction=d).svg for d in ("a2b", "b2a"))
    assert one != other and one == results.plot_intervals(direction="summer2winter").svg
    assert "munit" in one


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda r: r.plot_intervals("kit"), "metric 'kit' is unknown, did you mean 'kid'"),
        (lambda r: r.plot_tradeoff("kid"), "of which more is better"),
        (lambda r: r.plot_sheet(direction="summer2spring"), "unknown"),
        (lambda r: r.plot_losses("identity"), "training 'identity' is unknown"),
        (lambda r: r.images("munit", "nowhere"), "input 'nowhere' is unknown"),
        (lambda r: r.images("munot", r.samples["input_id"][0]), "did you mean 'munit'"),
    ],
)
def test_mistakes_are_one_line(ask: object, said: str, results: Results) -> None:
    with pytest.raises(BenchError, match=said):
        ask(results)  # type: ignore[operator]


def test_pictures_are_those_of_the_run(results: Results) -> None:
    rows = results.samples[results.samples["label"] == "munit"].drop_duplicates("path")
    row = rows.iloc[0]
    made = results.images("munit", row["input_id"], direction=row["direction"])
    count = rows[(rows["input_id"] == row["input_id"]) & (rows["direction"] == row["direction"])]
    assert made.shape[:2] == (1, len(count))
    with Image.open(results.path / row["path"]) as picture:
        assert made.mul(255).round()[0, row["sample"], :, 0, 0].tolist() == [
            *map(float, picture.convert("RGB").getpixel((0, 0)))
        ]
    assert results.images("input", row["input_id"]).shape[1] == 1


def test_a_notebook_shows_results_and_translations(tmp_path: Path) -> None:
    hostile = Results.of(make_run(tmp_path / "run", hostile=True, pictures=False))
    page = hostile._repr_html_()
    assert repr(hostile).startswith("<run ") and len(repr(hostile)) < 300
    assert "KID" in page and "<script>" not in page
    images = Translations.of(torch.rand(2, 3, 3, 8, 8))
    assert images._repr_html_().count("data:image/png") == 6
    assert "2 inputs × 3 outputs" in images._repr_html_()
    assert images._repr_html_().count('width="128" alt="input 2, output') == 3
    assert type(images * 2) is torch.Tensor and type(images[0]) is torch.Tensor
    paths = images.save(tmp_path / "out", ["a", "b"])
    assert [path.name for path in paths] == [f"{n}-{k}.png" for n in "ab" for k in range(3)]
    assert all(path.is_file() for path in paths)


def test_a_run_from_python_says_how_far_it_is_and_gives_what_open_gives(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toys.make_folder(tmp_path / "data", count=4)
    suite = {
        "methods": ["toy"],
        "dataset": {"name": "image_folder", "root": str(tmp_path / "data")},
        "plugins": [str(toys.write_toy(tmp_path))],
        "metrics": ["brightness"],
        "size": 32,
        "budget": "5it",
        "device": "cpu",
        "offline": True,
    }
    results = bench.run(suite, out=tmp_path / "run", reports=())
    said = capfd.readouterr().err
    assert "1 trials into" in said and "toy fit" in said and "ok" in said
    again = bench.open(tmp_path / "run")
    assert type(results) is type(again) is Results
    pd.testing.assert_frame_equal(results.measurements, again.measurements)
    assert results.verdict == again.verdict
    bench.run(suite, out=tmp_path / "quiet", reports=(), quiet=True)
    assert capfd.readouterr().err == ""
    # What was trained knows between which domains it goes.
    (weights,) = (tmp_path / "run").glob("trials/*/checkpoints/weights.safetensors")
    assert domains_in(weights) == ("a", "b")


def test_weights_of_a_run_know_their_domains(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    spec = load_plugins().method("munit")
    config = make_config("method", "munit", spec.config, TINY["munit"])
    method = resolve(spec.implementation)(config, Context(torch.device("cpu")))
    state = {k: t.contiguous() for k, t in method.state_dict().items()}
    file = tmp_path / "weights.safetensors"
    save_file(state, file, {"domains": json.dumps(["fog", "sun"])})
    assert bench.load("munit", weights=file, device="cpu").domains == ("fog", "sun")
    given = bench.load("munit", weights=file, device="cpu", domains=("x", "y"))
    assert given.domains == ("x", "y")


def test_there_is_one_set_of_defaults() -> None:
    score, load = (inspect.signature(call).parameters for call in (bench.score, bench.load))
    for name in ("device", "offline", "weights_dir"):
        assert score[name].default == load[name].default
    from bench.suite.schema import make_suite

    suite = make_suite({"preset": "demo"})
    assert (suite.device, suite.offline, suite.weights_dir) == ("auto", False, None)
