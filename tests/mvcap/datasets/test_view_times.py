"""Moments of views with clocks of their own: which image, how much later, and where people are then."""

import json
import shutil

import numpy as np
import pytest
from recorded_take import recorded_session

import mvcap
from mvcap.datasets.recorded import RecordedConfig, RecordedTake
from mvcap.datasets.splits import SplitConfig
from mvcap.datasets.view_times import image_moments, poses_at
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.view_offsets import ViewOffsets

RATE_HZ = 30.0


def circling(frames, rate_hz=RATE_HZ):
    """Joints (T, 1, 17, 3) m that go round at 2 m/s, at frames (T,), whole or not."""
    angle = np.asarray(frames) / rate_hz * 2.0 / 0.8 + np.arange(17)[:, None] * 0.1
    return np.stack([0.8 * np.cos(angle), 0.8 * np.sin(angle), 1 + 0 * angle], -1).transpose(1, 0, 2)[:, None]


def test_the_nearest_image_and_what_it_is_late_by():
    offsets = ViewOffsets(np.array([0.0, 2.4, -1.7]) / RATE_HZ, np.zeros(3), np.zeros(3), 0.0, "")
    own, later = image_moments(offsets, 10, 30, RATE_HZ)
    assert own.tolist() == [10, 12, 8] and later == pytest.approx([0, -0.4, -0.3])
    assert image_moments(offsets, 29, 30, RATE_HZ)[0].tolist() == [29, -1, 27]
    assert image_moments(offsets, 0, 30, RATE_HZ)[0].tolist() == [0, 2, -1]


@pytest.mark.parametrize("later", [-0.5, -0.2, 0.0, 0.4])
def test_people_are_where_they_are_at_that_moment(later):
    rows = Poses3D.from_dense(circling(np.arange(20)), "coco17")
    found = poses_at(rows.of(frame=7), rows, later)
    assert np.abs(found - circling([7 + later])[0]).max() < 2e-4
    assert np.abs(found - circling([7])[0]).max() > 0.5 * abs(later) * 2.0 / RATE_HZ
    for frame in (0, 19):  # a neighbour on one side only
        assert np.abs(poses_at(rows.of(frame=frame), rows, later) - circling([frame + later])[0]).max() < 4e-3
    alone = rows.of(frame=3)
    assert np.array_equal(poses_at(alone, alone, later), alone.xyz.astype(float))


def test_a_synchronised_session_has_truth_of_each_views_own_time(tmp_path):
    session = recorded_session(tmp_path / "take", frames=12)
    late_s = 0.4 / session.rate_hz
    views = [{"name": name, "offset_s": late_s * (name == session.names[2]), "drift_ppm": 0.0, "offset_sigma_s": 1e-4}
             for name in session.names]  # fmt: skip
    (session.folder / "sync.json").write_text(json.dumps({"views": views, "middle_s": 0.2, "take": session.identity}))
    session = Session.of(session.folder)
    for verb in (mvcap.associate, mvcap.triangulate, mvcap.track, mvcap.refine):
        shutil.rmtree(session.folder / "artefacts" / verb.__name__.rpartition(".")[2])
        verb(session)
    take = RecordedTake(session, RecordedConfig(splits=SplitConfig(by="none")))
    poses = take.poses.between(0, session.frames)
    compared = 0
    for one in take.frames():
        if one is None or not 0 < one.truth.frame < 11:
            continue
        for at, person in enumerate(one.truth.persons.tolist()):
            places = [poses.of(frame=one.truth.frame + step, person=person).xyz[0].astype(float) for step in (-1, 0, 1)]
            then = places[1] - 0.4 * (places[2] - places[0]) / 2
            for view, place in ((0, places[1]), (2, then)):
                apart = np.linalg.norm(session.rig[view].project(place) - one.truth.xy[at, view], axis=-1)
                assert np.nanmax(apart) < 0.05
                compared += 1
    assert compared > 20
    made = mvcap.generate(session, tmp_path / "out", formats=["coco"], every=4, splits={"by": "none"}, blur_faces=True)
    assert made.sheet["masks"] == {"volumes": 9} and len(list((tmp_path / "out" / "images").rglob("*.jpg"))) > 0
