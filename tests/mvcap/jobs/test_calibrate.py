"""Job calibrate: folders of footage become calibrations beside them, once."""

import numpy as np
import pytest
from board_footage import Look, footage
from generated_boards import Take, arc_rig, carried, volume_points, volume_rms

from calib import load_rig
from calib.boards import board_from
from calib.errors import CalibrationError
from mvcap.errors import ConfigError, InputError
from mvcap.jobs.calibrate import CalibrateJob

SPEC = "charuco:7x5:60mm:44mm:DICT_5X5_100"
ROOM = np.array([0.7, 1.0, 0.8])


def test_a_folder_is_calibrated_once(tmp_path):
    board = board_from(SPEC)
    path = carried(board, 1, volume_m=ROOM, turns_deg=(32, 22, 25))
    take = Take(arc_rig(3, 1, radius_m=1.5, size=(640, 360)), path, board, frames=50, rate_hz=5)
    footage(take, tmp_path / "monday", Look(noise=1.0, defocus_px=0.3))
    job, item, settings = CalibrateJob(), tmp_path / "monday", {"board": SPEC}
    facts = job.run(item, settings)
    assert facts["verdict"] == "good" and (tmp_path / facts["page"]).exists() and job.stands(item, facts)
    rig = tmp_path / "monday.calibration" / "rig.yaml"
    assert volume_rms(load_rig(rig), take.rig, volume_points(ROOM)) < 1.0  # mm
    before = rig.stat().st_mtime_ns
    assert job.run(item, settings) == facts and rig.stat().st_mtime_ns == before
    assert job.items(tmp_path) == ["monday"]  # not its result
    assert not job.stands(tmp_path / "tuesday", facts | {"page": "tuesday.calibration/calibration.html"})


def test_settings_are_those_of_the_verb(tmp_path):
    CalibrateJob().check({"board": SPEC, "frames": 10})
    with pytest.raises(ConfigError, match="--set bord: calibrate has no such setting; there are: board, rig, "):
        CalibrateJob().check({"bord": SPEC})
    with pytest.raises(CalibrationError):
        CalibrateJob().check({"board": "chessboard:9"})
    (tmp_path / "notes").mkdir()
    with pytest.raises(InputError, match="no folder in it holds videos or images"):
        CalibrateJob().items(tmp_path)
