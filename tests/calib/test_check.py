"""Bumped cameras are found, named, dated and repaired; what nobody touched is not accused. The truth is generated."""

from dataclasses import replace

import numpy as np
import pytest
from moved_cameras import MOMENTS, PIXELS, arc, board_places, board_take, bumped, calibrated, filmed, off, people_take

from calib import CalibrationError
from calib.changes.search import Trust
from calib.check import check
from calib.repair import repair


@pytest.mark.parametrize("degrees", [1.0, 0.3])
def test_a_bump_is_found_named_dated_and_repaired(degrees):
    rig, seen, rigs, at = board_take(1, index=2, degrees=degrees)
    found = check(rig, seen)
    assert found.verdict == "moved" and found.moved == ("cam3",)
    (change,) = found.changes
    assert abs(change.since - at) <= 10 and change.earliest <= at <= change.latest
    assert abs(change.rotation_deg - degrees) < 4 * change.rotation_sigma_deg + 0.01
    assert "cam3" in found.reason and "mm in the volume" in found.reason
    mended = repair(rig, seen, found)
    error = off(mended.rig, rigs[-1], "cam3")
    assert error @ np.linalg.solve(mended.covariance[0], error) < 22.5  # of 6 numbers, one in a thousand is larger
    assert np.rad2deg(np.linalg.norm(error[:3])) < 0.1 and mended.after_px[0] < mended.before_px[0] / 2
    for name in ("cam1", "cam2", "cam4"):
        np.testing.assert_array_equal(mended.rig[name].cam_from_world, rig[name].cam_from_world)


def test_what_nobody_touched_is_not_accused_in_fifty_takes():
    for seed in range(50):
        rig, seen, *_ = board_take(100 + seed, moments=60)
        found = check(rig, seen)
        assert found.verdict == "unmoved" and not found.changes, (seed, found.summary())


def test_a_camera_that_moved_before_the_take_is_named():
    rig, seen, rigs, _ = board_take(2, index=1, degrees=1.0, middle=False)
    found = check(rig, seen)
    assert found.moved == ("cam2",) and found.changes[0].since == 0
    assert abs(found.changes[0].rotation_deg - 1) < 0.15 and "before the take" in found.reason
    error = off(repair(rig, seen, found).rig, rigs[0], "cam2")
    assert np.rad2deg(np.linalg.norm(error[:3])) < 0.2


def test_two_cameras_cannot_tell_which_of_them_moved():
    rig, seen, _, at = board_take(3, cameras=3, index=0, degrees=1.0)
    found = check(rig, seen.of(["cam1", "cam2"]))
    assert found.verdict == "cannot tell" and not found.moved
    assert {found.changes[0].camera, *found.changes[0].rivals} == {"cam1", "cam2"}
    assert abs(found.changes[0].since - at) <= 10 and "two cameras alone do not show" in found.reason
    with pytest.raises(CalibrationError, match="nothing to repair"):
        repair(rig, seen.of(["cam1", "cam2"]), found)


def test_two_bumped_cameras_are_both_named():
    rng = np.random.default_rng(4)
    true = arc(5)
    one = bumped(true, 1, 1.0)
    rigs, since = [true, one, bumped(one, 3, 0.6, seed=9)], [0, 40, 80]
    found = check(calibrated(true, rng), filmed(rigs, since, *board_places(rng, MOMENTS), PIXELS, rng))
    assert found.moved == ("cam2", "cam4")
    assert all(abs(change.since - at) <= 10 for change, at in zip(found.changes, (40, 80), strict=True))


def test_a_slow_drift_is_told_from_a_bump():
    rng = np.random.default_rng(5)
    true = arc(4)
    share = np.clip((np.arange(MOMENTS) - 30) / 60, 0, 1)
    rigs = [bumped(true, 2, 0.8 * part, 0.0) for part in share]
    found = check(calibrated(true, rng), filmed(rigs, list(range(MOMENTS)), *board_places(rng, MOMENTS), PIXELS, rng))
    assert found.moved == ("cam3",)
    assert "drifted" in {change.kind for change in found.changes}
    assert "calibrate again" in found.next_action


def test_a_zoom_is_told_from_a_turn():
    rig, seen, _, at = board_take(6, index=2, degrees=0.0, shift_m=0.0, zoom=1.02)
    (change,) = check(rig, seen).changes
    assert change.camera == "cam3" and change.kind == "zoomed" and abs(change.since - at) <= 10
    assert abs(change.zoom - 1.02) < 4 * change.zoom_sigma + 0.002


def test_a_rig_that_is_off_as_a_whole_accuses_nobody():
    rng = np.random.default_rng(7)
    rig, seen, *_ = board_take(7)
    for index in range(4):
        rig = bumped(rig, index, rng.normal(0, 0.5), 0.01, seed=index)
    found = check(rig, seen)
    assert found.verdict == "wrong" and not found.moved and found.off > 2
    assert "calibrate again" in found.next_action


def test_a_change_too_small_to_matter_is_no_alarm():
    rig, seen, *_ = board_take(8, index=2, degrees=0.01, shift_m=0.0)
    assert check(rig, seen).verdict == "unmoved"
    assert check(rig, seen, matters_m=0.02).verdict == "unmoved"


def test_people_tell_a_bump_too():
    rig, seen, at = people_take(1, 1.0)
    found = check(rig, seen)
    assert found.moved == ("cam4",) and abs(found.changes[0].since - at) <= 10


@pytest.mark.parametrize("seed", range(4))
def test_noise_of_people_that_is_correlated_accuses_nobody(seed):
    rig, seen, _ = people_take(10 + seed, 0)
    found = check(rig, seen)
    assert not found.changes, found.summary()


def test_too_little_is_said_to_be_too_little():
    rig, seen, *_ = board_take(9)
    assert check(rig, seen.at(np.arange(2))).verdict == "cannot tell"
    turns = np.arange(4)[:, None, None] == np.arange(MOMENTS)[:, None] % 4
    alone = replace(seen, sigma=np.where(turns, seen.sigma, np.nan))
    found = check(rig, alone)
    assert found.verdict == "cannot tell" and "same moment" in found.reason
    nothing = replace(seen, sigma=np.full(seen.sigma.shape, np.nan))
    assert check(rig, nothing).verdict == "cannot tell"


def test_views_without_cameras_and_lone_views_are_refused():
    rig, seen, *_ = board_take(9, moments=20)
    with pytest.raises(CalibrationError, match="no camera for view cam4"):
        check(rig.select(["cam1", "cam2", "cam3"]), seen)
    with pytest.raises(CalibrationError, match="one view alone"):
        check(rig, seen.of(["cam1"]))


def test_trust_says_what_is_a_change():
    rig, seen, *_ = board_take(2, index=1, degrees=0.3, middle=False)
    assert check(rig, seen).moved == ("cam2",)
    assert not check(rig, seen, trust=Trust(rotation_deg=0.3, position_m=0.02)).changes
