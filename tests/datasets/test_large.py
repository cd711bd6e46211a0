"""Many pictures: hashed once, decoded once, compared without a matrix of all pairs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import BenchError, ImageItem
from bench.data import decoded, hashing
from bench.data.decoded import decode
from bench.data.folder import load_folder
from bench.data.images import load_tensor
from bench.data.verbs import verify
from bench.metrics import audit, context, fid
from bench.metrics.audit import alike
from bench.metrics.declared.extractors import EXTRACTORS
from bench.metrics.networks import Networks
from bench.metrics.plugin import METRICS
from bench.storage.store import Store
from bench.storage.upkeep import push, usage
from bench.testing.metrics import toy_scoring_data
from bench_image_folder.config import ImageFolderConfig
from bench_image_folder.dataset import ImageFolder
from tests import toys
from tests.trials import Bench, bench  # noqa: F401 - a fixture

# ------------------------------------------------------------------ hashing


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to be hashed; three files count as many."""
    names: list[str] = []
    known = hashing.sha256_of
    monkeypatch.setattr(hashing, "MANY", 3)
    monkeypatch.setattr(hashing, "sha256_of", lambda path: names.append(path.name) or known(path))
    return names


def aged(root: Path) -> Path:
    """Change the times of what lies there to those of files from before the test."""
    for path in root.rglob("*.png"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return root


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were written just now count as settled: nobody can set their ctime back."""
    monkeypatch.setattr(hashing, "_SETTLED_NS", -(10**18))


def digests(root: Path, memory: Path | None) -> dict[str, list[str]]:
    return {part: [i.digest for i in items] for part, items in load_folder(root, memory).items()}


@pytest.mark.usefixtures("settled")
def test_files_are_hashed_once_and_again_when_they_changed(tmp_path: Path, read: list[str]) -> None:
    root, memory = aged(toys.make_folder(tmp_path / "data")), tmp_path / "memory"
    first = digests(root, memory)
    assert len(read) == 12
    assert digests(root, memory) == first == digests(root, None)
    assert len(read) == 24, "without a memory all are read, with it none"
    # The same size and the same time: only the entry of the file tells that it was exchanged.
    changed = root / "trainA" / "p1.png"
    os.utime(root / "trainB" / "p0.png", (2_000_000_000, 2_000_000_000))
    content = bytearray(changed.read_bytes())
    content[-20] ^= 1
    changed.write_bytes(content)
    os.utime(changed, (1_000_000_000, 1_000_000_000))
    (root / "testA" / "p2.png").unlink()
    read.clear()
    after = digests(root, memory)
    assert sorted(read) == ["p0.png", "p0.png", "p1.png", "p1.png"]
    assert after["trainB"] == first["trainB"]
    assert after["trainA"] != first["trainA"]
    assert after == digests(root, None)


def test_what_changed_just_now_is_read_again(tmp_path: Path, read: list[str]) -> None:
    root, memory = toys.make_folder(tmp_path / "data"), tmp_path / "memory"
    digests(root, memory)
    read.clear()
    digests(root, memory)
    assert len(read) == 12


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "list"])
def test_a_damaged_memory_is_made_anew(damage: str, tmp_path: Path, read: list[str]) -> None:
    root, memory = toys.make_folder(tmp_path / "data"), tmp_path / "memory"
    first = digests(root, memory)
    for file in memory.iterdir():
        text = file.read_text("ascii")
        at = text.index(first["trainA"][0][:8]) if first["trainA"][0][:8] in text else 80
        digit = "0" if text[at] != "0" else "1"
        spoiled = {
            "flip": text[:at] + digit + text[at + 1 :],
            "cut": text[:100],
            "empty": "",
            "list": "[]",
        }
        file.write_text(spoiled[damage], "ascii")
    read.clear()
    assert digests(root, memory) == first
    assert len(read) == 12
    read.clear()
    assert digests(root, memory) == first
    assert not read


@pytest.mark.usefixtures("settled")
def test_verifying_reads_everything(tmp_path: Path, read: list[str]) -> None:
    root, cache = toys.make_folder(tmp_path / "data"), tmp_path / "cache"
    dataset = ImageFolder(ImageFolderConfig(root=root))
    dataset.prepare(cache, offline=True, progress=print)
    read.clear()
    assert verify(dataset, cache, offline=True, progress=print).ok
    assert len(read) == 12


# ------------------------------------------------------------------ decoding


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be large, and be written in several parts."""
    monkeypatch.setattr(decoded, "MAPPED", 1)
    monkeypatch.setattr(decoded, "_AT_ONCE", 2 * 3 * 16 * 16)


def items_of(root: Path) -> list[ImageItem]:
    return load_folder(toys.make_folder(root, count=5))["trainA"]


@pytest.mark.usefixtures("mapped")
def test_a_mapped_split_is_the_same_and_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, cache = items_of(tmp_path / "data"), tmp_path / "cache"
    plain = load_tensor(items, 16)
    found = decode(items, 16, cache)
    assert torch.equal(found, plain)
    assert found.shape == (5, 3, 16, 16)
    assert torch.equal(decode(items[1:], 16, cache), plain[1:])
    monkeypatch.setattr(decoded, "load_tensor", None)
    again = decode(items, 16, cache)
    assert torch.equal(again, plain)
    again.zero_()  # its own memory: the file and others stay
    assert torch.equal(decode(items, 16, cache), plain)


@pytest.mark.usefixtures("mapped")
def test_a_damaged_mapped_split_is_decoded_anew(tmp_path: Path) -> None:
    items, cache = items_of(tmp_path / "data"), tmp_path / "cache"
    plain = decode(items, 16, cache).clone()
    (file,) = cache.rglob("pixels.u8")
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(content)
    assert torch.equal(decode(items, 16, cache), plain)


@pytest.mark.usefixtures("mapped")
def test_a_full_disk_costs_memory_not_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    items = items_of(tmp_path / "data")
    monkeypatch.setattr(decoded, "_write", full)
    assert torch.equal(decode(items, 16, tmp_path / "cache"), load_tensor(items, 16))
    assert not list((tmp_path / "cache").rglob("pixels.u8"))


@pytest.mark.usefixtures("mapped")
def test_a_trial_has_the_same_numbers_from_mapped_pixels(
    bench: Bench,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from_file = bench.run("mapped")
    assert list(bench.root.glob("cache/stages/pixels/*/*/pixels.u8"))
    monkeypatch.undo()
    shutil.rmtree(bench.root / "cache")
    in_memory = bench.run("memory")
    assert not list(bench.root.glob("cache/stages/pixels"))
    made = ("throughput", "resource")
    assert [m["value"] for m in from_file.measurements if m["kind"] not in made] == [
        m["value"] for m in in_memory.measurements if m["kind"] not in made
    ]


@pytest.mark.usefixtures("mapped")
def test_decoded_pixels_do_not_travel(tmp_path: Path) -> None:
    decode(items_of(tmp_path / "data"), 16, tmp_path / "cache")
    assert [part.name for part in usage(tmp_path / "cache")] == ["pixels"]
    assert push(tmp_path / "cache", Store((tmp_path / "store").as_uri())) == []


# ------------------------------------------------------------------ the audit


def brute(hashes: np.ndarray, apart: int) -> tuple[np.ndarray, ...]:
    bits = (hashes[:, None] != hashes[None]).sum(2)
    first, second = np.nonzero(np.triu(bits <= apart, 1))
    return first, second, bits[first, second]


@pytest.mark.parametrize("n", [0, 1, 2, 40, 400])
@pytest.mark.parametrize("apart", [0, 8, 11])
def test_alike_hashes_are_those_of_all_pairs(
    n: int, apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_AT_ONCE", 50)
    rng = np.random.default_rng(n)
    hashes = rng.random((n, 64)) < 0.5
    for _ in range(n // 2):  # near ones, of every distance, and equal ones
        i, j = rng.integers(0, n, 2)
        hashes[j] = hashes[i]
        hashes[j, rng.choice(64, rng.integers(0, 14), replace=False)] ^= True
    for one, other in zip(alike(hashes, apart), brute(hashes, apart), strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_many_alike_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_MOST_PAIRS", 100)
    with pytest.raises(BenchError, match=r"look for exact copies alone \(--exact\)"):
        alike(np.zeros((40, 64), bool))


def test_many_copies_are_counted_without_all_their_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Copies:
        domains = ("a", "b")

        def split(self, split: str, domain: str) -> list[ImageItem]:
            count = {"train": 60, "test": 30}[split]
            return [ImageItem(f"{index:03d}", "0" * 64) for index in range(count)]

    few = audit.audit(Copies(), near=False)  # type: ignore[arg-type]
    monkeypatch.setattr(audit, "_ALL_PAIRS", 10**6)
    all_pairs = audit.audit(Copies(), near=False)  # type: ignore[arg-type]
    assert len(few.pairs) < 4 * 180 < len(all_pairs.pairs)
    assert few.lines(("a", "b")) == all_pairs.lines(("a", "b"))
    assert few.contaminated("b") == all_pairs.contaminated("b")
    assert few.test_in_train(same_domain=True) == all_pairs.test_in_train(same_domain=True) == 60


# ------------------------------------------------------------------ scoring


def test_of_many_training_pictures_some_are_looked_at_and_all_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = toy_scoring_data(count=12, samples=1)
    assert list(data.pictures("reference_train")) == list(data.reference_train)
    monkeypatch.setattr(context, "TRAINING", 5)
    some = data.pictures("reference_train")
    assert [data.reference_train.index(one) for one in some] == list(range(12)), "12 inputs"
    fewer = toy_scoring_data(count=12, samples=1)
    kept = list(fewer.outputs)[:4]
    fewer = context.replace(
        fewer,
        outputs={key: fewer.outputs[key] for key in kept},
        inputs={key: fewer.inputs[key] for key in kept},
    )
    some = fewer.pictures("source_train")
    assert [fewer.source_train.index(one) for one in some] == [0, 2, 4, 7, 9]
    assert fewer.digests("source_train") == {one.digest for one in fewer.source_train}
    assert len(fewer.pictures("reference")) == 12


def test_large_samples_have_the_fid_of_their_features(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (90, 8)), rng.normal(0.3, 1.2, (70, 8))
    plain = fid.grams(x, y)
    assert plain.x is None
    monkeypatch.setattr(fid, "LARGE", 50)
    large = fid.grams(x, y)
    assert large.x is not None
    some = np.arange(60)
    for few, many in ((plain, large), (plain.subset(some, some), large.subset(some, some))):
        one, other = fid.moved(few), fid.moved(many)
        assert other.value == pytest.approx(one.value, rel=1e-10)
        np.testing.assert_allclose(other.x, one.x, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(other.y, one.y, rtol=1e-8, atol=1e-10)
    # Fewer pictures than features: as small samples are.
    tiny = np.arange(6)
    assert fid.fid(large.subset(tiny, tiny)) == fid.fid(plain.subset(tiny, tiny))


def test_large_inner_products_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    shared: dict[str, object] = {}
    data = toy_scoring_data(count=12, samples=1)
    networks = Networks(
        {spec.name: spec for spec in EXTRACTORS},
        device=torch.device("cpu"),
        weights_dir=None,
        offline=True,
        cache=None,
        emit=lambda event: None,
    )
    (spec,) = (one for one in METRICS if one.name == "kid")
    one = context.ScoringContext(data, spec, spec.config(), networks, "all", shared)
    monkeypatch.setattr(one, "features", lambda which, side=None: made.append(1) or np.eye(12))
    fid.grams_of(one, "outputs", "reference", at_least=2)
    fid.grams_of(one, "outputs", "reference", at_least=2)
    assert len(made) == 2
    assert len(shared) == 1
    monkeypatch.setattr(fid, "LARGE", 10)
    fid.grams_of(one, "outputs", "reference_train", at_least=2)
    fid.grams_of(one, "outputs", "reference_train", at_least=2)
    assert len(made) == 6
    assert len(shared) == 1
