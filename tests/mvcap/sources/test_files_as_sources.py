"""Sources webcam, replay and images: paced like a camera, and what is wrong with an address."""

import time
from itertools import pairwise

import pytest
from camera_server import number_in, numbered_jpegs, numbered_picture

from mvcap.errors import InputError, SourceError
from mvcap.recording.picture_decoder import PictureDecoder
from mvcap.sources.images import Images
from mvcap.sources.replay import Replay
from mvcap.sources.webcam import Webcam
from mvcap.structures.video_writer import write_video

SIZE = (320, 180)


def played(source, most=1000):
    """Numbers shown, times stated, and seconds that it took."""
    stream = source.open()
    decoder, shown, times, begun = PictureDecoder(stream.format.codec), [], [], time.monotonic()
    while len(shown) < most and (frame := stream.read()) is not None:
        shown.append(number_in(decoder.image(frame)))
        times.append(frame.source_s)
    stream.close()
    return shown, times, time.monotonic() - begun


def test_a_video_plays_at_its_own_rate_and_again(tmp_path):
    video = write_video(tmp_path / "a.mp4", (numbered_picture(n, SIZE) for n in range(20)), 40.0, SIZE)
    shown, times, seconds = played(Replay(str(video)))
    assert shown == list(range(20)) and times[-1] == pytest.approx(19 / 40) and 0.4 < seconds < 2
    source = Replay(f"{video}?loop")
    shown, times, _ = played(source, 50)
    assert shown == [*range(20), *range(20), *range(10)] and not source.ends and Replay(str(video)).ends
    assert [b - a for a, b in pairwise(times)] == pytest.approx([1 / 40] * 49, abs=1e-3)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_images_play_at_the_rate_given(tmp_path, suffix):
    import cv2

    for number, data in enumerate(numbered_jpegs(10, SIZE)):
        path = tmp_path / f"cam_{number:04d}.{suffix}"
        path.write_bytes(data) if suffix == "jpg" else cv2.imwrite(str(path), numbered_picture(number, SIZE))
    shown, times, seconds = played(Images(f"{tmp_path}?rate=50"))
    assert shown == list(range(10)) and times[-1] == pytest.approx(9 / 50) and seconds > 0.17


def test_what_is_wrong_is_one_line(tmp_path):
    for address in (f"{tmp_path}?rate=fast", f"{tmp_path}?speed=2", f"{tmp_path}?rate=0"):
        with pytest.raises(InputError, match="give the rate as FOLDER"):
            Images(address)
    with pytest.raises(SourceError, match="holds no jpg"):
        Images(str(tmp_path)).open()
    with pytest.raises(SourceError, match="cannot be opened"):
        Replay(str(tmp_path / "none.mp4")).open()
    for address in ("0?size=big", "0?zoom=2", "0?rate="):
        with pytest.raises(InputError, match="there are size=1280x720, rate=30 and pixels=mjpeg"):
            Webcam(address)
    with pytest.raises(SourceError, match=r"^77: .*cannot be opened") as caught:
        Webcam("77").open()
    assert "\n" not in str(caught.value)
