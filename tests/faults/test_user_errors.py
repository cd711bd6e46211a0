"""A user's mistake is one line on standard error and exit code 2; nothing is half-written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import cli
from bench.storage.locks import locked
from tests import toys

RUN = ("run", "--out", "run", "-d", "image_folder")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Run the command's own entry point here (a process each would take minutes)."""
    monkeypatch.chdir(tmp_path)

    def refused(*args: str | Path) -> str:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        err = capsys.readouterr().err
        assert ended.value.code == 2, err
        lines = err.splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("bench: ")
        assert len(lines[0]) > 20
        return lines[0]

    yield refused


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return toys.make_folder(tmp_path / "data", count=1)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["-m", "identiti"], ["method 'identiti' is unknown", "did you mean 'identity'?"]),
        (["-m", ""], ["methods", "name one at least"]),
        (["-m", "identity,identity"], ["named twice", "label"]),
        (["--budget", "10 parsecs"], ["budget", "'10 parsecs'", "5000it"]),
        (["--budget", "0it"], ["greater than 0"]),
        (["--budget", "1.5it"], ["whole numbers"]),
        (["--directions", "a2c"], ["direction 'a2c' is unknown", "a2b, b2a"]),
        (["--directions", "a2b,a2b"], ["direction", "twice"]),
        (["--device", "gpu"], ["device", "'gpu'"]),
        (["--device", "cuda:99"], ["cuda:99", "CUDA devices"]),
        (["--precision", "fp8"], ["precision", "fp8"]),
        (["--preset", "fast"], ["preset 'fast' is unknown", "demo, quick, paper"]),
        (["--size", "8"], ["size", "16"]),
        (["--samples", "0"], ["samples"]),
        (["--seeds", "1,x"], ["--seeds '1,x'", "whole numbers"]),
        (["--seeds", "1,1"], ["seed is named twice"]),
        (["--seeds=-1"], ["seeds"]),
        (["--workers", "0"], ["workers"]),
        (["--timeout", "0"], ["timeout"]),
        (["--test-limit", "0"], ["test_limit"]),
        (["--metrics", "kidd"], ["metric 'kidd' is unknown", "did you mean 'kid'?"]),
        (["--launcher", "locl"], ["launcher 'locl' is unknown"]),
        (["--reports", "htm"], ["report 'htm' is unknown"]),
        (["--set", "identity"], ["NAME.KEY=VALUE"]),
        (["--set", "identty.x=1"], ["'identty' is unknown", "did you mean 'identity'?", "dataset"]),
        (["-m", "munit", "--set", "munit.gen_dimm=8"], ["gen_dimm", "did you mean 'gen_dim'?"]),
        (["-m", "munit", "--set", "munit.gen_dim=many"], ["gen_dim", "'many'"]),
        (["-m", "munit", "--set", "munit.devices=2"], ["option 'devices' is unknown"]),
        (["--set", "kidd.x=1"], ["'kidd' is unknown", "did you mean 'kid'?"]),
        (["--set", "kid.x=1"], ["metric kid", "option 'x' is unknown"]),
        (["--set", "html.x=1"], ["report html", "option 'x' is unknown"]),
        (["--set", "local.grase=1"], ["launcher local", "did you mean 'grace'?"]),
        (["--set", "local.grace=-1"], ["launcher local", "grace"]),
        (["-d", "image_folder,seasons"], ["--data-root", "several datasets", "NAME=FOLDER"]),
        (["-d", "image_folder,image_folder"], ["image_folder is named twice"]),
        (["--weights-dir", "nowhere"], ["nowhere", "not a folder"]),
        (["--plugin", "nowhere.py"], ["nowhere.py", "does not exist"]),
        (["-m", "outputs"], ["needs the folder", "outputs:FOLDER"]),
        (["-m", "outputs:nowhere"], ["nowhere is not a folder"]),
        (["-m", "outputs:data"], ["data has no folders a2b and b2a", "--directions"]),
        (["-m", "identity:data"], ["identity works on no folder"]),
        (["-m", "outputs:x=data,outputs:x=data"], ["named twice", "label"]),
    ],
    ids=lambda value: " ".join(value) if value and str(value[0]).startswith("-") else "",
)
def test_wrong_option(
    command: Callable[..., str], data: Path, args: list[str], says: list[str]
) -> None:
    methods = [] if "-m" in args else ["-m", "identity"]
    line = command(*RUN, "--data-root", data, *methods, *args)
    for text in says:
        assert text in line
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("methds = ['identity']", ["methds", "did you mean 'methods'?"]),
        ("methods = ['identity'\n", ["suite.toml is not valid TOML"]),
        ("methods = 'identity'", ["methods"]),
        ("dataset = 'seasons'\ndatasets = ['seasons']", ["either dataset or datasets"]),
        ("datasets = 5", ["datasets"]),
        ("datasets = ['seasons', 'seasons']", ["seasons is named twice"]),
        ("dataset = 'seasons'\n[launchers.loca]\nx = 1", ["'loca'", "did you mean 'local'?"]),
        ("dataset = 'seasons'\n[launchers.local]\nx = 1", ["launcher local", "'x' is unknown"]),
        ("dataset = 'seasons'\n[reports.html]\nx = 1", ["report html", "'x' is unknown"]),
        ("dataset = 'seasons'\n[metric_options.kid]\nx = 1", ["metric kid", "'x' is unknown"]),
        ("dataset = 'seasons'\n[extractors.nothing]\nx = 1", ["extractor 'nothing'"]),
        ("dataset = 'seasons'\nlaunchers = 7", ["launchers"]),
        ("preset = ['demo']", ["preset"]),
        ("dataset = 5", ["dataset"]),
        ("[dataset]\nroot = 'x'", ["dataset.name"]),
        ("[dataset]\nname = 'image_folder'\nrot = 'x'", ["dataset", "rot"]),
        ("[[methods]]\nname = 'identity'\nbudgett = '9it'", ["budgett"]),
        # Written for a version that trained on several devices.
        ("[[methods]]\nname = 'munit'\nconfig = {devices = 1}", ["option 'devices' is unknown"]),
        ("seeds = [0.5]", ["seeds"]),
        ("size = 'big'", ["size", "'big'"]),
        ("seeds = [99999999999999999999]", ["seeds"]),
        ("plugins = [1]", ["plugins"]),
        ("[[methods]]\nname = 'munit'\nweights = 'no.pt'", ["no.pt", "do not exist"]),
        ("[[methods]]\nname = 'identity'\nweights = 'suite.toml'", ["takes no trained weights"]),
    ],
)
def test_wrong_suite_file(command: Callable[..., str], toml: str, says: list[str]) -> None:
    Path("suite.toml").write_text(toml, "utf-8")
    line = command("run", "suite.toml", "--out", "run", "--data-root", "data")
    for text in says:
        assert text in line
    assert not Path("run").exists()


def test_suite_file_that_is_not_there_or_not_text(command: Callable[..., str]) -> None:
    assert "nosuite.toml does not exist" in command("run", "nosuite.toml", "--out", "run")
    Path("bin.toml").write_bytes(b"\xff\xfe\x00")
    assert "bin.toml cannot be read" in command("run", "bin.toml", "--out", "run")
    Path("folder.toml").mkdir()
    assert "folder.toml cannot be read" in command("run", "folder.toml", "--out", "run")
    assert not Path("run").exists()


def test_missing_folder(command: Callable[..., str]) -> None:
    line = command(*RUN, "-m", "identity", "--data-root", "nowhere")
    assert "nowhere does not exist" in line and "trainA" in line
    assert not Path("run").exists()


def test_empty_split(command: Callable[..., str], tmp_path: Path) -> None:
    toys.make_folder(tmp_path / "data", count=1, parts={"testB": 0})
    line = command(*RUN, "-m", "identity", "--data-root", "data")
    assert "testB holds no images" in line
    assert not Path("run").exists()


def test_empty_split_of_a_dataset_plugin(command: Callable[..., str], tmp_path: Path) -> None:
    plugin = tmp_path / "void_plugin.py"
    plugin.write_text(
        "from bench.api import DatasetSpec, hookimpl\n"
        "class Void:\n"
        "    domains, paired = ('x', 'y'), False\n"
        "    def __init__(self, config): pass\n"
        "    def prepare(self, cache, *, offline, progress): pass\n"
        "    def split(self, split, domain): return []\n"
        "    def fingerprint(self): return 'f'\n"
        "    def truth(self, item, direction): return ()\n"
        "@hookimpl\n"
        "def bench_datasets():\n"
        "    return [DatasetSpec('void', 'nothing', 'void_plugin:Void')]\n",
        "utf-8",
    )
    line = command("run", "--out", "run", "-m", "identity", "-d", "void", "--plugin", plugin)
    assert "dataset void has no train images of x" in line
    assert not Path("run").exists()


def test_text_file_called_jpg(command: Callable[..., str], data: Path) -> None:
    (data / "trainB" / "notes.jpg").write_text("hello", "utf-8")
    line = command(*RUN, "-m", "identity", "--data-root", data)
    assert "notes.jpg" in line and "not an image" in line
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        (
            "from bench.api import hookimpl\n@hookimpl\ndef bench_methods():\n    return [1 / 0]\n",
            "ZeroDivisionError",
        ),
    ],
)
def test_plugin_file_that_cannot_be_loaded(
    command: Callable[..., str], tmp_path: Path, source: str, reason: str
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(source, "utf-8")
    line = command("run", "--plugin", plugin, "--out", "run")
    assert reason in line and "mine.py" in line
    assert not Path("run").exists()


def test_root_for_a_dataset_without_folder(command: Callable[..., str], data: Path) -> None:
    line = command("run", "--out", "run", "-d", "seasons", "--data-root", data, "-m", "identity")
    assert "seasons" in line
    assert not Path("run").exists()


def test_out_that_cannot_be_used(command: Callable[..., str], data: Path) -> None:
    base = ("run", "-m", "identity", "-d", "image_folder", "--data-root", data, "--out")
    Path("file").write_text("mine", "utf-8")
    assert "file is a file" in command(*base, "file")
    assert "cannot write to" in command(*base, "file/below")
    assert "name too long" in command(*base, "x" * 300)
    assert "name too long" in command(*base, "x" * 300, "--resume")
    assert Path("file").read_text("utf-8") == "mine"

    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("mine", "utf-8")
    assert "not empty and no run" in command(*base, "thesis")
    assert "not empty and no run" in command(*base, "thesis", "--resume")
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter.tex"]

    Path("old").mkdir()
    Path("old/suite.toml").write_text("size = 64\n", "utf-8")
    assert "holds a run already" in command(*base, "old")
    with locked(Path("old"), wait=False):
        assert "in use by another bench run" in command(*base, "old", "--resume")


def test_cache_that_cannot_be_used(
    command: Callable[..., str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("cachefile").write_text("mine", "utf-8")
    monkeypatch.setenv("BENCH_CACHE", "cachefile")
    line = command(*RUN, "-m", "identity", "--data-root", data)
    assert "cachefile" in line and "BENCH_CACHE" in line and "--out" not in line
    assert not Path("run").exists()


def test_nothing_to_resume(command: Callable[..., str]) -> None:
    assert "nothing to resume" in command("run", "--resume")
    assert "nothing to resume: gone" in command("run", "--resume", "--out", "gone")
    assert not Path("gone").exists() and not Path("runs").exists()


def test_an_emptied_suite_is_not_taken_for_the_demo(command: Callable[..., str]) -> None:
    Path("run").mkdir()
    Path("run/suite.toml").touch()
    line = command("run", "--resume", "--out", "run")
    assert "run/suite.toml is damaged (it is empty)" in line
    assert [path.name for path in Path("run").iterdir()] == ["suite.toml"]


def test_report_of_what_is_no_run(command: Callable[..., str]) -> None:
    Path("run").mkdir()
    assert "is not a run folder" in command("report", "run")
    Path("run/suite.toml").write_text("", "utf-8")
    assert "trials.parquet is missing" in command("report", "run")
    Path("run/tables").mkdir()
    Path("run/tables/trials.parquet").write_bytes(b"PAR1 nonsense")
    assert "trials.parquet is damaged" in command("report", "run")


def test_translate_errors(command: Callable[..., str], data: Path) -> None:
    picture = data / "testA" / "p0.png"
    base = ("translate", picture, "--to", "winter", "-o", "out", "-m")
    assert "no trained model of munit goes to 'spring'" in command(
        "translate", picture, "--to", "spring", "-m", "munit"
    )
    assert "no.pt does not exist" in command(*base, "munit", "--weights", "no.pt")
    assert "takes no trained weights" in command(*base, "identity", "--weights", picture)
    assert "style_from" in command(*base, "color_transfer")
    assert "--to 'spring' is unknown" in command(
        "translate", picture, "--to", "spring", "-m", "identity"
    )
    assert "gone.png does not exist" in command("translate", "gone.png", "--to", "b")
    Path("text.png").write_text("no picture", "utf-8")
    assert "text.png cannot be decoded" in command(
        "translate", "text.png", "--to", "b", "-m", "identity", "-o", "out"
    )
    assert "two inputs are called p0" in command(
        "translate", picture, data / "testB" / "p0.png", "--to", "b", "-m", "identity"
    )
    assert "list.pt" in command(*base, "munit", "--weights", _list_file())
    assert not list(Path().glob("out/*"))
    taken = Path("list.pt") / "walk.gif"
    assert "cannot write to list.pt" in command("interpolate", picture, "--to", "b", "-o", taken)


def test_explain_and_score_refuse_before_they_work(command: Callable[..., str], data: Path) -> None:
    picture = data / "testA" / "p0.png"
    named = ("explain", "neural_style", "--content", picture, "--style", picture, "--out", "x")
    assert "--iterations 0: give 1 at least" in command(*named, "--iterations", "0")
    scored = ("score", data / "testA", "--reference", data / "testB", "--csv", data)
    assert "is a folder: name a file" in command(*scored)


def test_score_refuses_what_it_would_pass_over(command: Callable[..., str], data: Path) -> None:
    made, real = data / "testA", data / "testB"
    base = ("score", made, "--reference", real)
    assert "--size belongs to --dataset" in command(*base, "--size", "64")
    assert "--allow-missing belongs to --dataset" in command(*base, "--allow-missing")
    line = command("score", made, "-d", "image_folder", "--data-root", data, "--inputs", made)
    assert "--inputs belongs to --reference" in line
    Path("file").write_text("", "utf-8")
    assert "--csv" in command(*base, "--csv", "file/table.csv")
    Path("empty").mkdir()
    assert "no images in empty" in command("score", "empty", "--reference", real)


@pytest.mark.parametrize("name", ["munit", "cyclegan", "bicyclegan", "cut"])
def test_a_wrong_option_beside_weights(
    command: Callable[..., str], data: Path, name: str, tmp_path: Path
) -> None:
    """The weights bring a configuration of their own; what is said beside them is checked too."""
    import torch
    from safetensors.torch import save_file

    from bench.api import Context
    from bench.plugins import load_plugins, resolve
    from tests.contract.test_contracts import TINY

    spec = load_plugins().method(name)
    config = spec.config(**TINY[name])
    model = resolve(spec.implementation)(config, Context(torch.device("cpu")))
    save_file(dict(model.state_dict()), tmp_path / "w.safetensors")
    base = ("translate", data / "testA" / "p0.png", "--to", "b", "-m", name, "--weights")
    line = command(*base, "w.safetensors", "--set", "wings=2")
    assert f"method {name}: option 'wings' is unknown" in line
    line = command(*base, "w.safetensors", "--set", "lr=-1")
    assert f"method {name}: lr: " in line


def _list_file() -> Path:
    import torch

    torch.save([1, 2], "list.pt")
    return Path("list.pt")


def test_a_full_disk_is_one_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device", "tables/trials.parquet")

    monkeypatch.setattr("bench.execution.runner.execute", full)
    monkeypatch.setattr("sys.argv", ["bench", *RUN, "-m", "identity", "--data-root", str(data)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == ("bench: No space left on device: tables/trials.parquet\n")


def test_every_verb_has_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    runner = CliRunner()
    top = runner.invoke(cli.app, ["--help"])
    assert top.exit_code == 0
    verbs = re.findall(r"^│ ([a-z]+) {2,}", top.stdout, re.MULTILINE)
    assert {"run", "plan", "list", "report", "doctor", "translate", "interpolate"} <= set(verbs)
    for verb in verbs:
        assert runner.invoke(cli.app, [verb, "--help"]).exit_code == 0
