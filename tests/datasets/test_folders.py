"""Folders of pictures: ids, order, fingerprints, and everything wrong one can point at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from bench.api import A2B, BenchError, Dataset
from bench.data import PARTS, compare_contents, fingerprint_of, make_folder, safe_ids, verify
from bench_image_folder.config import ImageFolderConfig
from bench_image_folder.dataset import ImageFolder


def quiet(line: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures in each part."""
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    for part in PARTS:
        (root / part).mkdir(parents=True)
        for name in ("one.png", "two 2.JPG", "three.JpEg"):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            fmt = "PNG" if name.endswith("png") else "JPEG"
            Image.fromarray(pixels).save(root / part / name, format=fmt)
    return root


def opened(root: Path, **options: object) -> ImageFolder:
    dataset = ImageFolder(ImageFolderConfig(root=root, **options))  # type: ignore[arg-type]
    dataset.prepare(root.parent / "cache", offline=True, progress=quiet)
    return dataset


def test_contract(folder: Path) -> None:
    dataset = opened(folder, domains=("dogs", "cats"))
    assert isinstance(dataset, Dataset)
    assert dataset.domains == ("dogs", "cats")
    items = dataset.split("train", "a")
    assert sorted(item.id for item in items) == ["one", "three", "two_2"]
    assert all(item.path is not None and item.path.is_file() for item in items)
    assert dataset.truth(dataset.split("test", "a")[0], A2B) == ()
    assert len(opened(folder, train=2, test=1).split("train", "b")) == 2


def test_order_and_fingerprint_follow_content_not_names(folder: Path) -> None:
    before = opened(folder)
    digests = [item.digest for item in before.split("train", "a")]
    moved = folder.parent / "elsewhere"
    shutil.copytree(folder, moved)
    for number, path in enumerate(sorted((moved / "trainA").iterdir(), reverse=True)):
        path.rename(path.with_name(f"{number:03d}{path.suffix.lower()}"))
    after = opened(moved)
    assert after.fingerprint() == before.fingerprint()
    assert [item.digest for item in after.split("train", "a")] == digests
    assert opened(folder, test=2).fingerprint() != before.fingerprint()
    changed = moved / "testB" / "one.png"
    Image.new("RGB", (8, 8), "red").save(changed)
    assert opened(moved).fingerprint() != before.fingerprint()


def test_moving_a_picture_to_another_part_changes_the_fingerprint() -> None:
    one = {"trainA": ["x", "y"], "trainB": ["z"]}
    two = {"trainA": ["x"], "trainB": ["y", "z"]}
    assert fingerprint_of(one) != fingerprint_of(two)
    assert fingerprint_of(one) == fingerprint_of({"trainB": ["z"], "trainA": ["y", "x"]})
    pairs = {"trainA": ["x", "y"], "trainB": ["v", "w"]}
    other = {"trainA": ["x", "y"], "trainB": ["w", "v"]}
    assert fingerprint_of(pairs, paired=True) != fingerprint_of(other, paired=True)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=8))
def test_ids_are_safe_unique_and_independent_of_order(names: list[str]) -> None:
    digests = [f"{i:08x}" + 56 * "0" for i in range(len(names))]
    ids = safe_ids(names, digests)
    assert len({one.lower() for one in ids}) == len(names)
    for one in ids:
        assert one not in {"", ".", ".."}
        assert not set(one) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
        )
        assert one[0] not in ".-"
    if len(set(names)) == len(names):
        back = safe_ids(names[::-1], digests[::-1])[::-1]
        stems = [one[:60] for one in ids]
        assert len(set(stems)) < len(stems) or back == ids


def test_ids_of_difficult_names() -> None:
    names = [
        "2009-12-06 06:58:39.jpg",
        "<script>.jpg",
        "=1+1.png",
        "con.jpg",
        "..png",
        "a b.jpg",
        "a_b.jpg",
    ]
    ids = safe_ids(names, [f"{i}" * 64 for i in range(7)])
    assert ids[:4] == ["2009-12-06_06_58_39", "_script_", "_1_1", "_con"]
    assert ids[5:] == ["a_b-55555555", "a_b-66666666"]


def _text_named_jpg(root: Path) -> Path:
    (root / "testB" / "note.jpg").write_text("hello")
    return root / "testB" / "note.jpg"


def _empty_file(root: Path) -> Path:
    (root / "trainB" / "none.png").write_bytes(b"")
    return root / "trainB" / "none.png"


def _dangling_link(root: Path) -> Path:
    (root / "trainA" / "link.png").symlink_to("nowhere.png")
    return root / "trainA" / "link.png"


def _folder_named_png(root: Path) -> Path:
    (root / "trainA" / "dir.png").mkdir()
    return root / "trainA" / "dir.png"


def _empty_part(root: Path) -> Path:
    shutil.rmtree(root / "testA")
    (root / "testA").mkdir()
    (root / "testA" / ".hidden.png").write_text("x")
    return root / "testA"


def _no_part(root: Path) -> Path:
    shutil.rmtree(root / "testA")
    return root


def _crafted_header(root: Path) -> Path:
    data = bytearray((root / "trainA" / "one.png").read_bytes())
    data[16:24] = (0x7FFFFFFF).to_bytes(4) + (0x7FFFFFFF).to_bytes(4)
    (root / "trainA" / "huge.png").write_bytes(data)
    return root / "trainA" / "huge.png"


FAULTS: list[tuple[Callable[[Path], Path], str]] = [
    (_text_named_jpg, "is not an image"),
    (_empty_file, "is empty"),
    (_dangling_link, "link that leads nowhere"),
    (_folder_named_png, "is not a file"),
    (_empty_part, "holds no images"),
    (_no_part, "has no folder testA"),
    (_crafted_header, "huge.png"),
]


@pytest.mark.parametrize(("fault", "why"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_faults_are_one_line_that_names_the_file(
    folder: Path, fault: Callable[[Path], Path], why: str
) -> None:
    place = fault(folder)
    with pytest.raises(BenchError, match=why) as caught:
        opened(folder)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_nested_roots(folder: Path) -> None:
    with pytest.raises(BenchError, match="does not exist"):
        opened(folder / "nothing")
    with pytest.raises(BenchError, match="is not a folder"):
        opened(folder / "trainA" / "one.png")
    with pytest.raises(BenchError, match=rf"did you mean {folder}\?"):
        opened(folder.parent)
    with pytest.raises(BenchError, match="--data-root"):
        ImageFolder(ImageFolderConfig()).prepare(folder, offline=True, progress=quiet)
    with pytest.raises(ValidationError, match="two names"):
        ImageFolderConfig(domains=("x", "x"))


def test_links_to_pictures_and_sub_folders_count(folder: Path) -> None:
    (folder / "trainA" / "sub").mkdir()
    (folder / "trainA" / "one.png").rename(folder / "trainA" / "sub" / "one.png")
    (folder / "trainA" / "again.png").symlink_to("sub/one.png")
    ids = {item.id for item in opened(folder).split("train", "a")}
    assert ids == {"sub_one", "again", "two_2", "three"}


def test_pairs_by_name(folder: Path) -> None:
    dataset = opened(folder, paired=True)
    for a, b in zip(dataset.split("train", "a"), dataset.split("train", "b"), strict=True):
        assert a.id == b.id
    item = dataset.split("test", "a")[1]
    assert [true.id for true in dataset.truth(item, A2B)] == [item.id]
    (folder / "testB" / "one.png").rename(folder / "testB" / "uno.png")
    with pytest.raises(BenchError, match="one has no partner"):
        opened(folder, paired=True)


def test_verify_finds_what_headers_hide(folder: Path) -> None:
    assert verify(opened(folder), folder.parent, offline=True, progress=quiet).ok
    picture = folder / "testA" / "two 2.JPG"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture)
    picture.write_bytes(picture.read_bytes()[:-900])
    shutil.copy(folder / "trainA" / "one.png", folder / "testA" / "copy.png")
    found = verify(opened(folder), folder.parent, offline=True, progress=quiet)
    assert not found.ok
    assert [name for name, _ in found.broken] == [str(picture)]
    assert found.shared["testA"] == 1
    assert any("exact copies" in line for line in found.lines())


def test_verify_refuses_what_a_run_refuses(folder: Path) -> None:
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "testB" / "floats.tiff")
    found = verify(opened(folder), folder.parent, offline=True, progress=quiet)
    floats = str(folder / "testB" / "floats.tiff")
    assert found.broken == ((floats, "pixel format F is not supported: save it as 8-bit RGB"),)


def test_make_folder_writes_the_same_pixels(folder: Path, tmp_path: Path) -> None:
    dataset = opened(folder)
    out = make_folder(dataset, tmp_path / "made", progress=quiet)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["fingerprint"] == dataset.fingerprint()
    for item in dataset.split("test", "b"):
        assert item.path is not None
        with Image.open(item.path) as source, Image.open(out / "testB" / f"{item.id}.png") as copy:
            assert np.array_equal(np.asarray(source.convert("RGB")), np.asarray(copy))
    opened(out)
    with pytest.raises(BenchError, match="exists already"):
        make_folder(dataset, out, progress=quiet)
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written"):
        make_folder(dataset, tmp_path / "file" / "out", progress=quiet)


def test_differences_are_told_apart() -> None:
    want = {"trainA": [("a" * 64, "1.jpg"), ("b" * 64, "2:2.jpg"), ("c" * 64, "3.jpg")]}
    have = {
        "trainA": [("a" * 64, "renamed.jpg"), ("d" * 64, "2_2.jpg"), ("e" * 64, "new.jpg")],
        "testA": [("c" * 64, "3.jpg")],
    }
    found = compare_contents(want, have)
    assert found.missing == ()
    assert found.changed == ("trainA/2_2.jpg",)
    assert found.extra == ("trainA/new.jpg",)
    assert found.moved == ("testA/3.jpg",)
    gone = compare_contents(want, {"trainA": have["trainA"][:1]})
    assert gone.missing == ("trainA/2:2.jpg", "trainA/3.jpg")
    assert not compare_contents(want, want)
