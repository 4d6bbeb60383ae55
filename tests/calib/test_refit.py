"""A rig that is a little off is adjusted to people, world and scale stay; what is no error of the rig moves nothing."""

from dataclasses import replace

import numpy as np
import pytest
from moved_cameras import SIZE, arc, body_places, bumped, filmed, people_take

from calib import CalibrationError, Camera, Lens, Rig
from calib.geometry import similarity
from calib.refit import RigTolerance, refit, time_stretches

MOMENTS, JOINTS = 150, 15
GROUP = np.arange(2 * JOINTS) % JOINTS


def off_centre(rig, index, shift):
    """The rig with a principal point shifted by (x, y) px."""
    camera = rig[index]
    K = np.array(camera.lens.K)
    K[:2, 2] += shift
    lens = Lens(camera.name, SIZE, K, camera.lens.distortion)
    return Rig(tuple(Camera(lens, camera.cam_from_world) if row == index else one for row, one in enumerate(rig)))


def take(true, seed=0, noise=3.0, outliers=0.02):
    """What the true rig sees of two people, and where they are."""
    rng = np.random.default_rng(seed)
    target, places = body_places(rng, MOMENTS)
    spread = noise * rng.normal(size=(len(true), *places.shape[:2], 2))
    spread = np.where(rng.random(spread.shape[:3])[..., None] < outliers, 20 * spread, spread)
    seen = filmed([true], [0], target, places, spread, rng)
    return replace(seen, sigma=np.where(np.isfinite(seen.sigma), noise, np.nan)), places


def disturbed(true, seed=0):
    """The true rig as an old calibration has it: turned by 0.2 to 0.8 degrees, principal points 6 to 15 px off."""
    rng = np.random.default_rng(seed)
    rig = true
    for index in range(len(true)):
        rig = bumped(rig, index, rng.uniform(0.2, 0.8), 0.005, seed=seed + index)
        way = rng.normal(size=2)
        rig = off_centre(rig, index, rng.uniform(6, 15) * way / np.linalg.norm(way))
    return rig


def shape_error_m(rig, true, places):
    """RMS error of points as the rig triangulates them from true pixels, after the best rigid alignment."""
    points = rig.triangulate(true.project(places.reshape(-1, 3)))
    _, R, t = similarity(points, places.reshape(-1, 3), scale=False)
    return float(np.sqrt(np.nanmean(((points @ R.T + t - places.reshape(-1, 3)) ** 2).sum(-1))))


@pytest.mark.parametrize("seed", range(3))
def test_a_disturbed_rig_is_adjusted_and_keeps_world_and_scale(seed):
    true = arc(5)
    seen, places = take(true, seed)
    old = disturbed(true, seed)
    found = refit(old, seen, group=GROUP)
    assert found.better and found.adjusted.all() and found.gain > 2
    assert found.after_px < 0.75 * found.before_px and found.after_px < 4.5, "3 px of noise have a median of 3.5 px"
    assert shape_error_m(found.rig, true, places) < 0.5 * shape_error_m(old, true, places)
    extent = [np.linalg.norm(rig.positions - rig.positions.mean(0)) for rig in (old, found.rig)]
    assert extent[1] == pytest.approx(extent[0], rel=0.003)
    points = [rig.triangulate(true.project(places.reshape(-1, 3))) for rig in (old, found.rig)]
    scale, R, _ = similarity(points[0], points[1])
    assert scale == pytest.approx(1, abs=0.01) and np.degrees(np.arccos(R[2, 2])) < 0.5, "no tilt of the floor"
    assert np.nanmedian(np.linalg.norm(points[1] - points[0], axis=-1)) < 0.05
    np.testing.assert_allclose(found.extent_m, np.ptp(places.reshape(-1, 3), axis=0), rtol=0.5)
    assert found.moved_m.max() < 0.06 and found.turned_deg.max() < 1.5 and abs(found.focal_percent).max() < 1.5


def test_a_single_turned_camera_is_turned_back():
    true = arc(5)
    seen, _ = take(true, 4)
    found = refit(bumped(true, 2, 0.8, 0.0), seen, group=GROUP)
    assert found.better and int(np.argmax(found.turned_deg)) == 2 and found.turned_deg[2] == pytest.approx(0.8, abs=0.3)
    assert np.delete(found.turned_deg, 2).max() < 0.25


@pytest.mark.parametrize("seed", range(3))
def test_an_exact_rig_has_nothing_to_gain(seed):
    true = arc(4)
    found = refit(true, take(true, seed)[0], group=GROUP)
    assert not found.better and found.after_px > 0.97 * found.before_px


def test_a_detector_with_its_own_idea_of_the_joints_pulls_no_camera():
    true = arc(4)
    seen, places = take(true, 1)
    rng = np.random.default_rng(8)
    shift = np.tile(rng.normal(0, 0.03, (JOINTS, 3)), (2, 1))  # the same place of the body for all views
    own = np.tile(rng.normal(0, 3.0, (4, JOINTS, 2)), (1, 2, 1))  # and another one for each view
    moved = true.project(places + shift) - true.project(places) + own[:, None]
    found = refit(true, replace(seen, xy=seen.xy + moved), group=GROUP)
    assert not found.better


@pytest.mark.parametrize("seed", [0, 1, 12])
def test_noise_that_lasts_is_no_reason_for_another_rig(seed):
    old, seen, _ = people_take(seed, 0)
    assert not refit(old, seen, group=np.arange(len(seen.target)) % JOINTS).better


def test_a_late_view_is_not_taken_for_a_turned_one():
    true = arc(4)
    seen, _ = take(true, 2, outliers=0.0)
    xy, sigma = np.array(seen.xy), np.array(seen.sigma)
    xy[1, 2:], sigma[1, :2] = seen.xy[1, :-2], np.nan
    found = refit(true, replace(seen, xy=xy, sigma=sigma), group=GROUP)
    assert found.late_s[1] == pytest.approx(0.2, abs=0.03) and not found.late_s[[0, 2, 3]].any()
    assert found.turned_deg[1] < 0.2 and not found.better
    blind = refit(true, replace(seen, xy=xy, sigma=sigma, time_s=np.zeros_like(seen.time_s)), group=GROUP)
    assert not blind.late_s.any() and blind.turned_deg[1] > found.turned_deg[1]


def test_a_view_that_shares_too_little_stays_as_it_is():
    true = arc(5)
    seen, _ = take(true, 3)
    sigma = np.array(seen.sigma)
    sigma[4, 8:] = np.nan
    old = disturbed(true, 3)
    found = refit(old, replace(seen, sigma=sigma), group=GROUP)
    assert found.better and found.adjusted.tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(found.rig[4].cam_from_world, old[4].cam_from_world)
    np.testing.assert_array_equal(found.rig[4].lens.K, old[4].lens.K)
    assert np.isnan(found.view_before_px[4]) or found.moved_m[4] == 0


def test_too_little_is_refused_with_what_to_film():
    true = arc(4)
    seen, _ = take(true, 3)
    with pytest.raises(CalibrationError, match=r"three views.*cam1 8.*film people"):
        refit(true, seen.at(np.arange(8)))
    with pytest.raises(CalibrationError, match="three views"):
        refit(true, seen.of(["cam1", "cam2"]))


def test_of_many_people_points_are_left_out_rather_than_moments():
    true = arc(5)
    rng = np.random.default_rng(6)
    target, places = body_places(rng, MOMENTS, people=8)
    seen = filmed([true], [0], target, places, 3.0, rng)
    found = refit(disturbed(true, 1), seen, group=np.arange(8 * JOINTS) % JOINTS, most=3000)
    assert found.better and found.moments >= 50
    assert shape_error_m(found.rig, true, places) < 0.6 * shape_error_m(found.old, true, places)


def test_a_tight_prior_keeps_the_rig():
    true = arc(5)
    seen, _ = take(true, 0)
    tight = RigTolerance(turned_deg=1e-3, moved_m=1e-5, focal=1e-5, principal=1e-5)
    assert refit(disturbed(true), seen, group=GROUP, tolerance=tight, most=4000).turned_deg.max() < 0.05


def short_take(seed, seconds, rate_hz=60.0, lasting_s=0.5):
    """What the true rig sees of two people for a while: 3 px of errors that last, half of them the whole body's."""
    rng = np.random.default_rng(seed)
    true, count = arc(4), round(seconds * rate_hz)
    target, places = body_places(rng, count)
    white = rng.normal(size=(4, count, 1 + len(target), 2))
    noise, keep = np.array(white), np.exp(-1 / (lasting_s * rate_hz))
    for moment in range(1, count):
        noise[:, moment] = keep * noise[:, moment - 1] + np.sqrt(1 - keep**2) * white[:, moment]
    body = np.repeat(noise[:, :, :1], len(target), 2)
    seen = filmed([true], [0], target, places, 3 * np.sqrt(0.5) * (body + noise[:, :, 1:]), rng)
    time = np.broadcast_to(np.arange(count) / rate_hz, seen.time_s.shape)
    return true, replace(seen, sigma=np.where(np.isfinite(seen.sigma), 3.0, np.nan), time_s=time)


@pytest.mark.parametrize("seconds", [0.25, 0.5, 1.0, 1.4])
def test_a_take_in_which_errors_may_last_as_long_is_refused_in_one_line(seconds):
    true, seen = short_take(0, seconds)
    with pytest.raises(CalibrationError, match=r"seen for \d\.\d s.*1\.5 s or more") as caught:
        refit(true, seen, group=GROUP)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seconds", [1.5, 1.7, 2.5, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_errors_that_last_move_no_exact_rig_however_short_the_take(seed, seconds):
    true, seen = short_take(seed, seconds)
    found = refit(true, seen, group=GROUP)
    assert not found.better and 3 <= found.stretches <= 12


def test_stretches_of_time_are_long_enough_to_be_independent():
    for seconds, count in ((0.4, 1), (1.0, 2), (1.6, 3), (4.0, 8), (60.0, 12)):
        stretch = time_stretches(np.arange(0, seconds, 1 / 30), 12)
        assert stretch.max() + 1 == count and (np.diff(stretch) >= 0).all()
    gaps = time_stretches(np.array([0.0, 0.1, np.nan, 9.9, 10.0]), 12)
    np.testing.assert_array_equal(gaps, [0, 0, 0, 1, 1])
