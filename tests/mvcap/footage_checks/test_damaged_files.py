"""Files that are cut, damaged, badly timed or of several sizes: what is read of them, and what a copy holds."""

import struct
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from damaged_clips import KINDS, SIZE, FallingJob, clip, picture

from mvcap.footage_checks.file_damage import check_file, size_changes
from mvcap.footage_checks.image_reading import read_images
from mvcap.footage_checks.reading_process import Fallen, in_process, read_view, run_job
from mvcap.footage_checks.repair import CopyJob, increasing_times
from mvcap.footage_checks.video_reading import PacketTable, read_video, stretches_of
from mvcap.footage_checks.view_reading import ReadingJob
from mvcap.structures.footage import Footage

NO_TIME = np.iinfo(np.int64).min
CUT = {"fast.mp4": 0.6, "h264.mkv": 0.6, "mjpeg.avi": 0.4, "mpeg4.avi": 0.3, "h264.ts": 0.61}


def read(path, **more):
    return read_video(ReadingJob(path.stem, path, **more), lambda done, total: None, lambda partial: None)


def kinds(reading):
    return [one.kind for one in check_file(reading)]


def copied(path, folder, reading, **more):
    good_s = reading.good_s
    job = CopyJob(path, folder, path.stem, float(good_s[0]), float(good_s[-1]), **more)
    return job, job.run(lambda done, total: None, None)


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_has_nothing(tmp_path, name):
    reading = read(clip(tmp_path / name))
    assert check_file(reading) == [] and reading.whole and reading.size == SIZE
    probed = Footage.probe(reading.path)
    assert np.array_equal(reading.time_s, probed.time_s) and np.array_equal(reading.pictures.time_s, probed.time_s)


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_short_says_how_far_it_can_be_read_and_its_copy_is_whole(tmp_path, name):
    whole, path = clip(tmp_path / name), tmp_path / f"cut_{name}"
    path.write_bytes(whole.read_bytes()[: int(CUT[name] * whole.stat().st_size)])
    reading = read(path)
    [cut] = check_file(reading)
    assert (cut.kind, cut.severity, cut.repairable) == ("truncated", "error", True)
    readable = cut.figures["readable"]
    assert 10 <= readable < 30 and cut.figures["last_s"] == pytest.approx(reading.good_s[-1])
    job, counts = copied(path, tmp_path / "out", reading)
    assert counts == (readable,)
    again = read(job.targets[0])
    assert kinds(again) == [] and again.frames == readable
    # Its pictures are those of the whole file, and at the same times.
    pairs = zip(Footage.probe(job.targets[0]).read(), Footage.probe(whole).read(0, int(readable)), strict=True)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in pairs)
    assert np.abs(again.time_s - Footage.probe(whole).time_s[: int(readable)]).max() < 1e-3


def test_no_index_no_video_nothing(tmp_path):
    whole = clip(tmp_path / "h264.mp4")
    cut = tmp_path / "moov.mp4"
    cut.write_bytes(whole.read_bytes()[:3000])
    [found] = check_file(read(cut))
    assert found.kind == "truncated" and not found.repairable and "untrunc" in found.advice and "moov" in found.meaning
    for name, content, told in (
        ("empty.mp4", b"", "0 bytes"),
        ("text.mkv", b"hello\n" * 99, "no video"),
    ):
        (tmp_path / name).write_bytes(content)
        [found] = check_file(read(tmp_path / name))
        assert found.kind == "unreadable" and found.severity == "error" and told in found.meaning


def test_damage_in_the_middle_is_placed(tmp_path):
    path = clip(tmp_path / "h264.mkv", frames=60)
    data = bytearray(path.read_bytes())
    start = len(data) // 2
    data[start : start + 1500] = bytes(1500)
    path.write_bytes(data)
    reading = read(path)
    [found] = [one for one in check_file(reading) if one.kind == "damaged"]
    assert 0.5 < found.start_s < 2.0 and 0 < found.figures["share"] < 0.5 and found.severity == "error"
    after = reading.pictures.time_s > found.stop_s + 0.6  # behind the next key pictures are compared again
    assert np.isfinite(reading.pictures.difference[after]).all()


def test_sizes_that_change_are_cut_into_parts(tmp_path):
    sizes = [SIZE] * 20 + [(96, 64)] * 15
    path = clip(tmp_path / "mjpeg.mov", size=sizes)
    reading = read(path)
    [found] = check_file(reading)
    assert found.kind == "size change" and found.repairable and found.start_s == pytest.approx(0.8)
    assert "64x48 then 96x64" in found.meaning and size_changes(reading.pictures).tolist() == [20]
    job, counts = copied(path, tmp_path / "out", reading, cuts_s=(0.8,), sizes=(SIZE, (96, 64)))
    assert counts == (20, 15) and [one.name for one in job.targets] == ["mjpeg-part1.mkv", "mjpeg-part2.mkv"]
    for target, size, frames in zip(job.targets, (SIZE, (96, 64)), counts, strict=True):
        again = read(target)
        assert kinds(again) == [] and again.size == size and again.frames == frames


def test_bad_times_are_told_and_increase_in_the_copy(tmp_path):
    times_ms = [40 * frame for frame in range(40)]
    times_ms[20] = times_ms[19]
    path = clip(tmp_path / "mjpeg.mkv", times_ms, kind="mjpeg.avi")
    reading = read(path)
    assert kinds(reading) == ["timestamps"] and reading.double == 1
    job, counts = copied(path, tmp_path / "out", reading)
    assert counts == (40,)
    assert np.allclose(read(job.targets[0]).time_s, np.arange(40) * 0.04)
    whole = clip(tmp_path / "h264.ts").read_bytes()
    twice = tmp_path / "twice_h264.ts"
    twice.write_bytes(whole + whole)
    reading = read(twice)
    assert reading.backwards == 1 and kinds(reading) == ["timestamps"]
    job, counts = copied(twice, tmp_path / "out", reading)
    assert counts == (80,) and np.allclose(np.diff(read(job.targets[0]).time_s), 0.04, atol=2e-3)


def test_times_of_packets_are_completed():
    pts = np.array([0, 120, 40, 80, NO_TIME, 240, 160], np.int64)
    dts = np.array([-80, -40, 0, 40, 80, 120, 160], np.int64)
    table = PacketTable(pts, dts, np.full(7, 10), np.zeros(7, bool), 0.001)
    found = increasing_times(table)
    assert len(set(found.tolist())) == 7 and found[[0, 1, 2, 3, 5]].tolist() == [0, 120, 40, 80, 240]
    empty = PacketTable(np.full(7, NO_TIME), dts, np.full(7, 10), np.zeros(7, bool), 0.001)
    with pytest.raises(ValueError, match="no time"):
        increasing_times(empty)


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_rotation_is_kept_in_a_copy(tmp_path, matrix):
    path = clip(tmp_path / "h264.mp4")
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)  # the track's matrix, ISO 14496-12
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    reading = read(path)
    assert reading.rotation_deg != 0
    job, _ = copied(path, tmp_path / "out", reading)
    assert read(job.targets[0]).rotation_deg == reading.rotation_deg


def test_long_takes_are_sampled_with_the_quiet_parts():
    frames = 20_000
    size = np.full(frames, 5000)
    size[::250] = 60_000
    size[9000:9400] = 40
    size[9000] = 60_000
    pts = np.arange(frames) * 40
    table = PacketTable(pts, pts, size, size > 50_000, 0.001)
    at = np.arange(0, 800, 32.0)
    found = stretches_of(pts, table, at, "sampled")
    covered = np.concatenate([np.arange(*one) for one in found])
    assert len(covered) < 2000 and (np.diff(covered) > 0).all() and covered[0] == 0 and covered[-1] == frames - 1
    assert {8995, 9005, 9200, 9395, 9405} <= set(covered.tolist()) and {800, 1600} <= set(covered.tolist())
    assert stretches_of(pts, table, at, "all") == [(0, frames)]
    assert stretches_of(pts[:500], table, at, "sampled") == [(0, 500)]


# Folders of images


def images(folder, count=12):
    folder.mkdir()
    for frame in range(count):
        cv2.imwrite(str(folder / f"{frame:04d}.png"), picture(frame))
    return folder


def test_images_that_cannot_be_read_or_differ_in_size_are_named(tmp_path):
    folder = images(tmp_path / "cam1")
    job = ReadingJob("cam1", folder, rate_hz=25.0)
    reading = read_images(job, lambda done, total: None)
    assert check_file(reading) == [] and len(reading.pictures) == 12 and reading.size == SIZE
    (folder / "0000.png").write_bytes(b"")
    (folder / "0005.png").write_bytes((folder / "0005.png").read_bytes()[:200])
    cv2.imwrite(str(folder / "0009.png"), picture(9, (32, 24)))
    reading = run_job(job, lambda done, total: None, None)
    found = {one.kind: one for one in check_file(reading)}
    assert set(found) == {"damaged", "size change"} and not any(one.repairable for one in found.values())
    assert "0000.png, 0005.png" in found["damaged"].meaning and "remove" in found["size change"].advice
    for file in folder.iterdir():
        file.unlink()
    assert kinds(read_images(job, lambda done, total: None)) == ["unreadable"]


# A process of its own


def test_a_view_is_read_in_a_process_of_its_own(tmp_path):
    told = []
    path = clip(tmp_path / "h264.mp4")
    reading = read_view(ReadingJob("a", path), lambda *what: told.append(what))
    assert check_file(reading) == [] and len(reading.pictures) == 40 and told[0][0] == "a" and told[-1][2] == 40


def test_a_process_that_falls_or_hangs_is_survived():
    assert str(Path(__file__).parents[1]) in sys.path  # where damaged_clips is, for the process
    fallen = in_process(FallingJob("abort"), "a")
    assert isinstance(fallen, Fallen) and fallen.partial == "half" and "ended" in fallen.why
    before = time.monotonic()
    fallen = in_process(FallingJob("hang"), "a", stall_s=1.0)
    assert isinstance(fallen, Fallen) and "did not answer for 1 s" in fallen.why
    assert time.monotonic() - before < 8
