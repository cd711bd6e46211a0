"""Archives made to do harm."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from bench.api import BenchError
from bench.data import unpack_zip


def make(path: Path, *entries: tuple[str, bytes], mode: int | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


def test_good_archive(tmp_path: Path) -> None:
    archive = make(
        tmp_path / "a.zip", ("set/trainA/2010-01-01 06:58:39.jpg", b"one"), ("set/b", b"")
    )
    out = unpack_zip(archive, tmp_path / "out")
    assert (out / "set/trainA/2010-01-01 06_58_39.jpg").read_bytes() == b"one"
    assert (out / "set/b").read_bytes() == b""
    with pytest.raises(BenchError, match="exists already"):
        unpack_zip(archive, out)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil", "climbs"),
        ("a/../../evil", "climbs"),
        ("/etc/evil", "absolute"),
        ("C:/evil", "absolute"),
        ("C:evil", "absolute"),
        ("a\\..\\..\\evil", "backslash"),
        ("a\nb", "control"),
    ],
)
def test_names_that_leave_the_folder(tmp_path: Path, name: str, why: str) -> None:
    archive = make(tmp_path / "a.zip", ("fine.txt", b"fine"), (name, b"evil"))
    with pytest.raises(BenchError, match=why) as caught:
        unpack_zip(archive, tmp_path / "in" / "out")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zip"], "nothing is written"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    archive = make(tmp_path / "a.zip", ("link", b"/etc/passwd"), mode=kind | 0o777)
    with pytest.raises(BenchError, match="link or a special file"):
        unpack_zip(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bombs(tmp_path: Path) -> None:
    bomb = make(tmp_path / "a.zip", ("zeros", bytes(20 << 20)))
    with pytest.raises(BenchError, match="200 times its size"):
        unpack_zip(bomb, tmp_path / "out")
    many = make(tmp_path / "b.zip", *((f"f{i}", b"") for i in range(11)))
    with pytest.raises(BenchError, match="10 files allowed"):
        unpack_zip(many, tmp_path / "out", max_files=10)
    large = make(tmp_path / "c.zip", ("a", bytes(600_000)), ("b", bytes(600_000)))
    with pytest.raises(BenchError, match="over 1 MiB"):
        unpack_zip(large, tmp_path / "out", max_bytes=1 << 20)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip", "c.zip"]


def test_same_name_twice_even_by_case(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", ("a/x.jpg", b"1"), ("a/X.jpg", b"2"))
    with pytest.raises(BenchError, match="there twice"):
        unpack_zip(archive, tmp_path / "out")


def test_damaged_archives_leave_nothing(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", ("one", b"1" * 5000), ("two", bytes(range(256)) * 40))
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match="not a sound ZIP"):
        unpack_zip(archive, tmp_path / "out")
    spot = whole.index(b"two") + 20
    archive.write_bytes(whole[:spot] + bytes([whole[spot] ^ 255]) + whole[spot + 1 :])
    with pytest.raises(BenchError, match="not a sound ZIP"):
        unpack_zip(archive, tmp_path / "out")
    archive.write_text("<html>moved</html>")
    with pytest.raises(BenchError, match="not a sound ZIP"):
        unpack_zip(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
