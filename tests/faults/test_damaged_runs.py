"""A damaged run folder is one line and exit code 2, or what can still be shown is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench import cli
from bench.api import BenchError
from bench.cli import app
from bench.storage.tables import SCHEMAS, SINCE, VERSION, read_run, write_table
from tests.factories import make_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run as 0.1 left it; nobody may change it."""
    path = tmp_path_factory.mktemp("whole") / "run"
    make_run(path, inputs=2, samples=2, failures=False, points=(10,))
    return path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run the command's own entry point; gives its exit code and what it said of an error."""

    def run(*args: str | Path) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        err = capsys.readouterr().err
        assert "Traceback" not in err
        return int(ended.value.code or 0), err

    return run


NO_OBJECT = [b"", b"{", b"null", b"[]", b"7", b'"text"', b"\xff\xfe\x00"]

DAMAGED = [
    *(("suite.toml", content) for content in (b"methods = [", b"\xff\xfe\x00", b"seeds = 5\n")),
    *(("environment.json", content) for content in NO_OBJECT),
    ("environment.json", b'{"schema_version": "two"}'),
    ("environment.json", b'{"baselines": 5}'),
    ("environment.json", b'{"hardware_of": []}'),
    *(("declared.json", content) for content in NO_OBJECT),
    ("declared.json", b'{"columns": {"kid": {"title": "KID"}}}'),
    *((f"tables/{name}.parquet", content) for name in SCHEMAS for content in (b"", b"PAR1 no")),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED, ids=lambda value: repr(value)[:40])
def test_what_is_needed_and_damaged_is_one_line(
    run: Path, whole: Path, command: Callable[..., tuple[int, str]], name: str, content: bytes
) -> None:
    (run / name).write_bytes(content)
    for args in (("report", run, "--reports", "tables"), ("compare", whole, run)):
        code, said = command(*args)
        assert code == 2 and len(said.splitlines()) == 1, said
        assert Path(name).name in said and "damaged" in said


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_with_other_columns_is_one_line(
    run: Path, command: Callable[..., tuple[int, str]], name: str
) -> None:
    file = run / "tables" / f"{name}.parquet"
    frame = pd.read_parquet(file)
    frame.drop(columns="label").to_parquet(file)
    code, said = command("report", run, "--reports", "tables")
    assert code == 2 and f"{name}.parquet is damaged (it has no column label)" in said
    frame.assign(seed="a word").to_parquet(file)
    code, said = command("report", run, "--reports", "tables")
    assert code == 2 and f"{name}.parquet is damaged" in said and len(said.splitlines()) == 1
    # One too many harms nobody.
    frame.assign(more=1).to_parquet(file)
    assert list(getattr(read_run(run), name).columns) == list(SCHEMAS[name])


ODD_LOSSES = [
    b'{"iteration": 1, "losses": {"l1": 0.5}}\n{"iteration": 2, "los',
    b'[1]\nnull\n7\n{"iteration": 1, "losses": {"l1": 0.5}}\n',
    b'{"iteration": 1, "losses": {"l1": 0.5}}\n\xff\xfe\x00\n',
    b'{"iteration": "x", "losses": {"l1": 1}}\n{"iteration": 1, "losses": {"l1": 0.5, "l2": "y"}}',
    b'{"losses": {"l1": 1}}\n{"iteration": 3}\n{"iteration": 1, "losses": {"l1": 0.5}}\n',
    b'{"iteration": 1, "losses": {"l1": 0.5, "l2": 1' + b"0" * 400 + b"}}\n",
]


@pytest.mark.parametrize("content", ODD_LOSSES)
def test_an_odd_curve_blocks_nothing(
    run: Path, command: Callable[..., tuple[int, str]], content: bytes
) -> None:
    file = next(run.glob("trials/*/losses.jsonl"))
    file.write_bytes(content)
    losses = read_run(run).losses
    kept = losses[losses["trial"] == file.parent.name]
    assert [tuple(row)[1:] for row in kept.itertuples(index=False)] == [(1, "l1", 0.5)]
    code, said = command("report", run, "--reports", "tables")
    assert code == 0, said


def test_a_newer_run_is_refused_in_one_line(
    run: Path, whole: Path, command: Callable[..., tuple[int, str]]
) -> None:
    file = run / "environment.json"
    environment = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(environment | {"schema_version": VERSION + 1}), "utf-8")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for args in (
        ("report", run),
        ("compare", whole, run),
        ("replay", run),
        ("run", "--resume", "--out", run, "-m", "identity"),
    ):
        code, said = command(*args)
        assert code == 2 and len(said.splitlines()) == 1, said
        assert f"schema {VERSION + 1}" in said and "upgrade" in said
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_of_the_first_version_is_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path / "old", methods=("munit",), inputs=2, samples=1, version=1).path
    later = {column for columns in SINCE.values() for column in columns}
    assert not later & set(pd.read_parquet(run / "tables" / "trials.parquet").columns)
    view = read_run(run)
    assert view.trials["size"].isna().all()
    assert list(view.trials.columns) == list(SCHEMAS["trials"])
    assert view.suite["datasets"] == ["yosemite"] and "dataset" not in view.suite
    assert view.declared.columns["latency"].unit == "s" and "identity" in view.declared.anchors
    assert view.comparisons.empty
    # A run of today that lacks it is not whole.
    file = run / "environment.json"
    environment = json.loads(file.read_text("utf-8")) | {"schema_version": VERSION}
    file.write_text(json.dumps(environment), "utf-8")
    with pytest.raises(BenchError, match="it has no column"):
        read_run(run)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{", b"[1]\n", b"{}\n"])
def test_replay_of_a_damaged_plan_is_one_line(
    run: Path, command: Callable[..., tuple[int, str]], content: bytes
) -> None:
    (run / "plan.jsonl").write_bytes(content)
    code, said = command("replay", run)
    assert code == 2 and "plan.jsonl is damaged" in said and len(said.splitlines()) == 1


RECORDS = [
    b"[1]",
    b"{",
    b"null",
    b'{"a2b": {}}',
    b'{"a2b": {"code": "", "metrics": [], "networks": {}, "pictures": {}}}',
    b'{"a2b": {"code": "", "metrics": 7, "networks": {}, "pictures": {}}}',
]


@pytest.mark.parametrize("content", RECORDS)
def test_replay_of_a_damaged_record_is_one_line(
    run: Path, command: Callable[..., tuple[int, str]], content: bytes
) -> None:
    trial = read_run(run).trials["trial"].iloc[0]
    part = {"name": "munit", "label": "munit", "config": {}}
    data = {
        "name": "seasons", "label": "seasons", "config": {}, "fingerprint": "f",
        "directions": ["a2b"], "size": 32,
    }  # fmt: skip
    machine = {
        "device": "cpu", "precision": "fp32", "weights_dir": None, "offline": True, "plugins": [],
        "cache": "/c",
    }  # fmt: skip
    job = {
        "trial": trial, "seed": 0, "fit_key": "k", "method": part, "dataset": data, "scoring": {},
        "machine": machine,
    }  # fmt: skip
    (run / "plan.jsonl").write_text(json.dumps(job) + "\n", "utf-8")
    (run / "trials" / trial / "scored.json").write_bytes(content)
    code, said = command("replay", run)
    assert code == 2 and "scored.json is missing or damaged" in said
    assert len(said.splitlines()) == 1


def test_an_escape_in_a_table_steers_no_terminal(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", inputs=1, samples=1, pictures=False, failures=False)
    for name in ("trials", "measurements", "samples", "timings"):
        rows = getattr(run, name).copy()
        rows.loc[rows["label"] == "munit", "label"] = "mu\x1b[31mnit\x07"
        write_table(run.path, name, rows)
    done = CliRunner().invoke(app, ["report", str(run.path)])
    assert done.exit_code == 0, done.output
    for file in ("index.html", "summary.csv", "measurements.csv"):
        text = (run.path / "report" / file).read_text("utf-8")
        assert "\x1b" not in text and "\x07" not in text and "[31mnit" in text
