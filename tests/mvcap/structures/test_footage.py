"""Clips made on the spot: what a probe promises is what decoding gives, and broken files say so in one line."""

import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.errors import InputError
from mvcap.structures.footage import Footage
from mvcap.structures.frame_clock import ticks
from mvcap.structures.video_container import missing_bytes
from mvcap.structures.video_writer import write_video

av = pytest.importorskip("av")
SIZE = (64, 48)


def picture(frame, size=SIZE):
    """The frame number as brightness, a bright top-left corner to see turns, and noise to make the codec work."""
    image = np.random.default_rng(frame).integers(0, 60, (size[1], size[0], 3), np.uint8)
    image[:, :, 1] = 40 + frame % 150
    image[:16, :16] = 255
    return image


def clip(path, times_ms=None, frames=40, codec="libx264", **options):
    """Write a clip with chosen times in ms (default 25 Hz); libx264 with B-frames and a key every 10 pictures."""
    times_ms = [40 * frame for frame in range(frames)] if times_ms is None else times_ms
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"bf": "3", "g": "10", "preset": "fast", **options}
        for frame, time_ms in enumerate(times_ms):
            shot = av.VideoFrame.from_ndarray(picture(frame), format="rgb24")
            shot.pts, shot.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(shot))
        container.mux(stream.encode(None))
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [(p.pts, p.to_ndarray(format="rgb24")) for p in container.decode(video=0)]


def patch(path, old, new):
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new))


def box_at(data, name):
    return data.index(name) - 4


def fail(path, *words, **options):
    with pytest.raises(InputError) as caught:
        Footage.probe(path, **options)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {}),
        ("mp4", "libx264", {"x264-params": "open-gop=1"}),
        ("mp4", "libx264", {"x264-params": "intra-refresh=1", "bf": "0"}),
        ("mkv", "libx264", {}),
        ("mov", "mjpeg", {}),
        ("avi", "mjpeg", {}),
        ("avi", "libx264", {}),
        ("ts", "libx264", {}),
        ("webm", "libvpx", {}),
        ("mp4", "mpeg4", {}),
    ],
)
def test_probe_promises_what_decoding_gives_and_seeking_is_frame_exact(tmp_path, suffix, codec, options):
    path = clip(tmp_path / f"clip.{suffix}", codec=codec, **options)
    truth = decoded(path)
    footage = Footage.probe(path)
    if (suffix, codec) == ("avi", "libx264"):  # this container gives the last two pictures one time: the first counts
        truth = truth[:-1]
    assert footage.size == SIZE and footage.kind == "video" and footage.frames == len(truth) >= 39
    assert footage.rate_hz == pytest.approx(25, abs=0.01)
    assert [pts for pts, _ in truth] == footage.pts.tolist()
    for start, stop in [(0, None), (9, 12), (10, 11), (17, 24), (29, None), (38, None)]:
        got = list(footage.read(start, stop))
        assert [frame for frame, _ in got] == list(range(start, stop or len(truth)))
        assert all(np.array_equal(image, truth[frame][1]) for frame, image in got)


def test_read_of_nothing_is_empty(tmp_path):
    footage = Footage.probe(clip(tmp_path / "a.mp4"))
    assert list(footage.read(40)) == list(footage.read(5, 5)) == list(footage.read(7, 3)) == []
    assert [frame for frame, _ in footage.read(38, 400)] == [38, 39]


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],  # ISO 14496-12: x' = a x + c y, y' = b x + d y
)
def test_rotation_flag_is_applied(tmp_path, matrix, turns):
    path = clip(tmp_path / "phone.mp4", frames=12)
    plain = decoded(path)
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, box_at(data, b"tkhd") + 8 + 40, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    footage = Footage.probe(path)
    assert footage.size == (SIZE if turns == 2 else SIZE[::-1])
    for frame, image in footage.read(5):
        assert image.shape[1::-1] == footage.size and image.flags.c_contiguous
        assert np.array_equal(image, np.rot90(plain[frame][1], turns))


def test_frames_before_an_edit_list_are_not_counted(tmp_path):
    path = clip(tmp_path / "cut.mp4")
    data = bytearray(path.read_bytes())
    media_time = box_at(data, b"elst") + 8 + 4 + 4 + 4
    (delay,) = struct.unpack_from(">i", data, media_time)
    scale = Footage.probe(path).pts[1]
    struct.pack_into(">i", data, media_time, delay + 5 * int(scale))
    path.write_bytes(data)
    truth = decoded(path)
    footage = Footage.probe(path)
    assert footage.frames == len(truth) == 35
    assert all(np.array_equal(image, truth[frame][1]) for frame, image in footage.read(3))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_gives_gaps(tmp_path, suffix):
    kept = [frame for frame in range(60) if frame not in (7, 8, 30, 41)]
    footage = Footage.probe(clip(tmp_path / f"vfr.{suffix}", [round(frame * 1000 / 30) for frame in kept]))
    tick, dt_s = ticks(footage.time_s)
    assert tick.tolist() == kept
    assert dt_s == pytest.approx(1 / 30, rel=1e-3) and footage.rate_hz == pytest.approx(30, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    rate_hz=st.sampled_from([23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 119.88, 120, 240]),
    start_s=st.floats(0, 3),
    gap=st.integers(0, 400),
    jitter=st.floats(0, 0.15),
    seed=st.integers(0, 9),
)
def test_ticks_do_not_drift(rate_hz, start_s, gap, jitter, seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(int(600 * rate_hz))
    kept = rng.random(len(truth)) > 0.01
    kept[1000 : 1000 + gap] = False
    kept[:10] = True
    truth = truth[kept]
    late = jitter * rng.uniform(-1, 1, len(truth))
    time_s = np.round(start_s + (truth + late) / rate_hz, 3)
    tick, dt_s = ticks(time_s)
    assert np.array_equal(tick, truth)
    assert dt_s == pytest.approx(1 / rate_hz, rel=1e-5)


def test_ticks_of_odd_clocks():
    assert ticks(np.array([]))[0].tolist() == [] and ticks(np.array([3.0]))[0].tolist() == [0]
    assert ticks(np.array([1.0, 1.5]))[0].tolist() == [0, 1]
    tick, _ = ticks(np.array([0, 1, 2, 2.1, 3, 4, 7, 8]) / 30)
    assert tick.tolist() == [0, 1, 2, -1, 3, 4, 7, 8] and (tick < 0).sum() == 1
    slower = np.r_[np.arange(600) / 30, 20 + np.arange(480) / 24]  # a phone that lengthens its exposure
    tick, dt_s = ticks(slower)
    assert np.abs(tick * dt_s - slower)[tick >= 0].max() < 0.9 / 30


@pytest.mark.parametrize(("suffix", "options"), [("mp4", {}), ("mkv", {}), ("avi", {"codec": "mjpeg"})])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, suffix, options, share):
    path = clip(tmp_path / f"clip.{suffix}", **options)
    assert missing_bytes(path) == 0
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    fail(path, "cut short")


def test_an_index_in_front_does_not_hide_the_cut(tmp_path):
    whole, path = clip(tmp_path / "whole.mp4"), tmp_path / "front.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert Footage.probe(path).frames == 40
    path.write_bytes(path.read_bytes()[:-200])
    fail(path, "cut short", "bytes are missing")


def test_broken_and_missing_files(tmp_path):
    text, empty = tmp_path / "text.mp4", tmp_path / "empty.mp4"
    text.write_text("these are not the pictures you are looking for\n" * 50)
    empty.touch()
    fail(tmp_path / "none.mp4", "no such file")
    fail(text, "not a video")
    fail(empty, "empty")


def test_a_sound_file_has_no_pictures(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    fail(path, "no video stream")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_zero_frames(tmp_path, suffix):
    fail(clip(tmp_path / f"zero.{suffix}", []), str(tmp_path))


def test_damage_in_the_middle_is_left_out_not_fatal(tmp_path):
    path = clip(tmp_path / "damaged.mp4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    got = [frame for frame, _ in Footage.probe(path).read()]
    assert got == sorted(set(got)) and 30 <= len(got) <= 40


def test_image_folder_in_natural_order(tmp_path):
    import cv2

    for frame in range(12):
        cv2.imwrite(str(tmp_path / f"shot{frame}.png"), picture(frame)[..., ::-1])
    footage = Footage.probe(tmp_path, rate_hz=50)
    assert (footage.kind, footage.frames, footage.size, footage.notes) == ("images", 12, SIZE, ())
    assert np.allclose(footage.time_s, np.arange(12) / 50)
    assert all(np.array_equal(image, picture(frame)) for frame, image in footage.read(9))
    assert "assumed" in Footage.probe(tmp_path).notes[0]
    fail(tmp_path, "above 0", rate_hz=-1)
    before = footage.identity()
    cv2.imwrite(str(tmp_path / "shot5.png"), picture(5, (32, 32))[..., ::-1])
    assert footage.identity() != before
    with pytest.raises(InputError, match="one view has one size"):
        list(footage.read())
    (tmp_path / "shot0.png").write_text("no image")
    fail_in = tmp_path / "shot0.png"
    with pytest.raises(InputError, match="not an image") as caught:
        Footage.probe(tmp_path)
    assert str(fail_in) in str(caught.value)


def test_empty_folder(tmp_path):
    fail(tmp_path, "no jpg, png or tif")


def test_identity_follows_the_content_not_the_name(tmp_path):
    a, b = clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", frames=39)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(a.read_bytes())
    identities = [Footage.probe(path).identity() for path in (a, b, copy)]
    assert identities[0] == identities[2] != identities[1]


def test_memory_stays_flat(tmp_path):
    footage = Footage.probe(clip(tmp_path / "long.mp4", frames=400))
    tracemalloc.start()
    for frame, _ in footage.read():
        if frame == 20:
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert late - early < 200_000


def test_write_video_pads_odd_sizes_and_leaves_no_half_file(tmp_path):
    path = write_video(tmp_path / "odd.mp4", (picture(frame, (63, 47)) for frame in range(10)), 30000 / 1001, (63, 47))
    footage = Footage.probe(path)
    assert footage.size == (64, 48) and footage.frames == 10
    assert footage.rate_hz == pytest.approx(30000 / 1001, rel=1e-6)
    for frame, image in footage.read():
        assert np.abs(image[:16, :16].astype(int) - 255).mean() < 12, frame

    def broken():
        yield picture(0)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_video(tmp_path / "half.mp4", broken(), 30, SIZE)
    with pytest.raises(InputError, match="at least one"):
        write_video(tmp_path / "none.mp4", [], 30, SIZE)
    with pytest.raises(InputError, match="shape"):
        write_video(tmp_path / "wrong.mp4", [picture(0, (32, 32))], 30, SIZE)
    with pytest.raises(InputError, match="cannot be written"):
        write_video(tmp_path / "nowhere" / "a.mp4", [picture(0)], 30, SIZE)
    assert [file.name for file in Path(tmp_path).iterdir()] == ["odd.mp4"]
