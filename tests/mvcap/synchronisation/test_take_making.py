"""Takes that methods of synchronisation are given, from videos and sessions."""

import numpy as np
import pytest
from sounding_clips import write_sounding
from unsynchronised_take import COCO, unsynchronised

import mvcap
from calib import save_rig
from mvcap.errors import InputError
from mvcap.progress import silent
from mvcap.structures.detection_table import write_detections_npz
from mvcap.synchronisation.take_making import take_of_session, take_of_videos


def test_takes_of_videos_have_their_files_and_times(tmp_path):
    files = [
        write_sounding(tmp_path / name / "a.mkv", np.ones(16000), frames=count)
        for name, count in (("x", 20), ("y", 30))
    ]
    take = take_of_videos(files)
    assert take.footage == tuple(files) and take.rows is None and take.seconds == pytest.approx(29 / 25)
    assert take.names == tuple(map(str, files))  # two files of one name are told apart
    with pytest.raises(InputError, match="two videos"):
        take_of_videos(files[:1])


def test_takes_of_sessions_have_people_and_the_rig(tmp_path):
    rows, rig, _ = unsynchronised("walk", 0, 60)
    save_rig(rig, tmp_path / "rig.yaml")
    write_detections_npz(tmp_path / "rows.npz", [rows], rig.names, COCO)
    session = mvcap.Session.create(tmp_path / "rig.yaml", tmp_path / "take", frames=60, rate_hz=30.0)
    session.override({"estimator": "table", "estimators": {"table": {"file": str(tmp_path / "rows.npz")}}})
    take = take_of_session(session, True, silent)
    assert len(take.rows.between(0, 60)) == len(rows) and take.step == 1 and take.rig.names == rig.names
    assert np.allclose(take.first_s, 0) and take_of_session(session, False, silent).rows is None
