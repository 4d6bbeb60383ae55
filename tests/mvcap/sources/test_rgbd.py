"""Recordings of depth cameras as sources: pairs of colour and depth at their own rate, and damaged folders."""

import time

import cv2
import numpy as np
import pytest
from camera_server import number_in, numbered_picture

from mvcap.errors import InputError, SourceError
from mvcap.sources.rgbd import TUM_UNIT_M, Rgbd, nearest_pairs

SIZE = (64, 48)


def write_rgbd(folder, count=8, rate_hz=50.0, late_s=0.004, size=SIZE, depth=None):
    """A folder in the layout of the TUM benchmark; depth of frame n is 1000 + n, late_s behind its colour."""
    for kind, shift_s in (("rgb", 0.0), ("depth", late_s)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        lines = ["# a comment"]
        for number in range(count):
            name = f"{kind}/{number:04d}.png"
            image = numbered_picture(number, size)
            if kind == "depth":
                image = np.full(size[::-1], 1000 + number, np.uint16) if depth is None else depth(number)
            cv2.imwrite(str(folder / name), image)
            lines.append(f"{1305031102.1 + number / rate_hz + shift_s:.6f} {name}")
        (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")
    return folder


def played(folder, words=""):
    stream = Rgbd(f"{folder}{words}").open()
    frames = []
    while (frame := stream.read()) is not None:
        frames.append(frame)
    return stream, frames


def test_colour_and_depth_come_in_pairs_at_their_own_rate(tmp_path):
    begun = time.monotonic()
    stream, frames = played(write_rgbd(tmp_path), "?unit=0.001")
    assert 0.13 < time.monotonic() - begun < 3
    assert stream.format.size == SIZE and stream.format.depth_unit_m == 0.001
    assert stream.format.rate_hz == pytest.approx(50, rel=1e-3) and Rgbd(str(tmp_path))._unit_m == TUM_UNIT_M
    assert [number_in(frame.image) for frame in frames] == list(range(8)) == [frame.number for frame in frames]
    assert [int(frame.depth[0, 0]) for frame in frames] == [1000 + n for n in range(8)]
    assert np.diff([frame.source_s for frame in frames]) == pytest.approx([0.02] * 7, abs=1e-5)


def test_files_that_are_broken_or_lacking_are_missing(tmp_path):
    write_rgbd(tmp_path)
    (tmp_path / "rgb/0003.png").write_bytes(b"x")
    (tmp_path / "rgb/0007.png").unlink()
    (tmp_path / "depth/0004.png").write_bytes((tmp_path / "depth/0004.png").read_bytes()[:20])
    stream, frames = played(tmp_path)
    assert [frame.number for frame in frames] == [0, 1, 2, 4, 5, 6] and stream.missing_at_end == 1
    assert [frame.depth is None for frame in frames] == [False, False, False, True, False, False]


def test_nearest_pairs_are_mutual_and_near():
    times = np.arange(5) * 0.1
    assert nearest_pairs(times, times + 0.03).tolist() == [0, 1, 2, 3, 4]
    assert nearest_pairs(times, times[::2]).tolist() == [0, -1, 1, -1, 2]
    assert nearest_pairs(times, np.array([0.31])).tolist() == [-1, -1, -1, 0, -1]
    assert nearest_pairs(times, np.array([7.0])).tolist() == [-1] * 5
    assert nearest_pairs(times, np.zeros(0)).tolist() == [-1] * 5


def test_what_is_no_such_folder_is_one_line(tmp_path):
    for words in ("?unit=big", "?unit=0", "?rate=3"):
        with pytest.raises(InputError, match="metres of a unit of depth"):
            Rgbd(f"{tmp_path}{words}")
    with pytest.raises(SourceError, match=r"rgb.txt: cannot be read; an RGB-D folder has"):
        Rgbd(str(tmp_path)).open()
    write_rgbd(tmp_path, depth=lambda number: np.zeros((24, 32), np.uint16))
    with pytest.raises(SourceError, match="is no depth of 16 bits and 64x48 px"):
        played(tmp_path)
    (tmp_path / "depth.txt").write_text("soon depth/0000.png\n")
    with pytest.raises(SourceError, match=r"depth.txt:1: is not a time in seconds and a file"):
        Rgbd(str(tmp_path)).open()
    (tmp_path / "depth.txt").write_text("# nothing\n")
    with pytest.raises(SourceError, match="lists no images"):
        Rgbd(str(tmp_path)).open()
