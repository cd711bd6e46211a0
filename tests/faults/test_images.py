"""Every kind of odd picture is decoded by a stated rule, or refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.api import BenchError, ImageItem
from bench.data.images import MAX_PIXELS, fit_square, load_tensor, read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)


def _refused(path: Path) -> str:
    with pytest.raises(BenchError) as error:
        read_image(path)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.98])
def test_truncated(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(PIXELS.repeat(8, 0).repeat(8, 1)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    assert "cannot be decoded" in _refused(path)


def test_empty_missing_text_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture", "utf-8")
    (tmp_path / "folder.png").mkdir()
    assert "it is empty" in _refused(tmp_path / "empty.png")
    assert "damaged or no image" in _refused(tmp_path / "text.jpg")
    assert "does not exist" in _refused(tmp_path / "gone.png")
    assert "cannot be decoded" in _refused(tmp_path / "folder.png")


def test_mislabelled_is_read_by_content(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    Image.fromarray(PIXELS).save(path, format="PNG")
    np.testing.assert_array_equal(read_image(path), PIXELS)


def test_postscript_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    assert "no image" in _refused(path)


def test_16_bit_gray_is_scaled_not_saturated(tmp_path: Path) -> None:
    wide = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    for name in ("wide.png", "wide.tiff"):
        Image.fromarray(wide).save(tmp_path / name)
        got = read_image(tmp_path / name)
        np.testing.assert_array_equal(got[0, :, 0], [0, 1, 128, 255])
        assert (got == got[..., :1]).all()


def test_16_bit_color_is_scaled(tmp_path: Path) -> None:
    # Pillow writes none: a PNG by hand, two RGB pixels of 16 bits.
    row = b"\0" + struct.pack(">6H", 0, 257, 65535, 128 * 257, 255 * 257, 2 * 257)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    path = tmp_path / "wide.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_image(path), [[[0, 1, 255], [128, 255, 2]]])


def test_gray_is_repeated(tmp_path: Path) -> None:
    gray = PIXELS[..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), gray[..., None].repeat(3, -1))


def test_alpha_goes_over_white(tmp_path: Path) -> None:
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    rgba[0, 0, 3] = 0
    rgba[0, 1] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    got = read_image(tmp_path / "alpha.png")
    assert got[0, 0].tolist() == [255, 255, 255]
    assert got[0, 1].tolist() == [127, 127, 127]
    np.testing.assert_array_equal(got[1:], PIXELS[1:])


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "see.png", transparency=1)
    assert read_image(tmp_path / "plain.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert read_image(tmp_path / "see.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_cmyk(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 3] = 255
    Image.frombytes("CMYK", (16, 16), ink.tobytes()).save(tmp_path / "black.jpg", quality=100)
    assert read_image(tmp_path / "black.jpg").max() < 4
    Image.frombytes("CMYK", (16, 16), bytes(16 * 16 * 4)).save(tmp_path / "white.jpg")
    assert read_image(tmp_path / "white.jpg").min() > 251


def test_unsupported_format_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tiff")
    assert "pixel format F is not supported" in _refused(tmp_path / "float.tiff")
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tiff")
    assert "pixel format LAB is not supported" in _refused(tmp_path / "lab.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    turn = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: x[::-1].transpose(1, 0, 2),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: x[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), turn(PIXELS))


@pytest.mark.parametrize("side", [10_500, 15_000, 40_000])
def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    path = tmp_path / "huge.png"
    small = io.BytesIO()
    Image.new("1", (1, 1)).save(small, format="PNG")
    data = bytearray(small.getvalue())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    assert "too many" in _refused(path)


def test_very_narrow_pictures(tmp_path: Path) -> None:
    assert fit_square(np.zeros((1, 50, 3), np.uint8), 64).shape == (64, 64, 3)
    with pytest.raises(BenchError, match="too narrow"):
        fit_square(np.zeros((1, 100_000, 3), np.uint8), 64)


def test_first_broken_picture_of_many_is_named(tmp_path: Path) -> None:
    items = []
    for index in range(12):
        path = tmp_path / f"{index}.png"
        Image.fromarray(PIXELS).save(path)
        items.append(ImageItem(str(index), "", path))
    (tmp_path / "7.png").write_bytes((tmp_path / "7.png").read_bytes()[:100])
    with pytest.raises(BenchError, match=r"7\.png"):
        load_tensor(items, 16)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "gif"])
def test_flipped_bytes_never_escape_as_another_error(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    path = tmp_path / f"flipped.{suffix}"
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        pixels = read_image(path)
    except BenchError as error:
        assert str(path) in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
