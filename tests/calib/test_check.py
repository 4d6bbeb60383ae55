"""Bumped cameras are found, named, dated and repaired; what nobody touched is not accused. The truth is generated."""

from dataclasses import replace

import numpy as np
import pytest
from ring_rigs import look_at

from calib import CalibrationError, Camera, Lens, Rig
from calib.changes.search import Trust
from calib.check import check
from calib.geometry import pose, rotation_from_vector, vector_from_rotation
from calib.observations import Observations
from calib.repair import repair
from calib.targets import Target, free_points

SIZE = (1920, 1080)
MOMENTS = 120
PIXELS = 0.2


def arc(count=4):
    """Cameras on an arc of 150 degrees, 4 m from the middle."""
    cameras = []
    for index, angle in enumerate(np.deg2rad(np.linspace(-75, 75, count))):
        K = [[1100.0 + 5 * index, 0, 960], [0, 1102.0 + 5 * index, 540], [0, 0, 1]]
        place = look_at((4 * np.cos(angle), 4 * np.sin(angle), 1.8 + 0.2 * (index % 3)))
        cameras.append(Camera(Lens(f"cam{index + 1}", SIZE, K, [-0.08, 0.02, 0, 0, 0]), place))
    return Rig(tuple(cameras))


def calibrated(rig, rng):
    """The rig as a real calibration has it: 0.02 degrees, 0.5 mm, 0.1 % of the lens off."""
    cameras = []
    for camera in rig:
        R = rotation_from_vector(rng.normal(0, np.deg2rad(0.02), 3)) @ camera.cam_from_world[:3, :3]
        place = camera.position + rng.normal(0, 0.0005, 3)
        K = np.array(camera.lens.K)
        K[[0, 1], [0, 1]] *= 1 + rng.normal(0, 0.001, 2)
        K[:2, 2] += rng.normal(0, 0.5, 2)
        bent = camera.lens.distortion + rng.normal(0, 0.002) * np.array([1, 0, 0, 0, 0])
        cameras.append(Camera(Lens(camera.name, SIZE, K, bent), pose(R, -R @ place)))
    return Rig(tuple(cameras))


def bumped(rig, index, degrees, shift_m=0.002, zoom=1.0, seed=3):
    """The rig with one camera turned about an axis across its view, shifted, and zoomed."""
    rng = np.random.default_rng(seed)
    axis = np.append(rng.normal(size=2), 0.3)
    camera = rig[index]
    turn = rotation_from_vector(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
    R = turn @ camera.cam_from_world[:3, :3]
    place = camera.position + shift_m * rng.normal(size=3) / 1.7
    K = np.array(camera.lens.K)
    K[[0, 1], [0, 1]] *= zoom
    new = Camera(Lens(camera.name, SIZE, K, camera.lens.distortion), pose(R, -R @ place))
    return Rig(tuple(new if row == index else old for row, old in enumerate(rig)))


def wander(rng, moments, width, pace=15):
    """Smooth random ways (T, width), one about every `pace` moments."""
    from scipy.interpolate import CubicSpline

    knots = moments // pace + 4
    return CubicSpline(np.arange(knots), rng.normal(size=(knots, width)))(np.linspace(0, knots - 1, moments))


def board_places(rng, moments):
    """A board of 20 points and where they are, (T, 20, 3): it is waved in the middle, its front to the cameras."""
    grid = np.stack(np.meshgrid(np.arange(5) * 0.12, np.arange(4) * 0.12), -1).reshape(-1, 2)
    target = Target("board", np.c_[grid, np.zeros(len(grid))])
    facing = np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]])
    R = rotation_from_vector(0.4 * wander(rng, moments, 3)) @ facing
    middle = wander(rng, moments, 3) * (0.5, 0.5, 0.3) + (0, 0, 1.1)
    return target, np.einsum("tij,nj->tni", R, target.points - target.points.mean(0)) + middle[:, None]


def body_places(rng, moments, people=2, joints=15):
    """Joints (T, N, 3) of people who walk about."""
    ways = [wander(rng, moments, 2, 30) for _ in range(people)]
    shape = rng.normal((0, 0, 1.0), (0.2, 0.2, 0.45), (people, joints, 3))
    shake = 0.1 * wander(rng, moments, people * joints * 3, 10).reshape(moments, people, joints, 3)
    places = np.stack(ways, 1)[:, :, None] * 0.7 @ np.eye(2, 3) + shape + shake
    return free_points(people * joints), places.reshape(moments, -1, 3)


def filmed(rigs, since, target, places, noise, rng):
    """Observations by rigs that hold since moments; noise (C, T, N, 2) px has a standard deviation of `noise`."""
    stops = [*since[1:], len(places)]
    xy = np.concatenate([rig.project(places[a:b]) for rig, a, b in zip(rigs, since, stops, strict=True)], 1)
    inside = ((xy > 0) & (xy < np.array(SIZE) - 1)).all(-1)
    spread = rng.normal(0, noise, xy.shape) if np.isscalar(noise) else noise
    sigma = np.full(inside.shape, np.std(spread))
    times = np.tile(np.arange(len(places)) / 10, (len(rigs[0]), 1))
    names = tuple(f"{moment / 10:.1f} s" for moment in range(len(places)))
    xy = np.where(inside[..., None], xy + spread, np.nan)
    return Observations(target, rigs[0].names, (SIZE,) * len(rigs[0]), xy, sigma, times, names)


def board_take(seed, *, cameras=4, moments=MOMENTS, **bump):
    """A calibration, a take of a board in which one camera may be bumped, the rigs that hold, and since when."""
    rng = np.random.default_rng(seed)
    true = arc(cameras)
    at = int(rng.integers(moments // 4, 3 * moments // 4)) if bump.pop("middle", True) else 0
    rigs, since = ([true, bumped(true, **bump)], [0, at]) if bump else ([true], [0])
    rigs, since = (rigs[1:], [0]) if bump and at == 0 else (rigs, since)
    target, places = board_places(rng, moments)
    return calibrated(true, rng), filmed(rigs, since, target, places, PIXELS, rng), rigs, at


def off(rig, truth, name):
    """The small motion (6,) in the camera's frame between where it is said to be and where it is."""
    motion = truth[name].cam_from_world @ np.linalg.inv(rig[name].cam_from_world)
    return np.append(vector_from_rotation(motion[:3, :3]), motion[:3, 3])


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
    assert abs(found.changes[0].since - at) <= 10 and "two cameras alone cannot tell" in found.reason
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


def people_take(seed, degrees):
    rng = np.random.default_rng(seed)
    true = arc(5)
    target, places = body_places(rng, 250)
    white = rng.normal(size=(5, 250, len(target), 2))
    noise = np.empty_like(white)
    noise[:, 0] = white[:, 0]
    for moment in range(1, 250):  # correlated over some ten frames
        noise[:, moment] = 0.9 * noise[:, moment - 1] + np.sqrt(1 - 0.81) * white[:, moment]
    noise = 3 * noise
    wild = rng.random(noise.shape[:3]) < 0.02
    noise = np.where(wild[..., None], 60 * rng.normal(size=noise.shape), noise)
    at = int(rng.integers(80, 170)) if degrees else 0
    rigs, since = ([true, bumped(true, 3, degrees)], [0, at]) if degrees else ([true], [0])
    seen = filmed(rigs, since, target, places, noise, rng)
    sigma = np.where(np.isfinite(seen.sigma), 3.0, np.nan)
    return (
        calibrated(true, rng),
        Observations(target, seen.views, seen.sizes, seen.xy, sigma, seen.time_s, seen.moments),
        at,
    )


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
