"""The list of frames: read back as written, without the line that a crash cut short."""

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.recording.frame_log import FrameLog, read_frame_log


def test_lines_are_read_back_and_there_before_the_file_is_closed(tmp_path):
    log = FrameLog(tmp_path / "a.csv")
    log.add(0, 0.5, 10, 20, 3.25, 7, 0, 100)
    log.add(1, 0.533333, 11, 21, None, None, 2, 0)
    for _ in range(2):
        times = read_frame_log(tmp_path / "a.csv")
        np.testing.assert_allclose(times.capture_s, [0.5, 0.533333])
        assert times.wall_ns.tolist() == [20, 21] and times.lost_before.tolist() == [0, 2]
        assert times.source_s[0] == 3.25 and np.isnan(times.source_s[1])
        log.close()


def test_a_cut_line_is_left_out(tmp_path):
    log = FrameLog(tmp_path / "a.csv")
    log.add(0, 0.5, 10, 20, None, None, 0, 0)
    log.close()
    with (tmp_path / "a.csv").open("a") as stream:
        stream.write("1,0.6,1")
    assert len(read_frame_log(tmp_path / "a.csv").capture_s) == 1


HEADER = "frame,capture_s,received_ns,wall_ns,source_s,number,lost_before,bytes\n"


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HEADER + "0,x,1,1,,,0,0\n"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="is not the list of frames"):
        read_frame_log(tmp_path / "a.csv")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_frame_log(tmp_path / "a.csv")
