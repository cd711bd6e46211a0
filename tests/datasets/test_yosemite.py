"""Yosemite: the published content is recognised, whatever way it comes."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench_yosemite.dataset as module
from bench.api import BenchError
from bench.data import PARTS, fingerprint_of, load_folder, verify
from bench_yosemite.config import YosemiteConfig
from bench_yosemite.dataset import FINGERPRINT, Yosemite, published_contents


def quiet(line: str) -> None:
    pass


def small(root: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for part in PARTS:
        (root / part).mkdir(parents=True)
        for index in range(2):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / part / f"2010 0{index}.png")
    return root


def test_listing_has_the_published_counts() -> None:
    counts = {part: len(rows) for part, rows in published_contents().items()}
    assert counts == {"trainA": 1231, "trainB": 962, "testA": 309, "testB": 238}


def test_real_photographs_are_the_published_ones(yosemite_root: Path, tmp_path: Path) -> None:
    dataset = Yosemite(YosemiteConfig(root=yosemite_root))
    lines: list[str] = []
    found = verify(dataset, tmp_path, offline=True, progress=lines.append)
    assert found.ok
    assert found.fingerprint == FINGERPRINT
    assert found.shared == {"testA": 27, "testB": 16}, "43 test images are training images too"
    assert not any("warning" in line for line in lines)
    assert dataset.domains == ("summer", "winter")
    assert len(Yosemite(YosemiteConfig(root=yosemite_root)).domains) == 2


def test_other_content_is_used_but_said(tmp_path: Path) -> None:
    dataset = Yosemite(YosemiteConfig(root=small(tmp_path / "mine")))
    lines: list[str] = []
    found = verify(dataset, tmp_path, offline=True, progress=lines.append)
    assert any("not the published photographs" in line and "2740 missing" in line for line in lines)
    assert not found.ok
    assert len(dataset.split("train", "a")) == 2


def test_offline_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"download http.*zip, put it at .*zip, or .*--data-root"):
        Yosemite(YosemiteConfig()).prepare(tmp_path, offline=True, progress=quiet)


def _archive(folder: Path, out: Path) -> None:
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            name = path.relative_to(folder).as_posix().replace(" ", ":")
            archive.write(path, f"{module.NAME}/{name}")


def test_archive_is_unpacked_and_verified_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = small(tmp_path / "source")
    parts = load_folder(source)
    good = fingerprint_of({part: [i.digest for i in items] for part, items in parts.items()})
    monkeypatch.setattr(module, "FINGERPRINT", good)
    cache = tmp_path / "cache"
    cache.mkdir()
    _archive(source, cache / f"{module.NAME}.zip")
    dataset = Yosemite(YosemiteConfig())
    dataset.prepare(cache, offline=True, progress=quiet)
    assert dataset.fingerprint() == good
    assert sorted(p.name for p in cache.iterdir()) == [".lock", module.NAME]
    again = Yosemite(YosemiteConfig())
    again.prepare(cache, offline=True, progress=quiet)
    assert again.fingerprint() == good


def test_wrong_archive_is_refused_and_removed(tmp_path: Path) -> None:
    _archive(small(tmp_path / "source"), tmp_path / f"{module.NAME}.zip")
    with pytest.raises(BenchError, match="refused and removed: it does not hold the published"):
        Yosemite(YosemiteConfig()).prepare(tmp_path, offline=True, progress=quiet)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "source"]


def test_a_good_archive_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / f"{module.NAME}.zip"
    _archive(small(tmp_path / "source"), archive)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(BenchError, match="make room"):
            Yosemite(YosemiteConfig()).prepare(tmp_path, offline=True, progress=quiet)
    assert archive.is_file()

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.data.archive._extract", no_space)
    with pytest.raises(BenchError, match="No space left on device"):
        Yosemite(YosemiteConfig()).prepare(tmp_path, offline=True, progress=quiet)
    assert archive.is_file() and not list(tmp_path.glob(".*unpacked"))
