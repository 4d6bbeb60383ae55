"""The search for changes in a whole take: what an untouched rig may be wrong by, and who moved, when, or who else."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from moved_cameras import arc, board_places, bumped, calibrated, filmed

from calib.changes.evidence import CAMERA, CHANGE
from calib.changes.search import Trust, search
from calib.geometry import vector_from_rotation
from calib.targets import Target

MOMENTS, AT, FALSE_ALARMS = 32, 15, 1e-3
RIM = [0, 4, 12, 15, 19]


@cache
def filmed_take(cameras=3, *, bump=None, since=AT, noise_px=0.15, seed=3):
    """A calibration, and a take of five points of a board in which a camera may be bumped by degrees."""
    rng = np.random.default_rng(seed)
    true = arc(cameras)
    target, places = board_places(rng, MOMENTS)
    rigs, starts = [true], [0]
    if bump is not None:
        rigs, starts = [true, bumped(true, *bump)], [0, since]
    if since == 0:
        rigs, starts = rigs[-1:], [0]
    seen = filmed(rigs, starts, Target("rim", target.points[RIM]), places[:, RIM], noise_px, rng)
    return calibrated(true, rng), seen


def found_in(*args, **options):
    return search(*filmed_take(*args, **options), Trust(), FALSE_ALARMS)


# --- trust -----------------------------------------------------------------------------------------------------------


def test_precisions_are_one_over_the_trusted_variances_camera_by_camera():
    trust = Trust(rotation_deg=0.1, position_m=0.002, focal=0.004, centre_px=2.0, distortion=0.01)
    precision = trust.precision(np.zeros(2)).reshape(2, CAMERA)
    sigma = [*[np.deg2rad(0.1)] * 3, *[0.002] * 3, 0.004, 2.0, 2.0, 0.004, 0.01, 0.01]
    np.testing.assert_allclose(precision, [np.power(sigma, -2)] * 2)


def test_a_bias_of_directions_adds_to_rotations_in_squares_and_to_nothing_else():
    plain, biased = (Trust().precision(np.array([bias])).reshape(CAMERA) ** -0.5 for bias in (0.0, 0.003))
    np.testing.assert_allclose(biased[:3], np.hypot(plain[:3], 0.003))
    np.testing.assert_allclose(biased[3:], plain[3:])


def test_factors_loosen_poses_and_lenses_each_for_themselves():
    bias = np.zeros(1)
    times = np.sqrt(Trust().precision(bias) / Trust().precision(bias, pose=30.0, lens=5.0))
    np.testing.assert_allclose(times, [30.0] * 6 + [5.0] * 6)


# --- takes -----------------------------------------------------------------------------------------------------------


def test_in_an_untouched_rig_nothing_is_found():
    found = found_in()
    assert found.events == () and found.rivals == () and found.chances == ()
    assert found.off == 1 and found.undecided == ()
    assert ((found.excess > 0.2) & (found.excess < 3)).all() and (found.freedom >= 1).all()
    np.testing.assert_array_equal(found.bias_rad, 0)  # a board's corners have none


def test_a_bump_is_one_event_of_its_camera_at_its_moment():
    camera, degrees = 1, 0.4
    found = found_in(bump=(camera, degrees))
    (event,) = found.events
    assert event.camera == camera and event.earliest <= AT <= event.latest and abs(event.since - AT) <= 2
    assert np.rad2deg(np.linalg.norm(event.motion[:3])) == pytest.approx(degrees, abs=0.1)
    assert found.rivals == ((),) and found.chances[0] < 1e-6
    assert found.fit.changes.shape == (1, CHANGE)


def motion_between(before, after):
    """The small motion (6,) in a camera's frame from one pose to another."""
    matrix = after.cam_from_world @ np.linalg.inv(before.cam_from_world)
    return np.append(vector_from_rotation(matrix[:3, :3]), matrix[:3, 3])


def test_a_camera_that_stood_elsewhere_all_the_time_has_moved_before():
    found = found_in(4, bump=(2, 1.0), since=0)
    (event,) = found.events
    assert event.camera == 2 and event.since == event.until == 0
    off = event.motion[:6] - motion_between(found.take.rig[2], bumped(arc(4), 2, 1.0)[2])
    assert off @ np.linalg.solve(found.fit.spread(0)[:6, :6], off) < 22.5  # of six numbers, one in a thousand is larger
    assert event.motion @ np.linalg.solve(found.fit.spread(0), event.motion) > 50


def test_of_two_cameras_either_may_have_moved():
    found = found_in(2, bump=(1, 1.0))
    (event,) = found.events
    assert {event.camera, *found.rivals[0]} == {0, 1} and abs(event.since - AT) <= 2


def test_two_cameras_that_disagree_all_the_time_are_both_undecided():
    found = found_in(2, bump=(1, 1.0), since=0)
    assert found.events == () and found.undecided == (0, 1) and found.off > 2


def test_what_is_trusted_less_is_not_called_a_change_of_before():
    take = filmed_take(4, bump=(2, 0.5), since=0)
    assert [event.camera for event in search(*take, Trust(), FALSE_ALARMS).events] == [2]
    assert search(*take, Trust(rotation_deg=0.5, position_m=0.03), FALSE_ALARMS).events == ()


def test_free_points_may_have_a_bias_of_their_noise():
    rig, seen = filmed_take()
    free = replace(seen, target=Target("joints", np.full((len(RIM), 3), np.nan)))
    found = search(rig, free, Trust(), FALSE_ALARMS)
    np.testing.assert_allclose(found.bias_rad, found.take.all.sigma_px / rig.focal)
    assert (found.bias_rad > 0).all() and found.events == ()
