"""Industrial cameras: the real protocol on loopback, Aravis's own camera, pixel formats, numbers and controls."""

import json

import numpy as np
import pytest
from gige_camera import gige_camera, needs_aravis

import mvcap
from mvcap.errors import InputError, SourceError
from mvcap.sources import genicam_aravis
from mvcap.sources.genicam import FrameCounter, Genicam
from mvcap.sources.genicam_aravis import AravisCamera
from mvcap.sources.genicam_controls import set_camera_controls
from mvcap.sources.genicam_pixels import PIXEL_FORMATS, rgb_of_pixels
from mvcap.structures.camera_controls import CameraControls


def frames_of(address, count):
    stream = Genicam(address).open()
    try:
        return stream.format, [stream.read() for _ in range(count)]
    finally:
        stream.close()


@needs_aravis
@pytest.mark.parametrize("pixels", ["Mono8", "BayerRG8", "RGB8", "Mono16"])
def test_images_come_with_the_times_and_numbers_of_the_camera(pixels):
    form, frames = frames_of(f"Fake_1?pixels={pixels}&rate=50", 20)
    assert form.size == (512, 512) and form.rate_hz == 50 and form.controls["exposure_ms"] == 10
    assert [frame.number for frame in frames] == list(range(20))
    assert abs(np.median(np.diff([frame.source_s for frame in frames])) - 0.02) < 2e-3
    assert all(frame.image.shape == (512, 512, 3) and np.ptp(frame.image) > 0 for frame in frames)


@needs_aravis
def test_gige_vision_whose_packets_are_lost_is_recorded_and_what_is_missing_is_counted(tmp_path):
    with gige_camera(lost_permille=2) as address:
        made = mvcap.record(
            tmp_path / "r", [f"a=genicam:{address}"], seconds=3, keep_free_gb=0, controls=CameraControls(exposure=8)
        )
    [view] = made.views
    assert made.complete and view.lost > 0 and abs(view.frames + view.lost - 75) < 5
    assert {gap["why"] for gap in view.gaps} == {"number"} and view.controls["exposure_ms"] == 8
    told = json.loads((tmp_path / "r" / "recording.json").read_text())["views"][0]
    assert told["controls"] == view.controls and told["lost"] == view.lost


@needs_aravis
def test_controls_are_set_and_what_a_camera_lacks_is_a_line():
    camera = AravisCamera("Fake_1")
    asked = CameraControls(exposure="7.5", gain=3, white_balance="lock")
    found, notes = set_camera_controls(camera, asked)
    assert (found["exposure_ms"], found["gain"], found["gain_auto"]) == (7.5, 3, "off")
    assert notes == ("white_balance: the camera has none that can be set",)
    found, notes = set_camera_controls(camera, CameraControls(exposure="auto", gain="auto"))
    assert found["gain_auto"] == "on" and notes == ("exposure: the camera has no automatic; it stays as it is",)
    with pytest.raises(SourceError, match=r"exposure 20000 ms is not within 0.01 to 10000"):
        set_camera_controls(camera, CameraControls(exposure=20000))
    camera.close()


@needs_aravis
@pytest.mark.parametrize(
    ("address", "words"),
    [("nothing", "'nothing' not found"), ("Fake_1?pixels=Mono7", "Mono7"),
     ("Fake_1?gain=99", "gain 99 is not within 0 to 10")],
)  # fmt: skip
def test_what_a_camera_refuses_is_one_line(address, words):
    with pytest.raises(SourceError, match=words) as caught:
        frames_of(address, 1)
    assert "\n" not in str(caught.value)


@needs_aravis
def test_a_trigger_that_does_not_come_is_told():
    with gige_camera() as address, pytest.raises(SourceError, match="no image in 2 s: no trigger came on Software"):
        frames_of(f"{address}?trigger=Software", 1)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(genicam_aravis, "NAMES", ())
    monkeypatch.setattr(genicam_aravis.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(SourceError, match=r"install libaravis-0.8-0"):
        genicam_aravis.aravis_library.__wrapped__()
    with pytest.raises(InputError, match="no option zoom=2; there are pixels="):
        Genicam("Fake_1?zoom=2")


def test_numbers_of_16_bits_go_on_and_a_camera_that_begins_anew_is_no_gap():
    counter = FrameCounter()
    assert [counter.number(given) for given in (65533, 65534, 65535, 1, 2, 5)] == [0, 1, 2, 3, 4, 7]
    wide = FrameCounter()
    assert [wide.number(given) for given in (70000, 70001, 70005, 0, 1)] == [0, 1, 5, 6, 7]


COLOUR = np.array([200, 120, 40], np.uint8)  # red, green, blue


def sent(name, bits):
    """Bytes of 8 x 8 px of one colour, or of grey 120, in a format."""
    values = np.broadcast_to(COLOUR, (8, 8, 3))
    if name.startswith("Bayer"):
        first = {"GR": "GRBG", "RG": "RGGB", "GB": "GBRG", "BG": "BGGR"}[name[5:7]]
        values = np.tile([[COLOUR["RGB".index(c)] for c in first[:2]], [COLOUR["RGB".index(c)] for c in first[2:]]],
                         (4, 4))  # fmt: skip
    elif name.startswith("Mono"):
        values = np.full((8, 8), 120)
    elif name == "BGR8":
        values = values[..., ::-1]
    elif name.startswith("YUV"):
        values = np.full((8, 8, 2), 128)
    return (values.astype(np.uint16) << (bits - 8)).astype("<u2" if bits > 8 else np.uint8).tobytes()


@pytest.mark.parametrize("pixels", PIXEL_FORMATS)
def test_every_pixel_format_becomes_rgb(pixels):
    name, bits, _ = PIXEL_FORMATS[pixels]
    image = rgb_of_pixels(sent(name, bits), (8, 8), pixels)
    expected = COLOUR if name.startswith(("Bayer", "RGB", "BGR")) else [130] * 3 if name.startswith("YUV") else 120
    assert image.shape == (8, 8, 3) and np.abs(image[2:6, 2:6].astype(int) - expected).max() <= 1
    assert rgb_of_pixels(b"short", (8, 8), pixels) is None and rgb_of_pixels(bytes(64), (8, 8), 7) is None
