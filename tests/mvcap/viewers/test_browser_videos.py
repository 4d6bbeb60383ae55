"""Proxies of a session's videos: frame f is frame f of the session, in the mosaic and alone, also where one dropped."""

import time

import av
import numpy as np
import pytest
from numbered_videos import numbered_session, read_number

from mvcap.errors import InputError
from mvcap.structures.video_writer import write_video
from mvcap.viewers import browser_videos
from mvcap.viewers.browser_videos import ProxyVideos, is_whole, mosaic_tiles

FRAMES = 40
DROPPED = (11, 12, 30)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return numbered_session(tmp_path_factory.mktemp("numbered"), FRAMES, dropped=DROPPED)


def pictures(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_session_has_dropped_frames(session):
    assert [frame for frame in range(FRAMES) if session.frame_of[frame, 2] < 0] == list(DROPPED)


def test_every_tile_of_every_frame_is_that_frame(session, tmp_path):
    proxy = ProxyVideos(session, tmp_path).make(None)
    shown = pictures(proxy.path)
    assert len(shown) == FRAMES and [tile.view for tile in proxy.tiles] == list(session.names)
    for frame, whole in enumerate(shown):
        assert whole.shape[1::-1] == proxy.size
        for view, tile in enumerate(proxy.tiles):
            part = whole[tile.y : tile.y + tile.h, tile.x : tile.x + tile.w]
            if view == 2 and frame in DROPPED:
                assert np.ptp(part[8:-8, 8:-8].astype(int)) < 12, "grey, not the picture of another frame"
            else:
                assert read_number(part) == frame


def test_one_view_alone_is_made_once_and_kept(session, tmp_path):
    videos = ProxyVideos(session, tmp_path)
    first = videos.make(1)
    assert [read_number(picture) for picture in pictures(first.path)] == list(range(FRAMES))
    (tile,) = first.tiles
    assert (tile.view, tile.x, tile.y, tile.scale) == (session.names[1], 0, 0, 1.0)
    made = first.path.stat().st_mtime_ns
    assert ProxyVideos(session, tmp_path).make(1).path.stat().st_mtime_ns == made
    assert [path.name for path in tmp_path.iterdir()] == [first.path.name], "nothing half-written"


def test_no_frame_is_coded_from_a_later_one_and_key_frames_are_close(session, tmp_path):
    with av.open(str(ProxyVideos(session, tmp_path).make(None).path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        rate = stream.average_rate
    assert abs(float(rate) - session.rate_hz) < 1e-3
    assert [packet.pts for packet in packets] == sorted(packet.pts for packet in packets)
    assert all(packet.pts == packet.dts for packet in packets)
    keys = [at for at, packet in enumerate(packets) if packet.is_keyframe]
    assert keys[0] == 0 and max(np.diff([*keys, FRAMES])) <= 5


def test_it_is_made_in_the_background_and_stops_on_demand(session, tmp_path):
    videos = ProxyVideos(session, tmp_path)
    proxy = videos.proxy(None)
    assert videos.proxy(None) is proxy
    finished(proxy)
    stopped = ProxyVideos(session, tmp_path / "other")
    other = stopped.proxy(None)
    stopped.stop()
    assert other.done < 1 and not list((tmp_path / "other").glob("*")), "nothing half-written once it has stopped"


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"no video", lambda whole: b""]
)
def test_a_damaged_proxy_is_made_again(session, tmp_path, damage):
    videos = ProxyVideos(session, tmp_path)
    path = videos.make(None).path
    whole = path.read_bytes()
    assert is_whole(path, FRAMES) and not is_whole(path, FRAMES + 1)
    path.write_bytes(damage(whole))
    assert not is_whole(path, FRAMES)
    assert len(pictures(ProxyVideos(session, tmp_path).make(None).path)) == FRAMES
    path.unlink()
    finished(videos.proxy(None))


def finished(proxy):
    until = time.monotonic() + 30
    while proxy.done < 1 and not proxy.failed and time.monotonic() < until:
        time.sleep(0.01)
    assert proxy.done == 1 and proxy.path.is_file(), proxy.failed


def test_what_failed_is_begun_again_when_its_video_is_back(session, tmp_path, monkeypatch):
    monkeypatch.setattr(browser_videos, "_AGAIN_S", 0.05)
    videos = session.folder.parent / "videos"
    moved = videos.rename(videos.with_name("gone"))
    made = ProxyVideos(session, tmp_path)
    until = time.monotonic() + 10
    while not made.proxy(0).failed and time.monotonic() < until:
        time.sleep(0.01)
    moved.rename(videos)
    time.sleep(0.1)
    finished(made.proxy(0))
    old = tmp_path / f"0-{'a' * 12}.mp4"
    old.write_bytes(b"of an older version")
    made.proxy(0).path.unlink()
    finished(made.proxy(0))
    assert not old.exists()


def test_what_cannot_be_shown_says_why(session, tmp_path):
    with pytest.raises(InputError, match="no video 99; the views are 0 to 2"):
        ProxyVideos(session, tmp_path).proxy(99)
    videos = session.folder.parent / "videos"
    moved = videos.rename(videos.with_name("elsewhere"))
    try:
        with pytest.raises(InputError, match="missing; restore it"):
            ProxyVideos(session, tmp_path).make(None)
        assert not list(tmp_path.iterdir())
    finally:
        moved.rename(videos)


def test_a_disk_that_is_full_leaves_nothing(tmp_path):
    def broken():
        yield np.zeros((32, 32, 3), np.uint8)
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        write_video(tmp_path / "a.mp4", broken(), 25.0, (32, 32), seekable=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 12, 16])
@pytest.mark.parametrize("size", [(1920, 1080), (1088, 1920), (641, 481), (64, 48)])
def test_tiles_fill_a_mosaic_without_overlap(count, size):
    names = tuple(f"cam{index}" for index in range(count))
    (width, height), tiles = mosaic_tiles(names, [size] * count)
    assert len(tiles) == count and width <= 1120 and height <= 860 and width % 2 == height % 2 == 0
    covered = np.zeros((height, width), int)
    for tile in tiles:
        assert tile.x + tile.w <= width and tile.y + tile.h <= height
        assert tile.w / tile.h == pytest.approx(size[0] / size[1], rel=0.05) and tile.scale <= 1.0
        covered[tile.y : tile.y + tile.h, tile.x : tile.x + tile.w] += 1
    assert covered.max() == 1
    if size == (1920, 1080) and count == 4:
        assert covered.mean() > 0.95
