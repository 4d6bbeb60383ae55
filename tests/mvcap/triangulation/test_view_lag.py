"""Views out of step are told from people who move."""

import numpy as np
import pytest
from synthetic_take import ring_rig, truth

from mvcap.structures.detections import Detections2D
from mvcap.triangulation.joint_observations import joint_observations
from mvcap.triangulation.view_lag import ViewLag

FRAMES = 120


def seen(rig, poses, late):
    """What each view sees of the poses, view 2 ``late`` frames too late, with 2 px of noise."""
    noise = np.random.default_rng(0)
    tables = []
    for frame in range(FRAMES):
        for view in range(len(rig)):
            shown = frame - late if view == 2 else frame
            rows = poses[poses.frame == np.clip(shown, 0, FRAMES - 1)]
            xy = rig.cameras[view].project(rows.xyz.astype(float)) + noise.normal(0, 2, (*rows.xyz.shape[:2], 2))
            found = Detections2D.build(rows.skeleton, frame, view, xy, np.full(xy.shape[:2], 0.9), 1.0)
            tables.append(
                found.with_columns(person=rows.group, noise_px=np.where(np.isnan(found.xy[..., 0]), np.nan, 2.0))
            )
    return Detections2D.concatenate(tables, poses.skeleton)


@pytest.mark.parametrize("late", [-3, 0, 1, 2, 4])
def test_the_late_view_is_named(late):
    rig = ring_rig(5)
    poses = truth(FRAMES, people=2)
    lag = ViewLag(rig)
    lag.add(seen(rig, poses, late), poses)
    found = lag.late_frames()
    if late == 0:
        assert found == {}
    else:
        assert list(found) == [rig.names[2]]
        assert found[rig.names[2]] == pytest.approx(late, abs=0.3)


def test_people_who_stand_tell_nothing():
    rig = ring_rig(5)
    poses = truth(FRAMES, people=2)
    still = poses[poses.frame == 0]
    poses = type(poses).concatenate(
        [still.with_columns(frame=np.full(len(still), frame)) for frame in range(FRAMES)], poses.skeleton
    )
    lag = ViewLag(rig)
    lag.add(seen(rig, poses, 3), poses)
    assert lag.late_frames() == {}


def test_a_long_take_keeps_some_of_its_chunks(monkeypatch):
    from mvcap.triangulation import view_lag

    monkeypatch.setattr(view_lag, "_MOST_FRAMES", 60)
    rig, poses = ring_rig(5), truth(FRAMES, people=2)
    rows, lag = seen(rig, poses, 2), ViewLag(rig)
    for start in range(0, FRAMES, 20):
        lag.add(rows[(rows.frame >= start) & (rows.frame < start + 20)], poses)
    assert lag.late_frames()[rig.names[2]] == pytest.approx(2, abs=0.3)


def test_people_keep_their_columns_while_they_are_seen():
    rig, poses = ring_rig(3), truth(8, people=2)
    rows = seen(rig, poses, 0)
    rows = rows[(rows.frame < 8) & ((rows.person == rows.person.max()) | (rows.frame < 3) | (rows.frame > 5))]
    kept = joint_observations(rows, rig, 10.0)
    assert kept.xy.shape == (3, 8, 2 * len(rows.skeleton), 2)
    of_second = kept.xy[0, :, len(rows.skeleton) :]
    np.testing.assert_array_equal(np.isfinite(of_second).any((1, 2)), [True] * 8)


def test_lags_of_all_views_and_the_joints_kept_are_told():
    rig, poses = ring_rig(5), truth(FRAMES, people=2)
    lag = ViewLag(rig)
    assert lag.observations() is None and np.isnan(lag.lag_frames()).all()
    lag.add(seen(rig, poses, 2), poses)
    found = lag.lag_frames()
    assert found[2] == pytest.approx(2, abs=0.3) and not (np.abs(np.delete(found, 2)) > 0.3).any()
    table, kind = lag.observations()
    assert table.views == rig.names and len(table.moments) == FRAMES and kind == poses.skeleton
    two = ViewLag(rig.select(rig.names[:2]))
    rows = seen(rig, poses, 0)
    two.add(rows[rows.view < 2], poses)
    assert np.isnan(two.lag_frames()).all() and two.late_frames() == {}
