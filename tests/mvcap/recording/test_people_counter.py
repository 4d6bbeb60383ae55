"""People are counted while it is recorded: true numbers, a bounded share of the processor, and no frame is lost."""

import threading
import time

import numpy as np
from camera_server import camera, numbered_jpegs
from demo_people import needs, picture
from synthetic_take import COCO

from mvcap.record import count_people
from mvcap.recording.people_counter import PeopleCounter
from mvcap.recording.preview import Preview
from mvcap.recording.recorder import Recorder
from mvcap.sources.mjpeg import Mjpeg
from mvcap.structures.contracts import Estimate
from mvcap.structures.detections import Detections2D
from mvcap.structures.live_frames import LiveFrame

SIZE = (320, 180)


def test_people_on_the_newest_picture_are_counted():
    needs("movenet-multipose", "movenet-lightning")
    preview = Preview(["a", "b", "c"])
    counter = count_people(Recorder(None, {}), preview)
    counter._codec_of = lambda name: ""
    preview.listen("a", LiveFrame(0, image=picture("cam01", 60)), 0.0)
    preview.listen("b", LiveFrame(0, image=picture("cam03", 60)), 0.0)
    preview.listen("c", LiveFrame(0, image=np.full((480, 640, 3), 90, np.uint8)), 0.0)
    counter.start()
    end = time.monotonic() + 30
    while len([name for name in "abc" if "people" in preview.facts(name)]) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    counter.stop()
    assert [preview.facts(name)["people"] for name in "abc"] == [3, 2, 0]  # cam01 has a third one at the wall


class Slow:
    """An estimator that works 0.1 s on each picture and finds as many people as it has seen pictures."""

    skeleton, needs_images = COCO, True

    def __init__(self):
        self.pictures = []

    def prepare(self, views):
        return "slow"

    def estimate(self, image, frame, view, state):
        self.pictures.append((view.name, image.shape))
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            np.sort(image, axis=None)
        rows = len(self.pictures)
        xy = np.zeros((rows, len(COCO), 2))
        return Estimate(Detections2D.build(COCO, frame, view.index, xy, np.ones(xy.shape[:2]), 1.0), state)


def test_counting_takes_a_bounded_share_and_no_frame(tmp_path):
    slow = Slow()
    with camera(numbered_jpegs(100, SIZE), 40.0) as served:
        recorder = Recorder(
            tmp_path / "r", {name: Mjpeg(served.address(name)) for name in "ab"}, seconds=2.0, keep_free=0
        )
        preview = Preview(["a", "b"])
        recorder.listen(preview.listen)
        counter = count_people(recorder, preview, slow)
        assert isinstance(counter, PeopleCounter) and not preview.facts("a").get("people")
        counter.start()
        begun = time.monotonic()
        made = recorder.run()
        counter.stop()
        seconds = time.monotonic() - begun
    assert made.complete and [view.lost for view in made.views] == [0, 0]
    assert 2 <= len(slow.pictures) <= 0.25 * (seconds + 1) / 0.1 + 2
    assert {name for name, _ in slow.pictures} == {"a", "b"} and slow.pictures[0][1] == (270, 480, 3)
    assert preview.facts("a")["people"] > 0 and "count people" not in [one.name for one in threading.enumerate()]
