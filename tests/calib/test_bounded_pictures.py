"""Pictures within limits: what small files that state a huge size cost, and that others are read as they are."""

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from calib.bounded_pictures import MOST_PIXELS, decoded_picture, stated_pixels


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
        + chunk(b"IEND", b"")
    )


def jpeg(width, height):
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("data", [png(40_000, 40_000), png(2**31 - 1, 2**31 - 1), jpeg(60_000, 60_000)])
def test_a_small_file_of_a_huge_picture_is_refused_and_costs_no_memory(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert stated_pixels(data) > MOST_PIXELS
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="200 million pixels"):
            decoded_picture(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_pictures_are_read_as_opencv_reads_them(tmp_path, ending):
    image = np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / f"a{ending}"
    cv2.imwrite(str(path), image)
    assert np.array_equal(decoded_picture(path), cv2.imread(str(path)))
    assert stated_pixels(path.read_bytes()) == (600 if ending in (".png", ".jpg") else 0)


def test_sixteen_bits_stay(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5, 3), 40_000, np.uint16))
    assert decoded_picture(tmp_path / "a.png").dtype == np.uint16


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xc0", b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9]
)
def test_what_is_no_picture_is_refused(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match="not an image"):
        decoded_picture(tmp_path / "a.png")
