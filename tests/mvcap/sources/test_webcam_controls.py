"""Controls of webcams: the numbers of Linux's own headers, and a camera of them that answers as a driver does."""

import shutil
import struct
import subprocess

import pytest

from mvcap.errors import InputError, SourceError
from mvcap.sources.webcam import Webcam
from mvcap.sources.webcam_controls import GET, QUERY, SET, set_webcam_controls
from mvcap.structures.camera_controls import AdjustableSource, CameraControls

EXPOSURE, EXPOSURE_AUTO, SLOWER, GAIN, AUTOGAIN = 0x009A0902, 0x009A0901, 0x009A0903, 0x00980913, 0x00980912
WHITE, WHITE_AUTO = 0x0098091A, 0x0098090C


class Driver:
    """Controls, id -> [value, least, greatest], by ioctl; a value that an automatic has is refused."""

    def __init__(self, **more):
        self.held = {EXPOSURE: [250, 1, 10000], EXPOSURE_AUTO: [3, 0, 3], SLOWER: [1, 0, 1], GAIN: [10, 0, 100],
                     WHITE: [5000, 2800, 6500], WHITE_AUTO: [1, 0, 1], **more}  # fmt: skip

    def __call__(self, file, request, data):
        control = struct.unpack_from("=I", data)[0]
        if control not in self.held:
            raise OSError(22, "Invalid argument")
        value, least, greatest = self.held[control]
        if request == QUERY:
            data[:] = struct.pack("=II32s4iI8x", control, 1, b"x", least, greatest, 1, value, 0)
        elif request == GET:
            data[:] = struct.pack("=Ii", control, value)
        elif request == SET:
            wanted = struct.unpack_from("=i", data, 4)[0]
            if (control == EXPOSURE_AUTO and wanted == 0) or (control == EXPOSURE and self.held[EXPOSURE_AUTO][0] != 1):
                raise OSError(22, "Invalid argument")
            self.held[control][0] = wanted


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler to read the header with")
def test_the_numbers_are_those_of_the_header(tmp_path):
    names = ["VIDIOC_G_CTRL", "VIDIOC_S_CTRL", "VIDIOC_QUERYCTRL", "V4L2_CID_EXPOSURE_ABSOLUTE",
             "V4L2_CID_EXPOSURE_AUTO", "V4L2_CID_EXPOSURE_AUTO_PRIORITY", "V4L2_CID_GAIN", "V4L2_CID_AUTOGAIN",
             "V4L2_CID_WHITE_BALANCE_TEMPERATURE", "V4L2_CID_AUTO_WHITE_BALANCE", "V4L2_EXPOSURE_MANUAL",
             "V4L2_EXPOSURE_APERTURE_PRIORITY"]  # fmt: skip
    printed = "".join(f'printf("%u\\n", (unsigned) {name});' for name in names)
    (tmp_path / "a.c").write_text(f"#include <stdio.h>\n#include <linux/videodev2.h>\nint main() {{ {printed} }}")
    if subprocess.run(["gcc", "a.c", "-o", "a"], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("no header linux/videodev2.h")
    told = [int(line) for line in subprocess.run([tmp_path / "a"], capture_output=True, check=True).stdout.split()]
    assert told == [GET, SET, QUERY, EXPOSURE, EXPOSURE_AUTO, SLOWER, GAIN, AUTOGAIN, WHITE, WHITE_AUTO, 1, 3]


def test_values_are_set_and_told_and_automatics_go_off(tmp_path):
    (tmp_path / "video0").touch()
    driver = Driver()
    asked = CameraControls(exposure=8, gain=4, white_balance=4600)
    found, notes = set_webcam_controls(str(tmp_path / "video0"), asked, driver)
    assert notes == () and found == {"exposure_ms": 8, "exposure_auto": "off", "gain": 4, "white_balance_k": 4600,
                                     "white_balance_auto": "off"}  # fmt: skip
    assert driver.held[EXPOSURE][0] == 80 and driver.held[SLOWER][0] == 0
    found, notes = set_webcam_controls(str(tmp_path / "video0"), CameraControls("auto", "auto", "auto"), driver)
    assert (found["exposure_auto"], found["white_balance_auto"]) == ("on", "on") and driver.held[EXPOSURE_AUTO][0] == 3
    assert notes == ("gain: the camera has no automatic; it stays as it is",)
    found, _ = set_webcam_controls(str(tmp_path / "video0"), CameraControls(exposure="lock"), driver)
    assert found["exposure_ms"] == 8 and found["exposure_auto"] == "off"


def test_what_a_camera_lacks_or_refuses_is_one_line(tmp_path):
    (tmp_path / "video0").touch()
    driver = Driver()
    for control in (GAIN, WHITE, WHITE_AUTO):
        del driver.held[control]
    asked = CameraControls(gain=3, white_balance="lock")
    found, notes = set_webcam_controls(str(tmp_path / "video0"), asked, driver)
    assert [note.partition(":")[0] for note in notes] == ["gain", "white_balance"] and "gain" not in found
    with pytest.raises(SourceError, match=r"exposure 2000 ms is not within 0.1 to 1000"):
        set_webcam_controls(str(tmp_path / "video0"), CameraControls(exposure=2000), driver)
    with pytest.raises(SourceError, match="controls cannot be opened"):
        set_webcam_controls(str(tmp_path / "none"), asked, driver)
    assert isinstance(Webcam("0?exposure=8&size=640x480"), AdjustableSource)
    with pytest.raises(InputError, match=r"exposure 'long' is none: give a number, as 8 \(ms\), or auto, or lock"):
        Webcam("0?exposure=long")
