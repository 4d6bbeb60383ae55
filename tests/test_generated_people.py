"""Generated takes are what they say: limbs of one length, smooth motion, people as close as stated, and away."""

import numpy as np
import pytest
from generated_people import HALPE, HIDING, circle, crossing, disturbed, hugs, make_session, ring_rig

import mvcap


def dense(take):
    truth, _, _ = take
    return truth.dense(int(truth.frame.max()) + 1, np.unique(truth.person)).astype(float)


def distances(xyz):
    """Distances (T, P, P) m between people's pelvises on the floor."""
    place = xyz[:, :, HALPE.index("pelvis"), :2]
    return np.linalg.norm(place[:, :, None] - place[:, None], axis=-1) + np.diag(np.full(place.shape[1], np.inf))


TAKES = {"one": circle(1, 4, 100), "circle": circle(), "five": crossing(5), "ten": crossing(10), "hugs": hugs()}


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_bodies_move_as_people_do(take):
    xyz, rate = dense(take), take[2]
    limbs = np.linalg.norm(xyz[:, :, HALPE.limbs[:, 0]] - xyz[:, :, HALPE.limbs[:, 1]], axis=-1)
    np.testing.assert_allclose(np.nanmax(limbs, 0), np.nanmin(limbs, 0), atol=1e-5)
    height = np.nanmean(xyz[:, :, HALPE.index("head_top"), 2], axis=0)
    assert (height > 1.45).all() and (height < 1.95).all() and (len(height) == 1 or np.ptp(height) > 0.15)
    assert np.nanmin(xyz[..., 2]) > -0.06
    speed = np.linalg.norm(np.diff(xyz, axis=0), axis=-1) * rate
    acceleration = np.linalg.norm(np.diff(xyz, 2, axis=0), axis=-1)[:, :, HALPE.torso] * rate**2
    assert np.nanmax(speed) < 6 and np.nanmax(acceleration) < 16
    assert (take[0].score == 1).all() and (take[0].provenance == 1).all()


@pytest.mark.parametrize("name", ["five", "ten"])
def test_who_crosses_comes_close_and_not_too_close(name):
    apart = distances(dense(TAKES[name]))
    assert 0.4 < apart.min() < 0.5
    close = np.diff((apart < 0.8).astype(int), axis=0, prepend=0) > 0
    assert close.sum() / 2 > len(apart[0])  # meetings


def test_pairs_hug_and_some_leave_and_come_back():
    xyz, rate = dense(TAKES["hugs"]), TAKES["hugs"][2]
    apart = distances(xyz)
    near = (apart < 0.37).sum(0) / rate
    assert ((near > 0).sum(0) == 1).all() and np.nanmin(apart) > 0.25
    assert near[near > 0].min() > 1 and near.max() < 2.2
    there = np.isfinite(xyz[:, :, 0, 0])
    away = [np.flatnonzero(np.diff(one.astype(int))) for one in there.T]
    lasted = [(back - left) / rate for left, back in (one for one in away if len(one))]
    assert len(lasted) >= 3 and min(lasted) >= 3 and max(lasted) <= 10


def test_sessions_see_through_the_true_rig_whatever_their_own(tmp_path):
    take = circle(2, 4, 10, lens="strong")
    good = make_session(tmp_path / "good", take, carry=True)
    bad = make_session(tmp_path / "bad", take, calibration="bad")
    rows = [next(iter(mvcap.estimate(one).chunks())) for one in (good, bad)]
    assert rows[0].xy.tobytes() == rows[1].xy.tobytes()
    assert set(rows[0].carried) == {1, 2} and set(rows[1].carried) == {-1}
    assert good.rate_hz == 60 and good.frames == 10
    moved = np.linalg.norm(bad.rig.positions - good.rig.positions, axis=-1)
    assert (moved > 0.005).all() and (moved < 0.1).all()
    np.testing.assert_allclose(good.rig.cam_from_world, disturbed(ring_rig(4, "strong"), "good").cam_from_world)


def test_bodies_hide_bodies(tmp_path):
    take = crossing(5, frames=20)
    clear, hiding = make_session(tmp_path / "a", take), make_session(tmp_path / "b", take, **HIDING)
    counts = [int((next(iter(mvcap.estimate(one).chunks())).score > 0).sum()) for one in (clear, hiding)]
    assert 0.5 < counts[1] / counts[0] < 0.95
